# Two commands: `make lab` opens the dashboard, `make test` runs the tests. Both first bring .venv up to date.

PYTHON ?= python3
VENV ?= .venv
# `make test PYTEST="-x tests/test_house.py"` runs pytest once, with these arguments.
PYTEST ?=

.PHONY: lab test

lab:
	@$(PYTHON) scripts/environment.py $(VENV)
	@exec $(VENV)/bin/python -m streamlit run app.py --server.address 127.0.0.1

test:
	@$(PYTHON) scripts/environment.py $(VENV) dev
ifeq ($(strip $(PYTEST)),)
# The browser has the machine to itself: what it drives is live, and waits for no other test.
	@$(VENV)/bin/python -m pytest -n 2 -m "not browser" -ra
# A live page gets a second chance on a busy machine: a real fault fails twice.
	@$(VENV)/bin/python -m pytest -m browser -ra || $(VENV)/bin/python -m pytest -m browser -ra
else
	@exec $(VENV)/bin/python -m pytest $(PYTEST)
endif
