# `make demo` and `make test` each set everything up and then do their job. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARGO_MANIFEST := core/Cargo.toml
RUST_SOURCES := $(shell find core -name '*.rs' -not -path '*/target/*') blocklists/text.table core/Cargo.toml core/Cargo.lock core/dnscore/Cargo.toml core/binding/Cargo.toml
# cargo and what it starts would look for make's job server, which is closed to them.
CARGO := MAKEFLAGS= cargo
# How many checks run side by side, and how many processes share the tests: one more than processors, since tests wait for servers a lot.
JOBS ?= $(shell nproc)
TESTERS ?= $(shell expr $$(nproc) + 1)

.DEFAULT_GOAL := help
.PHONY: help demo test check setup lint ruff mypy stubtest rustfmt clippy core-tests python-tests bench fleet interop peers soak deb fresh lock clean check-system

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: setup ## block a sample of names on loopback and show what happens to them; Ctrl-C ends it (ARGS=--once: by itself)
	$(BIN)/stopsign demo $(ARGS)

test: ## everything that must hold before a commit: linters, types, the core's tests, the tests
	@$(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync=target check

# The longest first: Python's tests wait for the core, and what needs neither runs meanwhile.
check: python-tests clippy core-tests mypy lint

lint: ruff mypy stubtest rustfmt clippy

ruff: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: $(VENV)/installed
	$(BIN)/mypy

stubtest: setup
	$(BIN)/stubtest --concise resolver._core

rustfmt: check-system
	$(CARGO) fmt --all --check --manifest-path $(CARGO_MANIFEST)

clippy: check-system
	$(CARGO) clippy --profile gate --locked --quiet --all-targets --manifest-path $(CARGO_MANIFEST) -- --deny warnings

core-tests: check-system
	$(CARGO) test --profile gate --locked --quiet --manifest-path $(CARGO_MANIFEST)

# The plus sign lets the dots be seen while they come: --output-sync keeps what the others say until they end.
python-tests: setup
	+$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist worksteal

bench: setup ## the bare sockets' limit, Stopsign and the installed peers; reading lists; looking names up, sealed lists too
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.lists
	$(BIN)/python -m tests.bench.streams
	cd core && $(CARGO) bench --quiet -p dnscore --bench list

interop: setup ## other people's programs verify and read what a desk and a log publish; installs them, so it is no part of the gate
	$(BIN)/python -m tests.interop

peers: setup ## Debian's newer resolvers, unpacked into a folder, against Stopsign's own verdict for a policy zone; its newer clients of encrypted DNS (root)
	$(BIN)/python -m tests.rpz.peers
	$(BIN)/python -m tests.dns.peers

fleet: setup ## five hosts in two cities, in network namespaces, and all that happens to them under load (root, a quiet machine)
	$(BIN)/python -m tests.fleet $(ARGS)

soak: setup ## ten minutes under load with everything that goes wrong; memory and descriptors must stay flat
	$(BIN)/python -m tests.faults.soak --minutes 10

deb: setup ## dist/stopsign_VERSION_ARCH.deb: the program, what it needs, the units
	packaging/build-deb

fresh: ## walk the README, install the package, kill its DNS, in clean trees of Debian 12 and 13 (root, debootstrap, systemd-nspawn, a network)
	tests/fresh/walk bookworm trixie

setup: check-system $(VENV)/installed $(VENV)/built ## the virtual environment, the locked dependencies, the core in release mode

check-system:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "stopsign: error: needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "stopsign: error: needs Python's venv: apt-get install python3-venv" >&2; exit 2; }
	@printf '1.89\n%s\n' "$$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" | sort --check=silent --version-sort || { echo "stopsign: error: needs a Rust toolchain, 1.89 or newer: apt-get install rustup && rustup default stable (Debian 13), or rustup's own installer" >&2; exit 2; }
	@echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || { echo "stopsign: error: needs a C compiler and the C library to link with: apt-get install gcc libc6-dev" >&2; exit 2; }

$(VENV)/installed: requirements.lock | check-system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement requirements.lock
	touch $@

# The build back end calls `maturin` by its name, and nobody has activated the environment that it is in.
$(VENV)/built: $(RUST_SOURCES) pyproject.toml $(VENV)/installed
	MAKEFLAGS= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: ## choose the newest dependencies that pyproject.toml allows, and write them down with their hashes
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --upgrade --extra dev --generate-hashes \
	  --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --generate-hashes --strip-extras \
	  --no-emit-index-url --no-emit-find-links --constraint requirements.lock --output-file requirements-run.lock pyproject.toml

clean: ## remove what setup made
	rm -rf $(VENV) build dist core/target resolver/_core*.so
