# The only front door. Every target works from a fresh clone with Rust and Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Interpreters beside the main one on which the Python tests run too, where they are installed.
PYTHONS ?= python3.11 python3.12 python3.13
# How long `make chaos` plays; SEED=<n> plays the same way again.
CYCLES ?= 200
# Tests in Rust find a broker in BELTLINE_TEST_KAFKA; `make test WITH_KAFKA=` does without those that need one.
WITH_KAFKA ?= $(PYTHON) tools/kafka_broker run --
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.PHONY: help build demo demo-kafka test test-rust test-python test-long chaos bench bench-kafka lint stub wheel clean

help: ## This list.
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: $(VENV)/.built ## A virtual environment in .venv with beltline and its command.

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet 'maturin>=1.13,<2'
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(VENV)/.built: $(VENV)/.tools $(RUST_SOURCES)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --quiet
	@touch $@

demo: build ## The flights of a year over the belt: 336,776 events, three tables.
	$(BIN)/python examples/flights/demo.py

demo-kafka: build ## The same on a Kafka that it starts: three workers, one killed midway (needs Java 17 and Maven).
	$(BIN)/python examples/flights/demo_kafka.py

test: lint test-rust test-python ## Everything: lints, Rust, simulation, Python, documentation examples.
	@echo "all tests passed"

test-rust:
	$(WITH_KAFKA) cargo test --workspace --exclude beltline-python --locked --quiet

test-python: build
	PYTHONS="$(PYTHONS)" $(BIN)/python tests/interpreters.py

test-long: build ## Three brokers that fail, Faust before and after, the demo on Kafka: minutes each (needs Java 17 and Maven).
	$(BIN)/python -m pytest -q -m long

chaos: build ## Workers and brokers come, go, hang and die for long: CYCLES=200 SEED=<n> (needs Java 17 and Maven).
	$(BIN)/python tests/kafka/chaos.py --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

bench: build ## Speed, as ratios in one run on one core; see benchmarks/RESULTS.md.
	$(BIN)/python benchmarks/run.py

bench-kafka: build ## The same on a Kafka that it starts, beside others: BENCH="--only speed --rounds 5" (needs two cores, Java 17, Maven).
	$(BIN)/python benchmarks/kafka/run.py $(BENCH)

lint: build ## Formatting, lints, types; warnings are errors.
	cargo fmt --all --check
	PYO3_PYTHON=$(CURDIR)/$(BIN)/python cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

stub: build ## The types of the extension module, from the doc comments in its Rust source.
	$(BIN)/python tools/native_stub.py

wheel: $(VENV)/.tools ## A wheel for this interpreter in target/wheels.
	$(BIN)/maturin build --release

clean: ## Remove what was built; data directories stay.
	rm -rf $(VENV) target
