# From nothing but Python 3.11 and make: `make demo`, `make test`.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    := OMP_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types unit slow docs-check bench clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | column -t -s:

install: $(VENV)/.stamp  ## make the virtual environment (again only when a requirement changes)

$(VENV)/.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: install  ## every domain at work, offline, with the shipped models; prints where the results lie
	HF_HUB_OFFLINE=1 $(BIN)/zoo demo

test: lint types unit  ## everything that must hold before a change lands

lint: install  ## style: ruff check and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## pyright over zoo and domains
	$(BIN)/pyright --pythonpath $(BIN)/python

unit: install  ## tests and doctests, without those marked slow
	$(RUN) $(BIN)/pytest -q -n auto

slow: install  ## the tests that take minutes
	$(RUN) $(BIN)/pytest -q -m slow || [ $$? -eq 5 ]  # 5: there are none

docs-check: install  ## every Python block of README.md and docs/ runs as written; doctests
	$(RUN) $(BIN)/pytest -q tests/test_docs.py zoo domains

bench: install  ## us and the peers side by side, into docs/benchmarks.md (fifty minutes)
	$(BIN)/python -m benchmarks.peers --write

clean:  ## remove what make made
	rm -rf $(VENV) .bench build dist .pytest_cache .ruff_cache
