# Everything that people type. `make help` lists it.
# ENV=<file name under environments/> chooses the environment; the default is the emulated AWS.
ENV ?= local
override ENV := $(ENV:.yaml=)
$(if $(findstring command,$(origin env)),$(error env=$(env): write ENV=$(env), in capital letters))
PYTHON ?= python3
# Terraform mostly waits, so more test processes than cores pay off. Each takes up to 1.3 GB.
WORKERS ?= 6

# The lock has the hashes of all files. LOCKED=no: for an index that serves files which it has built itself.
LOCKED ?= yes
# `export LOCKED=no` holds for each target: all of them begin with the set-up.
REQUIREMENTS := $(if $(filter no,$(LOCKED)),requirements-dev.txt,requirements.lock)
SCANNERS := $(if $(filter no,$(LOCKED)),requirements-scan.txt,requirements-scan.lock)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv/bin
# The local environment has its own way to the providers of the workloads stack (local_aws/providers.py).
ifeq ($(ENV),local)
LOCALLY := $(VENV)/python -m local_aws run
endif

export ENV
# KUBERNETES=docker and VERBOSE=1 are read by python -m local_aws.
export KUBERNETES
export VERBOSE
# Every file that the tools keep for themselves stays in the project's own working folder.
export CDKTF_HOME := $(CURDIR)/.work/cdktf
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.work/jsii
export PIP_CACHE_DIR := $(CURDIR)/.work/pip
export npm_config_cache := $(CURDIR)/.work/npm
export UV_CACHE_DIR := $(CURDIR)/.work/uv
export TF_PLUGIN_CACHE_DIR := $(CURDIR)/.work/terraform-plugins
export MPLCONFIGDIR := $(CURDIR)/.work/matplotlib
export TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE := 1
export PYTHONPYCACHEPREFIX := $(CURDIR)/.work/pycache
# Without compiled files each of many Python processes compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE
# No update checks and no usage reports.
export CHECKPOINT_DISABLE := 1
export DISABLE_VERSION_CHECK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export npm_config_update_notifier := false
# Node 20 is past its end of life and still works.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
# Terraform warns at each command of a configuration file that is named but not there.
ifneq ($(TF_CLI_CONFIG_FILE),)
ifeq ($(wildcard $(TF_CLI_CONFIG_FILE)),)
unexport TF_CLI_CONFIG_FILE
endif
endif

# What a user has removed, or a Python that has gone, is installed again.
.PHONY: again
NO_PYTHON := $(shell test -x $(VENV)/python || echo again)
NO_NODE := $(shell test -e node_modules/.bin/cdktf || echo again)

##@ Use

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "%s%s\n", gap, substr($$0, 5); gap = "\n" } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nENV=<file name under environments/> chooses the environment (now: %s).\n' "$(ENV)"

.PHONY: setup
setup: .work/ready ## Make .venv and node_modules with the pinned tools

.work/tools: Makefile tools/check_tools.py
	@mkdir -p .work/terraform-plugins
	@$(PYTHON) tools/check_tools.py
	@touch $@

# Node.js is set up beside Python. In each recipe of the set-up a line is one command: bash then becomes this
# command, so that a signal to make reaches it.
SET_UP := $(PYTHON) tools/set_up.py .work/set-up.lock
PYTHON_INPUTS := .work/tools $(REQUIREMENTS) requirements.txt constraints.txt $(NO_PYTHON)
NODE_INPUTS := .work/tools package.json package-lock.json $(NO_NODE)

.work/ready: $(PYTHON_INPUTS) $(NODE_INPUTS)
	@$(SET_UP) $(MAKE) --silent --no-print-directory --jobs=2 .work/python .work/node
	@touch .work/ready-python $@
	@echo "Ready"

# The workers of `make test` start at once, and each would compile the same modules.
.work/ready-tests: $(PYTHON_INPUTS) $(NODE_INPUTS)
	@$(SET_UP) $(MAKE) --silent --no-print-directory --jobs=2 .work/python .work/node .work/compiled
	@touch .work/ready-python .work/ready $@
	@echo "Ready"

# Most targets run no command line of cdktf: they need no npm.
.work/ready-python: $(PYTHON_INPUTS)
	@$(SET_UP) $(MAKE) --silent --no-print-directory .work/python
	@touch $@
	@echo "Ready"

# Where an installation was killed, pip may believe that a package is whole: so the next one begins anew.
# Without --no-compile pip compiles 1,500 modules of AWS resources, of which the stacks import 40.
.work/python: $(PYTHON_INPUTS)
	@test -e $@ -a -x $(VENV)/python || rm -rf .venv
	@rm -f $@ .work/ready-python .work/ready .work/ready-tests
	@echo "Python: making .venv"
	@$(PYTHON) -m venv .venv
	@echo "Python: installing packages"
	@$(VENV)/python -m tools.install_packages $(REQUIREMENTS)
	@touch $@
	@echo "Python: done"

# A test that can't be imported is told by `make test` itself. `exec`: for a redirection bash would stay.
.work/compiled: .work/python
	-@exec env PYTEST_ADDOPTS= $(VENV)/python -m pytest --collect-only --quiet > .work/compiled.log 2>&1
	@touch $@

.work/node: $(NODE_INPUTS)
	@rm -f $@ .work/ready .work/ready-tests
	@echo "Node.js: installing the cdktf command line"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
	@echo "Node.js: done"

.PHONY: demo
demo: .work/ready-python ## Deploy to an AWS emulated on this machine, and sum up
	@$(VENV)/python -m local_aws demo

.PHONY: demo-down
demo-down: .work/ready-python ## Destroy what demo deployed, and stop the emulator
	@$(VENV)/python -m local_aws down

.PHONY: seed
seed: .work/ready-python ## Store a demo token on the emulated AWS for each fleet that has none
	@$(VENV)/python -m local_aws seed

.PHONY: bootstrap
bootstrap: .work/ready-python ## Create the state bucket of backend.tf.json for ENV
	@$(VENV)/python -m deployment bootstrap

# The set-up prints to standard error: `make consumer-policy … > policy.json` holds the policy alone.
.PHONY: consumer-policy
consumer-policy: ## Print the IAM policy for reading the state of STACKS="network cluster" of ENV
	@test -n "$(STACKS)" || { echo 'STACKS: not set. Accepted: any of network, cluster, workloads, as in STACKS="network cluster"' >&2; exit 1; }
	@$(MAKE) --no-print-directory .work/ready-python >&2
	@$(VENV)/python -m deployment consumer-policy $(STACKS)

.PHONY: synth
synth: .work/ready-python ## Write the Terraform JSON of ENV to cdktf.out/
	@$(VENV)/python main.py
	@echo "cdktf.out/stacks: $$(ls cdktf.out/stacks | tr '\n' ' ')"

# make itself ends with 2 on any failure: a pipeline that gates on 2 or 3 calls `python -m deployment plan`.
.PHONY: plan
plan: .work/ready-python ## Plan every stack of ENV, and write the report for its reviewers
	@$(LOCALLY) $(VENV)/python -m deployment plan || case $$? in 2|3) ;; *) exit 1 ;; esac

.PHONY: apply
apply: .work/ready-python ## Apply exactly what the last plan of ENV has planned
	@$(LOCALLY) $(VENV)/python -m deployment apply

.PHONY: approve
approve: .work/ready-python ## Approve the changes of the last plan of ENV that need it (OPTIONS=--refuse: refuse them)
	@$(VENV)/python -m deployment approve $(OPTIONS)

.PHONY: approvals
approvals: .work/ready-python ## Show the record of approvals of ENV, and verify it
	@$(VENV)/python -m deployment approvals

.PHONY: deploy
deploy: .work/ready-python ## Deploy the stacks of ENV in their order; show each plan and ask (STACKS="workloads": one alone)
	@$(LOCALLY) $(VENV)/python -m deployment deploy $(STACKS)

.PHONY: destroy
destroy: .work/ready-python ## Destroy the stacks of ENV in the reverse order, after one question
	@$(LOCALLY) $(VENV)/python -m deployment destroy $(STACKS)

.PHONY: validate
validate: .work/ready-python ## Check the settings of ENV and backend.tf.json, without AWS
	@$(VENV)/python -m deployment validate

.PHONY: jobs
jobs: .work/ready-python ## Say whether the jobs of FILE=.gitlab-ci.yml would run on the fleets of ENV
	@test -n "$(FILE)" || { echo 'FILE: not set. Accepted: the path of a CI file, as in FILE=.gitlab-ci.yml' >&2; exit 1; }
	@$(VENV)/python -m jobs explain "$(FILE)" $(OPTIONS)

.PHONY: replay
replay: .work/ready-python ## Say how long the jobs of FILE=jobs.csv would wait on ENV, and what its nodes would cost
	@test -n "$(FILE)" || { echo 'FILE: not set. Accepted: the path of a log of jobs, as in FILE=jobs.csv' >&2; exit 1; }
	@$(VENV)/python -m jobs replay "$(FILE)" $(OPTIONS)

.PHONY: unlock
unlock: .work/ready-python ## Remove the lock that a killed Terraform has left on STACKS="network" of ENV
	@$(VENV)/python -m deployment unlock $(STACKS)

.PHONY: restore
restore: .work/ready-python ## Restore an older version of a lost or damaged state of STACKS="network" of ENV
	@$(VENV)/python -m deployment restore $(STACKS) $(OPTIONS)

.PHONY: orphans
orphans: .work/ready-python ## List the AWS objects of ENV that are in no state, as after a killed Terraform
	@$(VENV)/python -m deployment orphans

.PHONY: show
show: .work/ready-python ## Show what the rehearsal of the local environment put into its cluster
	@$(VENV)/python -m local_aws show

##@ Develop

.PHONY: test
test: .work/ready-tests ## Run lint and all tests but the long ones, with real Terraform against the emulator
	@$(MAKE) --no-print-directory lint > .work/lint.log 2>&1 & lint=$$!; status=0; trap "kill $$lint 2> /dev/null || true" EXIT; \
	$(VENV)/python -m pytest -n $(WORKERS) --no-loadscope-reorder || status=$$?; \
	wait $$lint || { status=1; cat .work/lint.log; echo "make lint: failed"; }; \
	exit $$status

.PHONY: test-long
test-long: .work/ready-tests ## Run the long tests: the same promises with more cases
	@$(VENV)/python -m pytest -n $(WORKERS) --no-loadscope-reorder -m long

.PHONY: chaos
chaos: .work/ready-tests ## Run faults, interruptions and bad input, and write docs/reliability.md (OPTIONS="--seed 1234": again)
	@$(VENV)/python -m pytest -n $(WORKERS) --no-loadscope-reorder -m chaos --figures $(OPTIONS)

.PHONY: test-cdktn
test-cdktn: setup ## Convert a copy to cdktn, the fork of cdktf, and compare what both synthesize
	@$(VENV)/python -m pytest -m cdktn tests/cdktn

.PHONY: lint
lint: .work/ready-python ## Check formatting, lint, types and imports
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/python -m mypy
	@$(VENV)/python $(VENV)/lint-imports --no-logo --no-cache

# REQUIRE="plan node": fail if these scans can't be done. checkov needs other versions of some packages than the project does.
.work/scan/ready: $(SCANNERS)
	@echo "Python: installing the scanners into .work/scan"
	@$(PYTHON) -m venv --clear .work/scan
	@.work/scan/bin/python -m pip install --quiet --no-compile --requirement $(SCANNERS)
	@touch $@

.PHONY: scan
scan: .work/ready-python .work/scan/ready ## Look for known weaknesses in stacks, plan, charts and packages
	@$(VENV)/python -m tools.scan $(if $(REQUIRE),--require $(REQUIRE))

.PHONY: docs
docs: .work/ready-python ## Write docs/settings.md and docs/outputs.md from the models, and draw docs/pictures
	@$(VENV)/python -m tools.generate_docs
	@$(VENV)/python -m jobs all-maxima --environment example --picture docs/pictures/maxima.svg

.PHONY: snapshots
snapshots: .work/ready-python ## Write tests/snapshots: the JSON of the example environment
	@ENV=example CDKTF_OUTDIR=.work/snapshots $(VENV)/python main.py
	@for stack in network cluster workloads; do cp .work/snapshots/stacks/$$stack/cdk.tf.json tests/snapshots/$$stack.json; done

.PHONY: released
released: .work/ready-python ## Write the JSON of the local environment to tests/fixtures/released/ (RELEASE=v1.2.0: the folder)
	@test -n "$(RELEASE)" || { echo 'RELEASE: not set. Accepted: the name of a version, as in RELEASE=v1.2.0' >&2; exit 1; }
	@ENV=local CDKTF_OUTDIR=.work/released $(VENV)/python main.py
	@mkdir -p "tests/fixtures/released/$(RELEASE)"
	@for stack in network cluster workloads; do $(VENV)/python -m json.tool --compact .work/released/stacks/$$stack/cdk.tf.json "tests/fixtures/released/$(RELEASE)/$$stack.json"; done

# The other reviewers are no part of the set-up: they bring more than a hundred packages.
.work/reviewers/ready: tools/compare_reviewers/requirements.txt
	@$(PYTHON) -m venv .work/reviewers
	@.work/reviewers/bin/python -m pip install --quiet --requirement $<
	@touch $@

.PHONY: compare-reviewers
compare-reviewers: .work/ready-python .work/reviewers/ready ## Compare plan_review with other reviewers, and write docs/plan_review.md
	@$(VENV)/python -m tools.compare_reviewers $(OPTIONS)

.work/lock/ready: requirements-dev.txt
	@$(PYTHON) -m venv --clear .work/lock
	@.work/lock/bin/python -m pip install --quiet --no-compile "$$(grep ^uv== $<)"
	@touch $@

# Each lock holds the hashes of all files of each version, so that it fits every platform.
COMPILE = .work/lock/bin/uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"

.PHONY: lock
lock: .work/tools .work/lock/ready ## Renew the lock files, after a change of a version
	@$(COMPILE) --output-file requirements.lock requirements-dev.txt
	@$(COMPILE) --output-file requirements-scan.lock requirements-scan.txt
	@npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error

.PHONY: newer-versions
newer-versions: setup ## Report what is newer than the tested versions, from public registries
	@$(VENV)/python -m tools.newer_versions

# The programs that a synth is compared with have packages of their own: they are no part of the set-up.
.work/bench/ready: tools/bench/package.json tools/bench/requirements.txt
	@echo "Installing the programs to compare with into .work/bench (800 MB)"
	@mkdir -p .work/bench && cp tools/bench/package.json .work/bench/
	@npm install --prefix .work/bench --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PYTHON) -m venv --clear .work/bench/python
	@.work/bench/python/bin/python -m pip install --quiet --requirement tools/bench/requirements.txt
	@touch $@

.PHONY: bench
bench: .work/ready-python .work/bench/ready ## Compare a synth with those of other programs; OPTIONS="--scale --replay --demo --test" measures more
	@$(VENV)/python -m tools.bench $(OPTIONS)
