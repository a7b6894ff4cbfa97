# One command each, on a bare machine with Python 3.11 or newer.
#   make demo    set up, run the digits sweep, leave tables, figures and a report under demo/
#   make test    set up, run the tests
#   make test-all  the tests of tests/robustness with all crash points and 100,000 fuzzed inputs (about an hour); ends
#                  with the counts
#   make lint    formatter, linter, types, import contract
#   make bench   speed ratios against plain references; ROWS=views,step measures a part
#   make slurm-packages slurm-up   a real SLURM cluster on this machine for the tests (Debian; tests/cluster/README.md)
#   make slurm-down                stop and forget it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

SLURM_PACKAGES := munge slurmctld slurmd slurm-client slurmdbd mariadb-server-core mariadb-client-core
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=TEST_SLURM_DIR)

.PHONY: demo test test-all lint bench setup clean slurm-packages slurm-up slurm-down

demo: $(READY)
	$(BIN)/opera-bench run digits --runs demo --yes

# Tests of the cluster mostly wait for its daemons, so they run beside all others.
test: $(READY)
	@$(BIN)/pytest -n 2 --dist loadfile tests/cluster & cluster=$$!; \
	$(BIN)/pytest -n 2 --dist loadfile --ignore tests/cluster; rest=$$?; \
	wait $$cluster && exit $$rest

# Each of the five files of fuzzed inputs tries 20,000. One run of pytest, so that one table at its end counts everything.
test-all: $(READY)
	OPERA_BENCH_CRASH_POINTS=all OPERA_BENCH_FUZZ_CASES=20000 \
		$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'whole or not whole' tests/robustness

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m tests.speed $(ROWS)

setup: $(READY)

$(READY): requirements-lock.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("opera-bench needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

slurm-packages:
	@missing=; for package in $(SLURM_PACKAGES); do \
		dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed \
			|| missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] || { $(AS_ROOT) apt-get update -qq \
		&& $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }

slurm-up:
	$(AS_ROOT) tests/cluster/up

slurm-down:
	$(AS_ROOT) tests/cluster/down --wipe

clean:
	rm -rf $(VENV) demo
