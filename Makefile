# `make demo` and `make test` each set everything up and then do their job. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARGO_MANIFEST := core/Cargo.toml
RUST_SOURCES := $(shell find core -name '*.rs' -not -path '*/target/*') blocklists/text.table core/Cargo.toml core/Cargo.lock core/dnscore/Cargo.toml core/binding/Cargo.toml

.DEFAULT_GOAL := help
.PHONY: help demo test setup gate lint bench interop soak deb lock clean check-system

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: setup ## block a sample of names on loopback and show what happens to them; Ctrl-C ends it
	$(BIN)/stopsign demo

test: setup lint ## everything that must hold before a commit: linters, types, the core's tests, the tests
	cargo test --profile gate --locked --quiet --manifest-path $(CARGO_MANIFEST)
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --concise resolver._core
	cargo fmt --all --check --manifest-path $(CARGO_MANIFEST)
	cargo clippy --profile gate --locked --quiet --all-targets --manifest-path $(CARGO_MANIFEST) -- --deny warnings

bench: setup ## one table: the bare sockets' limit, Stopsign, and the peers that are installed
	$(BIN)/python -m tests.bench

interop: setup ## other people's TUF clients verify and read what a desk publishes; installs them, so it is no part of the gate
	$(BIN)/python -m tests.interop

soak: setup ## ten minutes under load with everything that goes wrong; memory and descriptors must stay flat
	$(BIN)/python -m tests.faults.soak --minutes 10

deb: setup ## dist/stopsign_VERSION_ARCH.deb: the program, what it needs, the units
	packaging/build-deb

setup: check-system $(VENV)/installed $(VENV)/built ## the virtual environment, the locked dependencies, the core in release mode

check-system:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "stopsign: error: needs Python 3.11 or newer: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "stopsign: error: needs Python's venv: apt-get install python3-venv" >&2; exit 2; }
	@printf '1.88\n%s\n' "$$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" | sort --check=silent --version-sort || { echo "stopsign: error: needs a Rust toolchain, 1.88 or newer: apt-get install rustup && rustup default stable (Debian 13), or rustup's own installer" >&2; exit 2; }
	@command -v cc >/dev/null || { echo "stopsign: error: needs a C compiler: apt-get install gcc" >&2; exit 2; }

$(VENV)/installed: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	touch $@

$(VENV)/built: $(RUST_SOURCES) pyproject.toml $(VENV)/installed
	$(BIN)/maturin develop --release --quiet --skip-install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
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
