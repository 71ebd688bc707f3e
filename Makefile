# make run    the main job on real data: studies, verdicts, report
# make test   everything the default suite tests     make test-slow   the rest
# make lint   style, types, layers                   make docs        the documentation
# make bench  side by side with the peers            make clean       forget the environment
#
# Needs python3 (>= 3.11), make and git. Each target sets up what it needs in .venv,
# from requirements.lock, and a second run reuses it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INPUTS := pyproject.toml checker/pyproject.toml requirements.lock
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock

# Bytecode makes every start two to six times faster, an editable install's included.
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1
export UV_LINK_MODE := copy
# LAPACK's threads stall against XLA's.
export OPENBLAS_NUM_THREADS := 1

.PHONY: help run test test-slow lint docs bench lock clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

run: $(VENV)/.run
	@status=0; \
	$(BIN)/lemmata study --all --size tour --output out/tour || status=$$?; \
	$(BIN)/lemmata report out/tour --output report --benchmarks benchmarks/results || exit 1; \
	exit $$status

test: $(VENV)/.test
	@. tools/browser.sh && $(BIN)/python -m pytest -n 2 --dist loadgroup -q

test-slow: $(VENV)/.test
	@. tools/browser.sh && $(BIN)/python -m pytest -n 2 --dist loadgroup -q --run-slow -m slow

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "documentation: $(CURDIR)/site/index.html"

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# A lock of names and versions; pip reads the same file.
lock: $(VENV)/.base
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --all-extras \
	  --group lint --group test --group docs --group bench \
	  --no-emit-package lemmata-checker -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) out report site

$(VENV)/.base: $(INPUTS)
	@echo "setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(INSTALL) -e checker -e '.[studies,report,files,amg,cones]'
	@touch $@

$(VENV)/.run: $(VENV)/.base
	@touch $@

# The test group's tools, and what the type checker needs to see.
$(VENV)/.test: $(VENV)/.base
	@$(INSTALL) --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@$(INSTALL) --group lint
	@touch $@

$(VENV)/.docs: $(VENV)/.base
	@$(INSTALL) --group docs
	@touch $@

$(VENV)/.bench: $(VENV)/.base
	@$(INSTALL) --group bench
	@touch $@
