# Every command sets up what it needs by itself, once: the first run takes a minute or two.

VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
ARGS ?=
CODE := avirt drivers events tests tools benchmarks docs
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run test quick lint types fmt cover gen fuzz soak bench docs clean

help:            ## this list
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "make %-8s %s\n", $$1, $$2}'

$(VENV)/.run: pyproject.toml tools/setup_python.sh
	@sh tools/setup_python.sh $(VENV) run
	@touch $@

$(VENV)/.dev: pyproject.toml tools/setup_python.sh
	@sh tools/setup_python.sh $(VENV) dev
	@touch $(VENV)/.run $@

setup: $(VENV)/.dev ## the virtual environment with avirt and all tools (every other command does this too)

run: $(VENV)/.run ## a live view of the hypervisors of this machine (ARGS="…" goes to avirt)
	@exec $(BIN)/avirt $(or $(ARGS),run)

test: lint types ## everything: lint, types, all tests, with real hypervisors (as root it installs them)
	@sh tools/setup_peers.sh
	$(PYTEST) -q -n 2 -m "not real" $(ARGS)
	$(PYTEST) -m real --durations=10 $(ARGS)

quick: $(VENV)/.dev ## lint and all tests that need no real hypervisor
	@$(BIN)/ruff check -q .
	@$(BIN)/python tools/check_layers.py --check
	$(PYTEST) -q -n 2 -m "not real and not slow" $(ARGS)

lint: $(VENV)/.dev ## format, lint, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tools/check_layers.py --check
	@for tool in $(wildcard tools/generate_*.py); do $(BIN)/python $$tool --check || exit 1; done

types: $(VENV)/.dev ## mypy and pyright, both strict
	$(BIN)/python -m mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

fmt: $(VENV)/.dev ## format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cover: $(VENV)/.dev ## branch coverage of all tests, in htmlcov/
	@sh tools/setup_peers.sh
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

gen: $(VENV)/.dev ## write the generated files anew
	@for tool in $(wildcard tools/generate_*.py); do $(BIN)/python $$tool || exit 1; done

fuzz: $(VENV)/.dev ## the parsers against ten thousand hostile inputs each
	HYPOTHESIS_PROFILE=soak $(PYTEST) -q -m "not real" tests/fuzz tests/drivers tests/avirt/recording $(ARGS)

soak: $(VENV)/.dev ## an hour: the proof (PROOF="--lives 9000 --seed 5") and its mutants, restarts, stuck readers, a journal killed 3,000 times
	@sh tools/setup_peers.sh
	$(BIN)/python -m tests.proof $(PROOF)
	$(BIN)/python -m tests.proof.mutants
	$(BIN)/python -m benchmarks.soak_stuck_subscribers
	$(BIN)/python -m tests.events.soak_kill --lives 3000
	$(BIN)/python -m tests.real.soak_restarts $(ARGS)

bench: $(VENV)/.dev ## the benchmarks, each against its peer
	@sh tools/setup_peers.sh
	@sh tools/setup_bench.sh $(VENV)
	@failed=0; for program in $(notdir $(basename $(sort $(wildcard benchmarks/bench_*.py)))); do \
	  $(BIN)/python -m benchmarks.$$program $(ARGS) || failed=1; done; exit $$failed

docs: $(VENV)/.dev ## run every code block of README and docs/
	$(PYTEST) tests/docs $(ARGS)

clean:           ## remove what the commands above made here
	rm -rf .venv .venv-* .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov .coverage dist build
