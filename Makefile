# Two commands are all a newcomer needs: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLAVOUR ?= cpu
STAMP := $(VENV)/.installed-$(FLAVOUR)
LOCK := requirements$(if $(filter gpu,$(FLAVOUR)),-gpu,).lock
WORKDIR ?= workdir

.PHONY: help env demo test test-fast lint types lock docs figures screenshots clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# The environment is rebuilt when the lock changes. uv installs the same lock as pip, faster;
# bytecode is compiled once so that no worker process does it again.
$(STAMP): $(LOCK) pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode $(LOCK)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	rm -f $(VENV)/.installed-*
	touch $@

env: $(STAMP)  ## make the environment from the lock

demo: $(STAMP)  ## train, index and score on the demo photographs
	$(BIN)/retrieval run configs/how_lite0_demo.yaml --workdir $(WORKDIR)

test: $(STAMP)  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit tests/integration -n 2 --durations=10
	$(BIN)/python -m pytest tests/e2e -n 2 --dist loadfile --durations=10

test-fast: $(STAMP)  ## the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -m "not slow" -n 2

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy, strict on retrieval_core
	$(BIN)/mypy

lock: $(STAMP)  ## resolve the locks again, without index addresses
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --extra cpu --extra dev -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --extra gpu --extra dev -o requirements-gpu.lock

docs: $(STAMP)  ## the API reference, from the docstrings, into site/
	$(BIN)/python docs/api.py site

figures: $(STAMP)  ## draw the figures of the method pages again
	$(BIN)/python docs/figures/draw.py

screenshots: $(STAMP)  ## photograph the pages of docs/screens.md again (needs chromium)
	PYTHONPATH=tests/e2e $(BIN)/python docs/screens/draw.py

clean:  ## remove the environment and the work directory
	rm -rf $(VENV) $(WORKDIR)
