# One command each, on a bare machine with Python 3.11 or newer.
#   make demo    set up, run the digits sweep, leave tables, figures and a report under demo/
#   make test    set up, run the tests
#   make lint    formatter, linter, types, import contract
#   make bench   speed ratios against plain references

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench setup clean

demo: $(READY)
	$(BIN)/opera-bench run digits --runs demo --yes

test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m tests.speed

setup: $(READY)

$(READY): requirements-lock.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("opera-bench needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) demo
