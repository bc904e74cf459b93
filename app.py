"""The dashboard: `streamlit run app.py`."""

from lab.app.shell import main

main()
