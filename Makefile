# Every target does its own set-up; a second run skips what is there.
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.stamp
DEBIAN := openvswitch-switch mininet iperf3 tshark tcpdump nftables iproute2 ethtool iputils-ping python3-venv gcc libc6-dev \
	postgresql

.PHONY: setup check test test-bmv2 unit e2e chaos soak demo bench proto lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml deploy/setup.sh $(wildcard topologies/*.c)
	@deploy/setup.sh "$(VENV)" $(DEBIAN)
	@touch $@

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	@deploy/proto.sh --check

unit: setup
	$(PY) -m pytest -n auto --dist loadfile -m "not e2e and not root"

e2e: setup
	$(PY) -m pytest -m "(e2e or root) and not chaos"

# One after the other: traffic is measured on a machine that does nothing else.
test: check unit e2e

# What `test` leaves out where BMv2, root or a tool is missing: here that is a failure.
test-bmv2: setup
	@command -v simple_switch_grpc >/dev/null || \
		{ echo "test-bmv2: simple_switch_grpc is not on the path; deploy/bmv2.sh gets it" >&2; exit 1; }
	CORRIDOR_REQUIRE_BMV2=1 $(PY) -m pytest tests/conformance tests/pair tests/p4

# Random faults in the lab for eight minutes, the same ones with the same SEED; ten with all that comes before and after.
SEED ?= 1
CHAOS_SECONDS ?= 480
chaos: setup
	SEED=$(SEED) CHAOS_SECONDS=$(CHAOS_SECONDS) $(PY) -m pytest -q -s --show-capture=no tests/chaos/test_chaos.py

# Ten thousand random operations on the simulated network; nothing may be left behind.
soak: setup
	SEED=$(SEED) SOAK=$${SOAK:-10000} $(PY) -m pytest -q -s --show-capture=no tests/chaos/test_soak.py

demo: setup
	@$(PY) -m topologies.demo

proto: setup
	deploy/proto.sh

# BENCH="--instances DIR --json FILE" gives a benchmark what the repository does not hold, or keeps what it found.
bench: setup
	@for b in bench/*.py; do $(PY) $$b $(BENCH) || exit 1; done

bench-%: setup
	$(PY) bench/$*.py $(BENCH)

lock:
	$(VENV)/bin/python -m pip install -q uv
	$(VENV)/bin/uv pip compile -q --python-version 3.11 --extra dev --extra bench --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
