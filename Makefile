# Two commands: `make lab` opens the dashboard, `make test` runs the tests. Both first bring .venv up to date.

PYTHON ?= python3
VENV ?= .venv
# What pytest is given: `make test PYTEST="-x tests/test_house.py"` runs one file and stops at the first failure.
PYTEST ?= -n 2

.PHONY: lab test

lab:
	@$(PYTHON) scripts/environment.py $(VENV)
	@exec $(VENV)/bin/python -m streamlit run app.py --server.address 127.0.0.1

test:
	@$(PYTHON) scripts/environment.py $(VENV) dev
	@exec $(VENV)/bin/python -m pytest $(PYTEST)
