# Everything runs in environments under .venv/, which are made on first use and made again when their pins change.
# Needed: make and Python 3.11 or later. Another Python than python3: make test PYTHON=python3.13. Its environments are made
# in a folder of their own, for example .venv/py3.13/.
PYTHON ?= python3
# More options for pytest, for example to run a part: make test-3.0 ARGS="tests/api -k rooms"
ARGS ?=
# The number of test processes. 0 runs the tests in one process, as a debugger needs it.
WORKERS ?= auto

NEWEST := 3.3
OLDEST := 2.11
OLDER := $(OLDEST) 3.0 3.1 3.2
# What depends on the version of Airflow, for `make test-all`.
AIRFLOW_TESTS := $(addprefix tests/,alerts hooks notifications operators sensors triggers utils $(addprefix test_,$(addsuffix .py, \
  connection connection_form example_dags imports listener packaging plugin provider_info pytest_plugin secrets)))
VERSION := $(if $(filter-out python3,$(PYTHON)),$(shell $(PYTHON) -c 'import sys; print("py%d.%d" % sys.version_info[:2])'))
VENVS := .venv$(VERSION:%=/%)
BIN := $(VENVS)/airflow-$(NEWEST)/bin
environment = $(PYTHON) scripts/environment.py --folder $(VENVS)
# The tests of one file stay in one process, because they share fixtures. More than 8 processes only cost start-up time.
# A process that ended because a test hung is not replaced: the run fails and names the test.
pytest = -m pytest --numprocesses=$(WORKERS) --maxprocesses=8 --max-worker-restart=0 --dist=loadfile $(ARGS)

# The longest first. Each needs about a quarter of a core.
SYSTEM_TESTS := $(addprefix system-test-,load failover restart alerts alerts-$(OLDEST) storm)
in_parallel = --no-print-directory --output-sync=target --keep-going

# Without byte code, every test process compiles the package and the tests again, which takes 6 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help python env lint format types test coverage test-all $(OLDER:%=test-%) test-$(NEWEST) build build-check demo demo-ui system-tests $(SYSTEM_TESTS) bench pins clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed, and $(PYTHON) is not one: make PYTHON=<its path>" >&2; exit 1; }

env: python ## make the environment for Airflow 3.3 with all tools, for an editor
	@$(environment) airflow-$(NEWEST)

lint: env ## check style, formatting, and the layers of imports (contracts in pyproject.toml)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

format: env ## repair style and formatting where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: env ## check types
	$(BIN)/mypy

test: test-$(NEWEST) ## run the tests on Airflow 3.3, in parallel

# Not pytest-cov: the project's own pytest plugin is imported before any other plugin can start to measure.
coverage: env ## run the tests on Airflow 3.3 with the coverage gate
	@rm -f .coverage .coverage.*
	LOADS=4 $(BIN)/python -m coverage run $(pytest)
	@$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

test-all: python ## run the tests on Airflow 2.11, and those that depend on Airflow on 3.0, 3.1 and 3.2
	@$(environment) $(OLDER:%=airflow-%)
	@$(MAKE) $(in_parallel) --jobs=2 WORKERS=0 $(OLDER:%=test-%) TESTS="$(AIRFLOW_TESTS)"

$(OLDER:%=test-%) test-$(NEWEST): test-%: python
	@$(environment) airflow-$*
	@echo "==> Airflow $*, $$($(VENVS)/airflow-$*/bin/python --version)"
	@$(VENVS)/airflow-$*/bin/python $(pytest) $(if $(filter $(OLDEST),$*),,$(TESTS))

test-python-3.%: python
	@found=$$($(PYTHON) scripts/find_python.py 3.$*); if [ -n "$$found" ]; \
	  then $(MAKE) --no-print-directory test PYTHON="$$found"; \
	  else echo "NOT TESTED: no Python 3.$* was found on the path or in pyenv, and uv could not fetch it" >&2; fi

build: env ## build the sdist and the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

build-check: build ## build, install the wheel into an empty environment, and check that Airflow lists the provider
	$(PYTHON) scripts/build_check.py

demo: env ## run the demo in the terminal, with no account and no token
	$(BIN)/python -m demo

demo-ui: env ## run the demo and keep Airflow and the sandbox open for the browser
	$(BIN)/python -m demo --ui

system-tests: python ## run every kind of alert in Airflow 3.3 and 2.11, 100 failures at a time, and hundreds of waits
	@$(environment) airflow-$(NEWEST)+system-tests airflow-$(OLDEST)+system-tests
	@$(MAKE) $(in_parallel) --jobs=3 $(SYSTEM_TESTS)

$(filter-out %-$(OLDEST),$(SYSTEM_TESTS)): system-test-%:
	$(BIN)/python -m tests.system_tests $*

system-test-alerts-$(OLDEST):
	$(BIN)/python -m tests.system_tests alerts --python $(VENVS)/airflow-$(OLDEST)/bin/python

bench: python ## measure against other chat providers
	@$(environment) benchmarks
	$(VENVS)/benchmarks/bin/python -m benchmarks

pins: python ## write constraints.txt and constraints/*.txt again, with the newest versions that fit
	$(PYTHON) scripts/pins.py

clean: ## remove all files that make has created, environments too
	rm -rf .venv build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
