# Each target sets up what it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
# Tests wait for real servers more than they compute: two at a time keep two cores busy enough.
WORKERS ?= 2
# Those that run with no other beside them: to collect all the others for them takes longer than to run them.
ALONE = $(or $(ARGS),$(shell grep -rl --include='*.py' 'mark\.alone' tests))
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# Tests start many processes: without kept bytecode each of them compiles every module anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage check bench format clean

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'

# uv keeps itself in the environment it fills: --inexact leaves it there.
$(VENV)/.dev: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --inexact --extra all
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(UV) sync --quiet --frozen --inexact --extra all --group bench
	touch $@

run: $(VENV)/.dev
	$(BIN)/holdfast serve --demo

test: $(VENV)/.dev
	$(BIN)/pytest -m alone $(ALONE) || { [ $$? -eq 5 ] && [ -n "$(ARGS)" ]; }  # 5: none among ARGS
	$(BIN)/pytest -m 'not alone' -n $(WORKERS) --dist worksteal $(ARGS)

# Apart from `test`: following every line more than doubles the time of tests of rules.
coverage: $(VENV)/.dev
	$(BIN)/pytest -m alone $(ALONE) --cov --cov-report=
	$(BIN)/pytest -m 'not alone' -n $(WORKERS) --dist worksteal --cov --cov-append --cov-report=term:skip-covered

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .bench .mypy_cache .ruff_cache .hypothesis .coverage .holdfast
