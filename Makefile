# Orion. `make demo` runs an example, `make test` all checks and tests; `make help` lists the other targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Versions and hashes come from requirements/*.txt, so that all machines test the same packages. `make lock` renews them.
LOCKED := install --require-hashes -r requirements
EDITABLE := install --no-deps --no-build-isolation -e ./sdk -e .
DEMO_HOME := $(CURDIR)/.demo
PORT ?= 4200
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# Tests start hundreds of processes, which share compiled bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test then-test-sqlite check lint types layers words prose migrations templates test-sqlite test-postgresql packaging programs wheels thorough chaos browser pixels screenshots illustrations bench upgrade-drill lock sbom scan versions pages docs docs-serve clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(VENV)/installed: pyproject.toml sdk/pyproject.toml requirements/product.txt
	@echo "==> environment: installing Orion into $(VENV) (about a minute, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(LOCKED)/product.txt
	@$(PIP) $(EDITABLE)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements/dev.txt
	@echo "==> environment: installing the tools for tests (about two minutes, once)"
	@$(PIP) $(LOCKED)/dev.txt
	@$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

demo: $(VENV)/installed  ## Run the main job: a census of the Python distributions on this machine
	@ORION_HOME=$(DEMO_HOME) $(BIN)/orion database upgrade
	@ORION_HOME=$(DEMO_HOME) $(BIN)/python examples/census.py
	@# More runs for the dashboard: retries, a loop that repeats a part of a flow, nested flows.
	@for name in etl_with_retry rerun_upstream nested_five_deep; do \
		ORION_HOME=$(DEMO_HOME) $(BIN)/python examples/$$name.py >/dev/null 2>&1 || exit 1; done
	@echo
	@echo "Open the dashboard on these runs with:  make serve   (http://127.0.0.1:$(PORT))"

serve: $(VENV)/installed  ## Serve the dashboard and the API on the demo's runs (Ctrl-C ends it)
	@ORION_HOME=$(DEMO_HOME) $(BIN)/orion database upgrade
	@ORION_HOME=$(DEMO_HOME) $(BIN)/orion server start --port $(PORT)

QUICK_CHECKS := lint layers words prose migrations templates
test: $(VENV)/installed-dev  ## The checks, and the tests that fit into ten minutes, on both databases
	@# Types take one core for half a minute, and pytest another one while it collects: the first tests wait for neither.
	@$(MAKE) --no-print-directory --jobs 3 --output-sync types then-test-sqlite
	@$(MAKE) --no-print-directory test-postgresql
	@echo "==> all checks and tests passed"

then-test-sqlite: $(QUICK_CHECKS)
	@$(MAKE) --no-print-directory --output-sync=none test-sqlite

check: $(VENV)/installed-dev  ## Everything but the tests: side by side, each with its output in one piece
	@$(MAKE) --no-print-directory --jobs 3 --output-sync types $(QUICK_CHECKS)

lint: $(VENV)/installed-dev
	@echo "==> format and lint"
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: $(VENV)/installed-dev
	@echo "==> types"
	@# Without its cache, with which mypy sometimes loses the managers of models.
	@$(BIN)/mypy --no-incremental

layers: $(VENV)/installed-dev
	@echo "==> import layers"
	@$(BIN)/lint-imports

words: $(VENV)/installed-dev
	@echo "==> words"
	@$(BIN)/python -m tests.words

prose: $(VENV)/installed-dev
	@echo "==> prose"
	@$(BIN)/python -m tests.prose

migrations: $(VENV)/installed-dev
	@echo "==> migrations"
	@# Like every command of Django, it also runs the system checks.
	@ORION_HOME=$$(mktemp -d) $(BIN)/python -W ignore manage.py makemigrations --check --dry-run

templates: $(VENV)/installed-dev
	@echo "==> templates"
	@# Without --quiet, which would also hide the differences.
	@$(BIN)/djlint --check --lint templates

# Many tests wait for processes, so four keep two cores busy; they are forked after the collection (tests/side_by_side.py).
SIDE_BY_SIDE := --side-by-side 4
# The other tests have their own targets: `make thorough`, `make browser`, `make programs`, `make packaging`.
SHORT := -m "not long and not programs and (short or not browser)"

test-sqlite: $(VENV)/installed-dev  ## The tests on SQLite
	@echo "==> tests on SQLite"
	@ORION_TEST_DATABASE=sqlite $(BIN)/pytest $(SIDE_BY_SIDE) $(SHORT) --ignore tests/packaging

# Fault tests whose outcome depends on the database. `make chaos` also runs the others on PostgreSQL.
FAULTS_OF_DATABASES := $(patsubst %,tests/faults/%.py,test_workers test_cluster_ticking test_full_disk test_interrupted_upgrade \
	test_kill_nine test_lost_starts test_nemesis test_outages test_postgresql_restart simulation/test_services)

# Most of their cases are divided between the databases (see tests/rounds.py).
ON_BOTH := $(addprefix tests/,services api web events sockets live security)

test-postgresql: $(VENV)/installed-dev  ## The tests that touch the database, on PostgreSQL
	@echo "==> tests on PostgreSQL"
	@ORION_TEST_DATABASE=postgresql $(BIN)/pytest $(SIDE_BY_SIDE) $(SHORT) $(ON_BOTH) $(FAULTS_OF_DATABASES)

thorough chaos: export ORION_CHAOS_ROUNDS ?= 40
thorough chaos: export ORION_TEST_COLD := 1
thorough: $(VENV)/installed-dev  ## What `make test` does briefly or leaves out: generative, hostile and long tests, with many more cases
	@$(BIN)/pytest $(SIDE_BY_SIDE) tests/core
	@$(BIN)/pytest $(SIDE_BY_SIDE) --ignore tests/core --ignore tests/packaging --ignore tests/browser -m "generative or long"
	@ORION_TEST_DATABASE=postgresql $(BIN)/pytest $(SIDE_BY_SIDE) -m "generative or long" $(ON_BOTH)

chaos: $(VENV)/installed-dev  ## The fault tests, with many more rounds than in `make test`
	@echo "==> faults on SQLite"
	@ORION_TEST_DATABASE=sqlite $(BIN)/pytest tests/faults tests/agents tests/sdk/test_signals*.py tests/sdk/test_nesting.py
	@echo "==> faults on PostgreSQL"
	@ORION_TEST_DATABASE=postgresql $(BIN)/pytest tests/faults tests/agents

wheels: $(VENV)/installed-dev  ## Build dist/*.whl of server and SDK
	@$(BIN)/python -m build --quiet --wheel --outdir dist .
	@$(BIN)/python -m build --quiet --wheel --outdir dist sdk

packaging: $(VENV)/installed-dev  ## The wheels, in empty environments
	@$(BIN)/pytest tests/packaging

programs: $(VENV)/installed-dev  ## The programs of examples/ and of the documentation
	@$(BIN)/pytest $(SIDE_BY_SIDE) -m programs tests/examples tests/docs

# The version and its hash are in tests/browser/package-lock.json.
AXE_CORE := .cache/axe-core/node_modules/axe-core/axe.min.js
$(AXE_CORE): tests/browser/package.json tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "axe-core comes from npm, which is not installed here"; exit 1; }
	@echo "==> environment: installing axe-core into .cache/axe-core (once)"
	@mkdir -p .cache/axe-core && cp $^ .cache/axe-core
	@npm ci --prefix .cache/axe-core --ignore-scripts --no-audit --no-fund --silent
	@touch $@

browser: $(VENV)/installed-dev $(AXE_CORE)  ## Every page in a real browser: axe, keyboard, zoom, pixels, live; takes half an hour
	@AXE_CORE=$(AXE_CORE) $(BIN)/pytest --side-by-side 2 tests/browser $(ARGS)

pixels: $(VENV)/installed-dev  ## Renew the pictures and outlines that `make browser` compares pages with
	@ORION_RENEW_PICTURES=1 $(BIN)/pytest tests/browser/test_pixels.py $(ARGS)

screenshots: $(VENV)/installed-dev  ## Pictures of every page, narrow and wide, light and dark: build/screenshots/*.png
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

illustrations: $(VENV)/installed-dev  ## Renew the pictures of the dashboard in the documentation, light and dark
	@$(BIN)/python -m tests.browser.illustrations $(ARGS)

bench: $(VENV)/installed-dev  ## Measure; `make bench ARGS=--peer` measures the peers beside us
	@$(BIN)/python -m benchmarks $(ARGS)

upgrade-drill: $(VENV)/installed-dev  ## Upgrade an older version under load, with its agents and programs at work; `ARGS="--from all"`
	@$(BIN)/python -m tests.upgrades.drill $(ARGS)

COMPAT_SCENARIOS ?= ../shared/acceptance
COMPAT_CLIENT := .cache/peers/prefect2
.PHONY: compat

$(COMPAT_CLIENT)/installed: requirements/prefect2.txt
	@echo "==> environment: installing the Prefect 2 client into $(COMPAT_CLIENT) (once)"
	@test -x $(COMPAT_CLIENT)/bin/python || $(PYTHON) -m venv $(COMPAT_CLIENT)
	@$(COMPAT_CLIENT)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED)/prefect2.txt
	@touch $@

ifneq ($(wildcard $(COMPAT_SCENARIOS)/run.py),)
compat: $(VENV)/installed-dev $(COMPAT_CLIENT)/installed  ## Drive our server with the Prefect 2 client; `ARGS="--tier A --database postgresql"`
	@$(BIN)/python -m tests.compat.serve_and_run $(COMPAT_SCENARIOS) $(COMPAT_CLIENT)/bin/python $(ARGS)
	@$(BIN)/pytest -q tests/cli/test_importing.py tests/compat -k 'prefect or compat'
else
compat:
	@echo "The acceptance scenarios are not part of this repository; name their folder with COMPAT_SCENARIOS=path."
endif

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-annotate --quiet \
	--custom-compile-command "make lock" --no-emit-package orionflow --no-emit-package orionflow-server

lock: $(VENV)/installed-dev  ## Renew the locked versions in requirements/*.txt to the newest allowed, then run every test with them
	@for name in product dev prefect2 prefect3 dbos sbom semgrep docs; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@$(MAKE) test

SBOM := .cache/sbom
$(SBOM)/installed: requirements/sbom.txt
	@echo "==> environment: installing cyclonedx-bom into $(SBOM) (once)"
	@test -x $(SBOM)/bin/python || $(PYTHON) -m venv $(SBOM)
	@$(SBOM)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED)/sbom.txt
	@touch $@

sbom: $(SBOM)/installed  ## The bill of materials of the product, with versions and hashes: build/sbom.json (CycloneDX)
	@mkdir -p build
	@grep -v '^-e' requirements/product.txt | $(SBOM)/bin/cyclonedx-py requirements - --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.json
	@echo "build/sbom.json: $$(grep -c '"purl"' build/sbom.json) packages"

SEMGREP := .cache/semgrep
$(SEMGREP)/installed: requirements/semgrep.txt
	@echo "==> environment: installing Semgrep into $(SEMGREP) (once)"
	@test -x $(SEMGREP)/bin/python || $(PYTHON) -m venv $(SEMGREP)
	@$(SEMGREP)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED)/semgrep.txt
	@touch $@

# It finds its own programs by PATH, and must ask no server.
scan: export PATH := $(CURDIR)/$(SEMGREP)/bin:$(PATH)
scan: export SEMGREP_SEND_METRICS := off
scan: export SEMGREP_ENABLE_VERSION_CHECK := 0
scan: $(SEMGREP)/installed  ## Semgrep with the rules in tests/security/semgrep: first over their examples, then over the product
	@semgrep --test --quiet tests/security/semgrep
	@semgrep scan --config tests/security/semgrep --error --quiet --no-git-ignore --exclude migrations \
		orion_site orchestration runs deployments events sdk/src manage.py
	@echo "==> no rule has found anything"

versions: $(VENV)/installed-dev  ## The tests with the lowest and the newest allowed versions, and on each other Python that is found
	@$(BIN)/python -m tests.versions $(ARGS)

pages: $(VENV)/installed  ## Renew the pages of the documentation that are written from the code
	@ORION_HOME=$$(mktemp -d) $(BIN)/python -W ignore -m tests.docs.generated

DOCS := .cache/docs
$(DOCS)/installed: requirements/docs.txt
	@echo "==> environment: installing MkDocs into $(DOCS) (once)"
	@test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED)/docs.txt
	@touch $@

docs docs-serve: export DISABLE_MKDOCS_2_WARNING := true
docs docs-serve: export NO_MKDOCS_2_WARNING := true
docs: $(DOCS)/installed pages  ## Build the documentation as a site, searchable and offline: build/docs/VERSION/index.html
	@ORION_DOCS_FOLDER=build/docs/$(VERSION) $(DOCS)/bin/mkdocs build --quiet --strict
	@echo "build/docs/$(VERSION)/index.html"

docs-serve: $(DOCS)/installed  ## Show the documentation on http://127.0.0.1:8000, and follow what is written
	@$(DOCS)/bin/mkdocs serve --dev-addr 127.0.0.1:8000

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) .demo .cache build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
