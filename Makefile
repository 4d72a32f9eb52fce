# Two commands do everything on a fresh machine with python3 and make: `make run`, `make test`.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --no-compile --prefer-binary \
	-c requirements/constraints.txt
# The pinned build; where an index offers a CPU build of this version, that is the one to have.
TORCH := torch==2.13.0

# Byte code once, on all cores: several times faster than pip's own, and every start needs it.
COMPILE := $(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true

# Tracing takes a fifth of the time, so that CI alone holds the coverage to its least.
COVERAGE := $(if $(CI),--cov --cov-report=term-missing:skip-covered --cov-fail-under=90)

.PHONY: run test lint docs constraints clean

run: $(VENV)/.core
	$(BIN)/crossmarket demo --out runs/demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal $(COVERAGE)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The command-line reference and the picture of the floors are made from the code.
docs: $(VENV)/.dev
	$(BIN)/python -m docs.build

$(VENV)/.core: pyproject.toml requirements/constraints.txt
	$(PY) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --editable .
	$(COMPILE)
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) --editable '.[dev]'
	$(COMPILE)
	touch $@

constraints: $(VENV)/.dev
	$(BIN)/pip freeze --exclude-editable | sed -e 's/+cpu//' -e 's/^torch @.*/$(TORCH)/' \
		> requirements/constraints.txt

clean:
	rm -rf $(VENV) runs build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
