# Everything that people type. `make help` lists it.
# ENV=<file name under environments/> chooses the environment; the default is the emulated AWS.
ENV ?= local
override ENV := $(ENV:.yaml=)
PYTHON ?= python3

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv/bin
CDKTF := node_modules/.bin/cdktf
# The local environment has its own way to the providers of the workloads stack (local_aws/providers.py).
ifeq ($(ENV),local)
LOCALLY := $(VENV)/python -m local_aws run
CDKTF_OPTIONS := --skip-provider-lock
endif

export ENV
# Every file that the tools keep for themselves stays in the project's own working folder.
export CDKTF_HOME := $(CURDIR)/.work/cdktf
export JSII_RUNTIME_PACKAGE_CACHE_ROOT := $(CURDIR)/.work/jsii
export PIP_CACHE_DIR := $(CURDIR)/.work/pip
export npm_config_cache := $(CURDIR)/.work/npm
export TF_PLUGIN_CACHE_DIR := $(CURDIR)/.work/terraform-plugins
export TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE := 1
# No questions to the makers' servers.
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

##@ Use

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { printf "%s%s\n", gap, substr($$0, 5); gap = "\n" } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nENV=<file name under environments/> chooses the environment (now: %s).\n' "$(ENV)"

.PHONY: setup
setup: .work/python .work/node ## Make .venv and node_modules with the pinned tools
	@$(VENV)/python -m local_aws.provider_mirror

.work/tools: Makefile
	@mkdir -p .work $(TF_PLUGIN_CACHE_DIR)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; PYTHON=<command> names one")'
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' || { echo "Node.js 20 or newer is needed on the PATH" >&2; exit 1; }
	@terraform version -json 2>/dev/null | $(PYTHON) -c 'import json, sys; v = json.load(sys.stdin)["terraform_version"]; sys.exit(tuple(map(int, v.split("-")[0].split("."))) < (1, 11) and "Terraform 1.11 or newer is needed, this is " + v)' || { echo "Terraform 1.11 or newer is needed on the PATH" >&2; exit 1; }
	@touch $@

.work/python: .work/tools requirements.txt requirements-dev.txt constraints.txt
	@echo "Setting up Python packages in .venv (about a minute the first time)"
	@$(PYTHON) -m venv .venv
	@$(VENV)/pip install --quiet --requirement requirements-dev.txt
	@touch $@

.work/node: .work/tools package.json package-lock.json
	@echo "Setting up the cdktf command line in node_modules"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: demo
demo: setup ## Deploy to an AWS emulated on this machine, and sum up
	@$(VENV)/python -m local_aws demo

.PHONY: demo-down
demo-down: setup ## Destroy what demo deployed, and stop the emulator
	@$(VENV)/python -m local_aws down

.PHONY: bootstrap
bootstrap: setup ## Create the state bucket of backend.tf.json for ENV
	@$(VENV)/python -m deployment.state_bucket

# What sets up goes to standard error: `make consumer-policy … > policy.json` holds the policy alone.
.PHONY: consumer-policy
consumer-policy: ## Print the IAM policy for reading the state of STACKS="network cluster" of ENV
	@test -n "$(STACKS)" || { echo 'STACKS: not set. Accepted: any of network, cluster, workloads, as in STACKS="network cluster"' >&2; exit 1; }
	@$(MAKE) --no-print-directory setup >&2
	@$(VENV)/python -m deployment.consumer_policy $(STACKS)

.PHONY: synth
synth: setup ## Write the Terraform JSON of ENV to cdktf.out/
	@$(VENV)/python main.py
	@echo "cdktf.out/stacks: $$(ls cdktf.out/stacks | tr '\n' ' ')"

# make itself ends with 2 on any failure: a pipeline that gates on 2 or 3 calls deployment.plans.
.PHONY: plan
plan: setup ## Plan every stack of ENV, and write the report for its reviewers
	@$(LOCALLY) $(VENV)/python -m deployment.plans plan || case $$? in 2|3) ;; *) exit 1 ;; esac

.PHONY: apply
apply: setup ## Apply exactly what the last plan of ENV has planned
	@$(LOCALLY) $(VENV)/python -m deployment.plans apply

.PHONY: deploy
deploy: setup ## Deploy all stacks of ENV in their order; cdktf shows each plan and asks
	@$(LOCALLY) $(CDKTF) deploy '*' $(CDKTF_OPTIONS)

.PHONY: destroy
destroy: setup ## Destroy all stacks of ENV, in the reverse order
	@$(LOCALLY) $(CDKTF) destroy '*' $(CDKTF_OPTIONS)

.PHONY: show
show: setup ## Show what the rehearsal of the local environment put into its cluster
	@$(VENV)/python -m local_aws.rehearsal show --record .work/rehearsal.json

##@ Develop

.PHONY: test
test: lint ## Run lint and all tests but the long ones, with real Terraform against the emulator
	@$(VENV)/pytest -n 2 --dist loadgroup -m "not long"

.PHONY: test-long
test-long: setup ## Run the long tests: the same promises with more cases
	@$(VENV)/pytest -n 2 --dist loadgroup -m long

.PHONY: lint
lint: setup ## Check formatting, lint, types and imports
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo --no-cache

.PHONY: docs
docs: setup ## Write docs/settings.md and docs/outputs.md from the models
	@$(VENV)/python -m tools.generate_docs

.PHONY: snapshots
snapshots: setup ## Write tests/snapshots: the JSON of the example environment
	@ENV=example CDKTF_OUTDIR=.work/snapshots $(VENV)/python main.py
	@for stack in network cluster workloads; do cp .work/snapshots/stacks/$$stack/cdk.tf.json tests/snapshots/$$stack.json; done

.PHONY: bench
bench: setup ## Compare two ways of a synth; OPTIONS="--demo --test" measures these targets too
	@$(VENV)/python -m tools.bench $(OPTIONS)
