# Everything that is done with this checkout. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Most tests wait for something, so there may be more of them than processors.
TEST_PROCESSES ?= 4

.PHONY: help run test lint format bench wheel core clean

help:
	@echo 'make run     set up and run the daemon with its own bus and flow host (ARGS=… for more)'
	@echo 'make test    set up and run all tests (ARGS=… for pytest)'
	@echo 'make lint    check style, types and architecture'
	@echo 'make format  format Python and C'
	@echo 'make bench   run the benchmarks (about 10 minutes; some in benchmarks/ take longer)'
	@echo 'make wheel   build what is published into dist/'
	@echo 'make core    build the C core'
	@echo 'make clean   remove all that make made'

run: $(VENV)/daemon.stamp core
	$(BIN)/python sbusr_run.py --embedded $(ARGS)

test: $(VENV)/dev.stamp core
	@$(MAKE) --no-print-directory -C native check PYTHON=$(abspath $(BIN)/python)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory -C native format-check CLANG_FORMAT=$(abspath $(BIN)/clang-format)

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	@$(MAKE) --no-print-directory -C native format CLANG_FORMAT=$(abspath $(BIN)/clang-format)

bench: $(VENV)/dev.stamp core
	$(BIN)/python benchmarks/rpc.py $(ARGS)
	$(BIN)/python benchmarks/executor.py $(ARGS)
	$(BIN)/python benchmarks/throughput.py $(ARGS)
	$(BIN)/python benchmarks/pingpong.py $(ARGS)
	$(BIN)/python benchmarks/dip_messages.py $(ARGS)
	$(BIN)/python benchmarks/aio_tcp.py $(ARGS)

wheel: $(VENV)/dev.stamp
	$(BIN)/python -m tools.build_wheel --out dist

core:
	@$(MAKE) --no-print-directory -C native

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'SmartBus needs Python 3.10 or newer; name one: make PYTHON=…' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; } # half a one would pass for a whole

# Editable, so that the checkout is what runs. The core is built by native/Makefile, which
# knows what is out of date.
$(VENV)/daemon.stamp: pyproject.toml setup.py | $(BIN)/python
	SMARTBUS_BUILD_CORE=0 $(PIP) install -e '.[daemon]'
	@touch $@

# The extra "vendor" is empty where the vendor has no library.
$(VENV)/dev.stamp: pyproject.toml setup.py | $(BIN)/python
	SMARTBUS_BUILD_CORE=0 $(PIP) install -e '.[daemon,dev,vendor]'
	@touch $@ $(VENV)/daemon.stamp

clean:
	@$(MAKE) --no-print-directory -C native clean
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
