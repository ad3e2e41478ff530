# Everything runs in an environment of the project's own, .venv, which bin/environment makes on first
# use, and anew when it is not what the project needs any more. All it takes is make, Python 3.11 or
# newer and its venv module (Debian: apt install make python3 python3-venv), and a network.
#
#   make check                          prove everything
#   make check ARGS=--fresh             the same without answers kept from earlier runs
#   make check ARGS='--solver both'     the same with options of python -m proofs.check
#   make test ARGS='-k layout'          the same with options of pytest
#   make test DUCT_PROFILE=nightly      look for deviations of the driver for hours
#   make lab ARGS='--machine aarch64'   the lab on another machine
#   make PYTHON=python3.13 check        with another interpreter

PYTHON ?=
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: bench check clean contracts env format fuzz help lab lab-shell mutation soak test
.DELETE_ON_ERROR:

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 11

check: env ## prove the specification and catch every fault: python -m proofs.check
	$(RUN) proofs.check $(ARGS)

test: env ## lint, format, types, contracts and tests
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) properties.check_contracts
	$(RUN) pytest -n auto $(ARGS)

lab: env ## try the driver on a real kernel with emulated cards, in a virtual machine
	$(RUN) lab $(ARGS)

lab-shell: env ## that virtual machine, to play in
	$(RUN) lab shell $(ARGS)

bench: env ## measure what a packet costs, and how fast the executor and the proofs are
	$(RUN) bench.forward
	$(RUN) bench.datapath
	$(RUN) bench $(ARGS)

contracts: env ## let CrossHair look for counterexamples to the driver's contracts
	$(RUN) properties.check_contracts $(ARGS)

fuzz: env ## look for deviations of the driver until stopped, with a dashboard
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	DUCT_PROFILE=dev $(VENV)/bin/hypothesis fuzz $(ARGS) -- tests/test_stateful.py

mutation: env ## change what runs line by line, or with ARGS=model the rules: is it noticed?
	$(RUN) $(if $(filter model,$(ARGS)),proofs.mutation,properties.mutation) $(ARGS)

soak: env ## ten minutes of traffic, failures and closes; with ARGS=device over /dev/duct0 in the lab
	$(RUN) $(if $(filter device,$(ARGS)),lab.soak,properties.soak) $(filter-out device,$(ARGS))

format: env ## rewrite the source as make test wants it
	$(RUN) ruff check --fix
	$(RUN) ruff format

env: ## only make the environment
	@sh bin/environment $(PYTHON)
	@[ ! -d impl/datapath ] || $(VENV)/bin/python -c 'from impl.datapath import build; build.build_missing()'

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) $(VENV).before .lab .proof-answers .mutation-answers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info impl/datapath/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
