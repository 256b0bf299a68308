# One entry for every habit, the same by hand and in CI. The work is done by the scripts under hack/ and by the tools themselves.
VENV := .venv
IN_CLUSTER := eval "$$(hack/env)" &&
PYTEST := $(VENV)/bin/pytest
ON_CLUSTER := tests/cluster tests/hostile/test_runc.py tests/rogue --timeout 900

.DEFAULT_GOAL := help
.PHONY: help quickstart test check unit explore agree cluster-test alone-test cluster-up cluster-down images crds bench gvisor-test proofs hostile rogue netpol install uninstall venv tools

help: ## this text
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

quickstart: ## a cluster, Citadel on it, an example run to its end
	hack/quickstart

test: check unit cluster-test ## checks, unit tests, and the tests on a real cluster that may run beside each other

check: venv ## lint, types, rings, generated files
	$(VENV)/bin/ruff check operator tests
	$(VENV)/bin/ruff format --check operator tests
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/python -m citadel.api.crds --check
	hack/check-go

unit: venv tools ## tests without a cluster: unit, golden, component, conformance
	$(PYTEST) -n 2 --dist worksteal --durations 20

explore: venv ## a million states of the engine and more, some ten minutes
	$(VENV)/bin/python tests/explore

agree: venv install ## two hundred generated workflows on the cluster, against an interpreter of their own
	CITADEL_AGREE=0-200; export CITADEL_AGREE; $(IN_CLUSTER) $(PYTEST) tests/cluster/test_agreement.py -s

cluster-test: venv tools install ## tests on the real cluster, two files at a time
	$(IN_CLUSTER) $(PYTEST) $(ON_CLUSTER) -m "not alone" -n 2 --dist loadfile --durations 20

alone-test: venv tools install ## tests that need the cluster to themselves: crashes, upgrades, a hostile model; a quarter of an hour
	$(IN_CLUSTER) $(PYTEST) $(ON_CLUSTER) -m alone --durations 20

cluster-up: ## a Kubernetes to work on; builds a single node from source where there is none
	hack/cluster/up

cluster-down: ## takes it away again (PURGE=1: also what was built for it)
	hack/cluster/down

images: cluster-up ## builds the images and hands them to the cluster
	hack/images/build

crds: venv ## writes the CRDs and the schema for editors from the models
	$(VENV)/bin/python -m citadel.api.crds

proofs: venv install ## what the tests do a part of: thousands of executions, hundreds of starts, minutes away; half an hour
	CITADEL_PROOFS=all CITADEL_ROGUE=all; export CITADEL_PROOFS CITADEL_ROGUE; $(IN_CLUSTER) $(PYTEST) tests/cluster/test_scale.py \
	  tests/cluster/test_isolation.py tests/cluster/test_restarts.py tests/cluster/test_rendered_specs.py \
	  tests/cluster/test_agreement.py tests/component/local/test_agreement.py tests/rogue --timeout 1800 --durations 20

bench: venv install ## measures Citadel beside a bare pod, and the door of models beside a server of them
	$(IN_CLUSTER) $(VENV)/bin/python tests/bench
	$(VENV)/bin/python tests/bench/agents.py door
	$(IN_CLUSTER) $(VENV)/bin/python tests/bench/multiagent.py

gvisor-test: venv install ## the main job on the real cluster, every sandbox under gVisor
	CITADEL_TEST_RUNTIME_CLASS=gvisor; export CITADEL_TEST_RUNTIME_CLASS; $(IN_CLUSTER) $(PYTEST) tests/cluster/test_spine.py \
	  tests/cluster/test_runtimes.py tests/cluster/test_example.py --timeout 900

hostile: venv install ## hostile code in sandboxes, also under gVisor, and what its neighbours notice
	$(IN_CLUSTER) $(PYTEST) tests/hostile -rP --timeout 900

rogue: venv install ## a hostile model that tries 260 things beyond its policy, and hostile code in place of its loop
	CITADEL_ROGUE=all; export CITADEL_ROGUE; $(IN_CLUSTER) $(PYTEST) tests/rogue --timeout 1800

netpol: cluster-up ## upstream's own NetworkPolicy cases against the cluster
	hack/netpol/run

install: images ## installs or upgrades Citadel on the cluster
	hack/install

uninstall: ## removes Citadel from the cluster
	$(IN_CLUSTER) helm uninstall citadel -n citadel-system --ignore-not-found --wait

venv: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	hack/venv $(VENV)

tools: # what the component tests run beside Python and Go: a Postgres of their own, compilers, Node.js, podman, an object store
	@bash -c 'source hack/lib.sh; ensure_postgres; ensure_redis; ensure_compilers; ensure_podman; ensure_bubblewrap'
	@hack/cluster/build versitygw
