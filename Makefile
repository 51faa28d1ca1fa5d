# Daily commands. `make demo` needs Python 3.11 or newer and nothing else; the rest installs what it needs into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
ENGINE := $(BIN)/salus-engine
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

N ?= 20
SEED ?= 1

MINUTES ?= 10

.PHONY: help setup lock demo check test stories bench drill simulate faults soak synthea sample engine engines abci all clean

help:  ## Show this list.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: $(DEV)  ## Create .venv with all that development needs.

demo: $(RUNTIME)  ## Four hospitals, one record. DATA=folder takes your own FHIR R4 bundles.
	@$(BIN)/salus demo $(if $(DATA),--data "$(DATA)")

check: $(DEV)  ## Format, lint, strict types, import arrows, quiet rooms.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy -p salus -p tools
	@PYTHONPATH=src $(BIN)/lint-imports
	@$(BIN)/python -m tools.check_quiet

test: $(DEV) $(if $(shell command -v go),engine)  ## All tests; builds the ordering engine first where Go is there.
	@$(BIN)/pytest -n 2

engine: $(ENGINE)  ## The ordering engine between members (CometBFT 0.39.4): our own main, and the stock binary beside it.

$(ENGINE): $(wildcard engine/*) | $(BIN)/python
	@tools/build_engine engine $(BIN)

engines: $(DEV)  ## A few tests with other versions of CometBFT, 0.38.25 and 0.40.0; builds them the first time.
	@tools/test_engines $(VENV)

abci: $(DEV)  ## Generate the ABCI messages anew from their .proto.
	@$(BIN)/python -m tools.make_abci

stories: $(DEV)  ## The plain-text scripts of salus commands.
	@$(BIN)/pytest tests/stories

bench: $(RUNTIME)  ## All measurements; NAME=seal for one.
	@$(BIN)/salus bench $(NAME) --json

drill: $(RUNTIME)  ## Attacks on a real network; fails if one succeeds.
	@$(BIN)/salus drill

simulate: $(DEV)  ## A seeded cluster with lost, late and doubled messages.
	@SALUS_SEED=$(SEED) $(BIN)/pytest tests/simulation

faults: $(DEV) engine  ## Everything that may happen to four members, the whole crash matrix too; long.
	@SALUS_FAULTS=all $(BIN)/pytest tests/faults

soak: $(DEV) engine  ## Mixed load under random faults for MINUTES, then the history is checked; SEED repeats one.
	@PYTHONPATH=src:. $(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(filter command line environment,$(origin SEED)),--seed $(SEED))

synthea:  ## Fresh input from Synthea into synthea-data/: N patients from SEED.
	@tools/synthea/generate $(N) $(SEED) synthea-data

sample: $(RUNTIME)  ## Write the shipped sample again from its generator.
	@$(BIN)/python -m tools.make_sample

all: check test  ## What CI runs.

lock: $(DEV)  ## Resolve all dependencies anew into requirements/.
	@$(PIP_COMPILE) --output-file requirements/runtime.txt pyproject.toml requirements/build.in
	@$(PIP_COMPILE) --extra otel --constraint requirements/runtime.txt \
		--output-file requirements/otel.txt pyproject.toml requirements/build.in
	@$(PIP_COMPILE) --extra dev --extra otel --constraint requirements/runtime.txt \
		--output-file requirements/dev.txt pyproject.toml requirements/build.in

clean:  ## Remove .venv and all caches.
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp is written last, so an interrupted install is begun again.
$(BIN)/python:
	@tools/make_venv $(VENV)

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "installing what salus runs on into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/runtime.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing what salus and its tests run on into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $(RUNTIME) $@
