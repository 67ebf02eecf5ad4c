# Two targets do everything: `make demo` and `make test`. Each sets up what it needs first.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
COMPILE := uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	--constraint requirements/constraints.txt --quiet

.PHONY: help demo test lint types contracts unit integration together alone bench requirements wheel clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(VENV)/runtime ## set up, measure scenarios/quickstart.yaml on the embedded Triton, leave an HTML report
	$(BIN)/harness run quickstart --allow-invalid

test: $(VENV)/development ## set up, then linters, types, import contracts and all tests
	@$(MAKE) --no-print-directory -j2 --keep-going --output-sync=target types unit lint contracts; checks=$$?; \
	$(MAKE) --no-print-directory --keep-going together alone && exit $$checks

lint: $(VENV)/development ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/development ## mypy --strict, also on what runs inside the server's environment
	$(BIN)/mypy
	MYPYPATH=engines/server $(BIN)/mypy --strict --ignore-missing-imports engines/server/*.py

contracts: $(VENV)/development ## the layers of harness/README.md
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/development ## unit and property tests only: seconds
	$(BIN)/python -m pytest -q -m "not integration" -n 2

integration: together alone ## tests with real processes only

# Most of their time is waiting for servers and windows, so three files go at a time; tests that judge the load generator
# by the instants it took have the machine for themselves.
together: $(VENV)/development
	$(BIN)/python -m pytest -q -m "integration and not alone" -n 3 --dist loadfile

alone: $(VENV)/development
	$(BIN)/python -m pytest -q -m "integration and alone"

bench: $(VENV)/development ## what the load generator carries and how true it is, how often a gate errs, and what a large report costs
	$(BIN)/python -m tests.bench.driver
	$(BIN)/python -m tests.bench.streams
	$(BIN)/python -m tests.bench.gate
	$(BIN)/python -m tests.bench.gate_run
	$(BIN)/python -m tests.bench_metrics 1000000 100 --report

requirements: ## compile the pinned requirements anew (needs uv on the PATH)
	$(COMPILE) -o requirements/runtime.txt
	$(COMPILE) --extra dev -o requirements/development.txt

wheel: $(VENV)/development ## build the wheel into dist/
	$(PIP) wheel --no-deps --wheel-dir dist .

clean: ## remove environments and caches of this checkout (runs/ stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

$(VENV)/runtime: requirements/runtime.txt pyproject.toml
	@echo "setting up $(VENV) (once, about half a minute)"
	@$(PYTHON) --version >/dev/null 2>&1 || { echo "$(PYTHON) is missing: install Python 3.11, or call make PYTHON=<path>"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile --require-hashes -r requirements/runtime.txt
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/development: requirements/development.txt $(VENV)/runtime
	@echo "adding what tests and linters need"
	$(PIP) install --no-compile --require-hashes -r requirements/development.txt
	@touch $@
