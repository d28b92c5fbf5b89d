# One command for each habit. Each first installs what it lacks and is quick when nothing is
# missing, so any of them works as the first command in a fresh clone.

# Commands run straight from the environment: with `uv run` in between, Ctrl-C would arrive twice.
BIN := $(or $(UV_PROJECT_ENVIRONMENT),.venv)/bin

# Where uv is not on PATH, tools/uv installs a private copy with Python's venv module.
UV_NEEDS := $(if $(shell command -v uv;),,python3-venv)

# The stores that the conformance suite tries whenever all tests are run.
QUICKLY := etcd redis-test

# An activated environment is not the project's; uv would warn about it.
unexport VIRTUAL_ENV

.PHONY: help setup check test test-pythons simulate failover-report exactness conformance conformance-zoo
.PHONY: conformance-quick demo bench docs kit-check release-check clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: etcd, Redis, uv, the virtual environment
	@tools/install-system-packages $(UV_NEEDS) etcd etcdctl redis-server
	@tools/sync

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy core/src plugins/*/src plugins/*/simulator tests/*/src examples/*/src benchmarks tools/*.py tools/release_check
	$(BIN)/lint-imports

# Most tests wait for elections and time-outs, so three at a time are much faster, also on two cores. A
# file's tests stay together: what it makes once, wheels for example, is made once. The files with the
# longest tests come first, in the order of `testpaths`.
test: check ## check, then every test, then the suite's quick form
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
	@$(MAKE) --no-print-directory conformance-quick

test-pythons: ## the tests that start no server, on each Python 3.11-3.13 found here
	@tools/test-pythons

simulate: setup ## 20,000 random lives of clusters, with the real planners; SEED=… replays one
	PYTHONPATH=plugins/store_etcd/simulator $(BIN)/python -m cluster_simulator \
		$(if $(SEED),--replay $(SEED)) $(if $(SCHEDULES),--schedules $(SCHEDULES))

failover-report: setup ## play every failover scenario; writes docs/failover-report.md; RESULTS=… goes on
	PYTHONPATH=tests/failover/src $(BIN)/python -m formal_cluster_failover \
		--all-passes --write docs/failover-report.md $(if $(RESULTS),--results $(RESULTS))

EXACTNESS := PYTHONPATH=tests/failover/src:tests/exactness/src $(BIN)/python -m formal_cluster_exactness
exactness: setup ## 10^6 strict and 10^6 reserved decisions under faults, checked; writes two reports
	$(EXACTNESS) --write docs/exactness-report.md
	$(EXACTNESS) --grade reserved --write docs/exactness-report-reserved.md

# STORES, DISCOVERIES: the declarations to try. QUICK=--quick is what takes minutes, not tens of them.
STORES ?= etcd etcd-1 etcd-external-1 etcd-external-3 redis-test
DISCOVERIES ?= static dns ecs k8s
conformance: setup ## try all drivers in full (QUICK=--quick: quickly); reports into docs/conformance/
	@for store in $(STORES); do \
		$(BIN)/formal-cluster conformance --store $$store $(QUICK) \
			--report docs/conformance/$$store.json || failed=1; done; \
	for driver in $(DISCOVERIES); do \
		$(BIN)/formal-cluster conformance --discovery $$driver $(QUICK) \
			--report docs/conformance/$$driver.json || failed=1; done; \
	$(BIN)/python -m formal_cluster_conformance.zoo --rules-only --write docs/conformance.md; \
	exit $${failed:-0}

conformance-quick: setup ## try two stores quickly, with the same dice each time: three minutes
	@$(MAKE) --no-print-directory --output-sync=target --jobs $(QUICKLY:%=conformance-quick-%)

$(QUICKLY:%=conformance-quick-%): conformance-quick-%:
	$(BIN)/formal-cluster conformance --store $* --quick --seed 1

conformance-zoo: setup ## does the suite notice? Twenty runs of each wrong driver; writes the tables
	$(BIN)/python -m formal_cluster_conformance.zoo --runs 20 --write docs/conformance.md

kit-check: setup ## the plugin templates: make projects of them, install them, run their own checks
	$(BIN)/pytest -n 2 tests/kit/kit_check.py

demo: ## three clustered proxies limit one user together; one is killed and comes back
	@tools/install-system-packages $(UV_NEEDS) etcd
	@tools/sync
	$(BIN)/formal-cluster demo

bench: setup ## measure us beside peers, 15 minutes; QUICK=1 has a look, WRITE=1 keeps the figures
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(WRITE),--write)

docs: setup ## build the documentation into site/, strictly; writes docs/reference from the code
	$(BIN)/python tools/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

release-check: setup ## build all wheels and sdists into dist/, judge them, install and use each extra
	@tools/install-system-packages $(UV_NEEDS) etcd
	$(BIN)/python -m tools.release_check

clean: ## remove the environment and everything generated
	rm -rf .venv .tools dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
