# Two commands matter: `make demo` and `make test`. Both install into .venv first, what they need.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check docs serve
.NOTPARALLEL:
# Containers often set it; then every process would compile all that it imports, each time.
unexport PYTHONDONTWRITEBYTECODE

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# One stamp for each extra of pyproject.toml; what one has installed, the next finds there.
# Python compiles what it imports, so nothing else is compiled: that would take as long as the rest.
.venv/%.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q 'pip>=25'  # older ones take twice as long
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -q -c constraints.txt -e '.[$*]'
	@touch $@

demo: .venv/demo.installed  ## run the whole job on the built-in dataset
	$(BIN)/pose2id demo

test: .venv/dev.installed  ## run the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: .venv/dev.installed  ## lint, types, layering
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_dag.py

docs: .venv/docs.installed  ## build the documentation into site/, warnings are errors
	$(BIN)/python docs/dag.py
	$(BIN)/zensical build --strict

serve: .venv/pipeline.installed  ## Prefect server, worker and the nightly deployment, on loopback
	$(BIN)/pose2id serve
