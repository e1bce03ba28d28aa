# Everything here sets itself up from a clean checkout with Python 3.11+ and make alone.
PYTHON ?= python3
BIN := .venv/bin
SERVICES := services/sitesearch services/vitals
STAMP := .venv/.installed
# Named twice because a requirement does not bind `package[extra]`, which would take a release newer than the pinned one.
PINNED = --require-hashes --requirement $(1) --constraint $(1)

.DEFAULT_GOAL := help
.PHONY: help run test check emit audit bench cache-tests format lock .venv

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[.a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv ## Start Site Search with its own documentation as the first site to index
	@echo "Starting Site Search (Ctrl-C stops everything it started)"
	@echo "Its front page offers its own documentation to index, and takes the address of any other site"
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/roadworthy run sitesearch.service:service

test: .venv ## Run every test that this machine has the programs for, and say which it has not
	@echo "Running the tests with branch coverage; 90 % of src/ is the least"
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

check: .venv ## Lint, types, layering, the services' declarations, and what is emitted from them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src services
	$(BIN)/roadworthy check sitesearch.service:service --deploy services/sitesearch/deploy
	$(BIN)/roadworthy check vitals.service:service --deploy services/vitals/deploy
	$(BIN)/roadworthy emit sitesearch.service:service --to services/sitesearch/deploy --check
	$(BIN)/roadworthy emit vitals.service:service --to services/vitals/deploy --check

audit: .venv ## Ask for known weaknesses of the pinned dependencies (needs a registry that tells of them)
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement constraints.txt

bench: .venv ## Measure beside peers, all areas (ARGS=--quick takes under a minute each)
	@echo "Installing the peers"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(call PINNED,benchmarks/constraints.txt)
	@for area in jobs http http_cache cache limits resilience overload probes telemetry crawl search vitals alerts newcomer; do $(BIN)/python -m benchmarks.$$area $(ARGS) || exit 1; done

cache-tests: .venv ## Run the public suite for HTTP caches (SUITE=a clone of http-tests/cache-tests after npm install)
	@$(BIN)/python scripts/cache_tests.py "$(SUITE)" $(ARGS)

format: .venv ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

emit: .venv ## Emit the services' deploy/ anew (after changing a declaration)
	$(BIN)/roadworthy emit sitesearch.service:service --to services/sitesearch/deploy
	$(BIN)/roadworthy emit vitals.service:service --to services/vitals/deploy

lock: .venv ## Resolve the constraints files anew (after changing a dependency)
	$(BIN)/python scripts/lock.py

.venv: $(STAMP) ## Make the development environment at .venv, services included

$(STAMP): constraints.txt pyproject.toml $(SERVICES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Roadworthy needs Python 3.11 or newer, not " + sys.version.split()[0] + "; set PYTHON=python3.11")'
	@echo "Making .venv with $$($(PYTHON) --version) (a minute or two, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(call PINNED,constraints.txt)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . $(SERVICES:%=--editable %)
	@touch $(STAMP)
	@echo "The environment is ready"
