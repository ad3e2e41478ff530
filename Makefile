# Everything runs in an environment of the project's own, .venv, which is made on first use and made
# anew whenever pyproject.toml has changed. All it takes is make, Python 3.11 or newer and its venv
# module (Debian: apt install make python3 python3-venv).
#
#   make check                          prove everything
#   make check ARGS='--only tx.*'       the same with options of python -m proofs.check
#   make test ARGS='-k layout'          the same with options of pytest
#   make test DUCT_PROFILE=nightly      look for deviations of the driver for hours
#   make lab ARGS='--machine aarch64'   the lab on another machine
#   make PYTHON=python3.13 check        with another interpreter

PYTHON ?= python3
ARGS ?=
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: bench check clean contracts env format fuzz help lab lab-shell mutation soak test
.DELETE_ON_ERROR:

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 11

check: $(READY) ## prove the specification and catch every fault: python -m proofs.check
	$(RUN) proofs.check $(ARGS)

test: $(READY) ## lint, format, types, contracts and tests
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) properties.check_contracts
	$(RUN) pytest -n auto $(ARGS)

lab: $(READY) ## try the driver on a real kernel with emulated cards, in a virtual machine
	$(RUN) lab $(ARGS)

lab-shell: $(READY) ## that virtual machine, to play in
	$(RUN) lab shell $(ARGS)

bench: $(READY) ## measure how fast the executor and the proofs are
	$(RUN) bench $(ARGS)

contracts: $(READY) ## let CrossHair look for counterexamples to the driver's contracts
	$(RUN) properties.check_contracts $(ARGS)

fuzz: $(READY) ## look for deviations of the driver until stopped, with a dashboard
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	DUCT_PROFILE=dev $(VENV)/bin/hypothesis fuzz $(ARGS) -- tests/test_stateful.py

mutation: $(READY) ## change the driver line by line: do the tests notice? Half an hour
	$(RUN) properties.mutation $(ARGS)

soak: $(READY) ## ten minutes of traffic, failures and closes, every packet accounted for
	$(RUN) properties.soak $(ARGS)

format: $(READY) ## rewrite the source as make test wants it
	$(RUN) ruff check --fix
	$(RUN) ruff format

env: $(READY) ## only make the environment

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) .lab build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: an installation that was interrupted is started again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Python 3.11 or newer is needed, and $(PYTHON) is not one; name one with make PYTHON=...' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'the venv module of $(PYTHON) is missing; on Debian: apt install python3-venv' >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
