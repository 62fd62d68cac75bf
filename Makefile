# Thin names for `shipyard`; `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install grade test test-unit test-all up down doctor reset labs bench attempts flaky lint lab

help:  ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(BIN)/.installed: pyproject.toml constraints.txt
	@echo "Installing the Python packages into $(VENV) (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); }
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

install: $(BIN)/.installed  ## Install the Python packages only

grade: install  ## Bring everything up and grade a sample class (COURSE=dir for your own)
	@$(BIN)/shipyard grade $(if $(COURSE),--course $(COURSE)) $(if $(LAB),--lab $(LAB)) $(if $(JOBS),--jobs $(JOBS))

test: install  ## Run the unit tests, then the live tests
	@$(BIN)/shipyard test

test-unit: install  ## Run the fast tests, which need no Docker (seconds)
	@$(BIN)/python -m pytest tests/unit

test-all: install  ## Run everything, the slow tests too
	@$(BIN)/shipyard test --all

attempts: install  ## Judge every attempt of every lab: expected against given verdict
	@$(BIN)/shipyard attempts --sandbox $(if $(LAB),--lab $(LAB)) $(if $(JOBS),--jobs $(JOBS))

flaky: install  ## Grade every attempt N times in random order: no verdict may flip (N=20)
	@$(BIN)/shipyard flaky --sandbox --together $(if $(N),-n $(N)) $(if $(LAB),--lab $(LAB)) $(if $(JOBS),--jobs $(JOBS))

up: install  ## Bring up engine, images and cluster
	@$(BIN)/shipyard up

down: install  ## Remove all of it and prove it
	@$(BIN)/shipyard down

doctor: install  ## Say what is there, what is missing and how to fix it
	@$(BIN)/shipyard doctor

reset: install  ## Undo what a lab made (LAB=lab1_dockerfile)
	@$(BIN)/shipyard reset $(LAB)

labs: install  ## Generate labs/ from solutions/
	@$(BIN)/shipyard release

lab: install  ## Open the labs in JupyterLab
	@$(BIN)/shipyard lab

bench: install  ## Print the figures
	@$(BIN)/shipyard bench

lint: install  ## Check the style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
