# Two commands matter: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check serve

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/installed  ## run the whole job on the built-in dataset
	$(BIN)/pose2id demo

test: .venv/installed  ## run the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: .venv/installed  ## lint, types, layering
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_dag.py

serve: .venv/installed  ## Prefect server, worker and the nightly deployment, on loopback
	$(BIN)/pose2id serve
