# Everything here works on a machine that has Python (3.11 to 3.13) and pip, and does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint contract benchmark clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	@echo "== creating the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "szilard needs Python 3.11 to 3.13, this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "== installing szilard and what it needs into $(VENV) (once; a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "== installing the tools of the tests into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed  ## train the twin of a thermodynamic computer to read handwritten digits
	@echo "== training a thermodynamic computer (its digital twin, behind a VISA session) to read digits"
	@$(BIN)/lab run train_in_situ --station twin --seed 1

lint: $(VENV)/installed-dev  ## style, import contracts, types
	@echo "== ruff"; $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== import contracts"; $(BIN)/lint-imports
	@echo "== mypy"; $(BIN)/mypy

test: lint  ## everything CI runs: lint, then the whole suite, then the contract over TCP and on the datasheets
	@echo "== pytest"; $(BIN)/python -m pytest -q -n $(WORKERS) --durations 10
	@echo "== pytest: the contract over TCP"; $(BIN)/python -m pytest -q --station tcp
	@echo "== pytest: the contract on the datasheets"; $(BIN)/python -m pytest -q --station sim

soak: $(VENV)/installed-dev  ## the long campaigns: kills, aborts and faults, for as long as they take
	@echo "== pytest: faults of the wire"; $(BIN)/python -m pytest -q -s -m soak --timeout 7200
	@echo "== pytest: plans ended anywhere"; LAB_ABORTS=every $(BIN)/python -m pytest -q tests/contract/test_aborts.py --timeout 3600
	@echo "== pytest: the wire under stress"; WIRE_EXAMPLES=300 $(BIN)/python -m pytest -q tests/drivers/test_wire_stress.py --timeout 3600

benchmark: $(VENV)/installed-dev  ## time the parts against their contenders
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove the virtual environment and what builds left behind; stored runs stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
