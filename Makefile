# `make` prints this help.
#
#   make setup            create .venv with all that is needed (about two minutes, once)
#   make test             run the tests                        PYTEST_ARGS="-m 'not ros'" TEST_PROCESSES=0 (one, for -x and --pdb)
#   make lint             ruff and mypy
#   make demo             localize in the example map           DATA=path/to/data
#
# Torch is the CPU build, so nothing pulls gigabytes of CUDA libraries. For a CUDA machine:
#
#   make setup TORCH=torch==2.13.0
#
# With another Python than python3.11 (3.11 to 3.13), by name or path:
#
#   make setup PYTHON=python3.12

VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
# Of the environment it is not taken: only what was asked for here.
ASKED_PYTHON := $(if $(filter command line,$(origin PYTHON)),$(PYTHON))
BOOTSTRAP_PYTHON ?= $(or $(ASKED_PYTHON),$(shell command -v python3.11 || command -v python3))
# Empty means: what is installed already, else the CPU build.
TORCH ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
DATA ?=

.PHONY: help setup test lint demo clean

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

setup:
	@$(if $(BOOTSTRAP_PYTHON),,$(error Python 3.11 to 3.13 is needed: apt install python3 python3-venv))\
	$(BOOTSTRAP_PYTHON) tools/setup_env.py $(if $(TORCH),--torch '$(TORCH)')

test: setup
	$(VENV_PYTHON) -m pytest test -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

lint: setup
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy deviloc_ros benchmarks

demo: setup
	$(VENV_PYTHON) -m deviloc_ros demo $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV)
