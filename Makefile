# Thin: makes .venv from a hash lock, then hands over to nox. `make test ARGS='-k plan'` hands words on.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
NOX := $(BIN)/nox --session

# The interpreter that $(PYTHON) was made from: an activated .venv must not be asked to make itself anew.
BASE := import sys; print(getattr(sys, "_base_executable", "") or sys.executable)
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help bootstrap patterns test lint docs bench clean

help:  ## What can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

bootstrap: $(VENV)/.bootstrapped  ## .venv with ci-envs and nox, from requirements/dev.txt and nothing else

# The stamp is written last: what an interrupted run leaves is made again.
$(VENV)/.bootstrapped: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c '' || { echo "make: there is no $(PYTHON) here; try: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c '$(RECENT)' || { echo "make: $$($(PYTHON) --version) is too old, 3.11 is needed; try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	"$$($(PYTHON) -c '$(BASE)')" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $@

patterns: bootstrap  ## The main job: every leg of matrices/default.yml
	$(NOX) patterns -- $(ARGS)

test: bootstrap  ## The test suite; with CI=true also the tests of real tools
	$(NOX) tests -- $(ARGS)

lint: bootstrap  ## Style, types, and what the action says
	$(NOX) lint

docs: bootstrap  ## The reference pages that are made from the code
	$(NOX) docs -- $(ARGS)

bench: bootstrap  ## What ci-envs costs over the bare tools
	$(NOX) bench -- $(ARGS)

clean:  ## Removes what the targets above made
	rm -rf $(VENV) .nox .ci-envs .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
