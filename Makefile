# Everything a person or CI does with a checkout. The Python environment is .venv/,
# what is built is in build/ and beside the modules (*.so); `make clean` removes both.

PYTHON ?= python3
CONFIG ?= etc/uacproxy.ini
PYTEST_ARGS ?=
BENCH_ARGS ?=
BASE ?= build/before.json

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
PYTEST := $(BIN)/python -m pytest $(PYTEST_ARGS)
SOURCES := $(shell find uacproxy -name '*.py' -o -name '*.c')
DEBIAN := tests/debian-packages.sh

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo run test check bench bench-compare bench-micro compiled tuned interpreted core venv servers clean

help:
	@echo "make demo         set everything up and show two calls through uacproxy"
	@echo "make run          serve in the foreground  (CONFIG=$(CONFIG))"
	@echo "make test         run every test, interpreted and compiled  (PYTEST_ARGS=)"
	@echo "make check        format, lint, types, floors"
	@echo "make bench        measure, and write build/bench.json  (BENCH_ARGS=)"
	@echo "make bench-micro  what single steps cost, interpreted and compiled"
	@echo "make bench-compare  what a change did  (BASE=$(BASE))"
	@echo "make compiled     compile the core, or fail"
	@echo "make tuned        compile it twice, the second time by what calls need (gcc; 5 min)"
	@echo "make interpreted  remove the compiled core"
	@echo "make venv         the Python environment alone  (PYTHON=$(PYTHON))"
	@echo "make clean        remove what was built, and the environment"

demo: core
	@$(BIN)/python -m uacproxy.testing.demo

run: core
	@$(BIN)/twistd -n --pidfile= uacproxy --config $(CONFIG)

bench: core
	@mkdir -p build
	@$(BIN)/python -m bench $(BENCH_ARGS)

MICRO := $(BIN)/python -m bench.micro

bench-micro: .venv/ready-for-tests
	@mkdir -p build && rm -f build/micro-plain.json build/micro-compiled.json
	@$(MAKE) interpreted && $(MICRO).steps -q -o build/micro-plain.json && $(MICRO).whole_call --batches 100
	@$(MAKE) compiled && $(MICRO).steps -q -o build/micro-compiled.json && $(MICRO).whole_call

bench-compare: .venv/ready
	@$(BIN)/python -m bench --compare $(BASE)

# First as plain Python, without what takes long, then compiled and with everything.
test: servers .venv/ready-for-tests
	@$(MAKE) interpreted
	@echo "== tests, interpreted core"
	@UACPROXY_COMPILE=0 $(PYTEST) -m "not slow"
	@if [ "$$CI" = true ] || $(BIN)/python -c 'import setup; setup.look_for_a_compiler()' 2>/dev/null; then \
	  $(MAKE) compiled && echo "== tests, compiled core" && UACPROXY_COMPILE=1 $(PYTEST); \
	else \
	  echo "== slow tests, interpreted core; without a C compiler the compiled one is not tested"; \
	  UACPROXY_COMPILE=0 $(PYTEST) -m slow; \
	fi

check: .venv/ready-for-tests
	@echo "== format"
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; exit 1; }
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@echo "== types"
	@$(BIN)/mypy --no-error-summary
	@echo "== floors"
	@mkdir -p build
	@$(BIN)/lint-imports > build/floors.txt 2>&1 || { cat build/floors.txt; exit 1; }
	@echo "== the core imports no Twisted"
	@$(BIN)/python -m pytest -q tests/unit/test_compiled_core.py

# The core compiled if it can be; when it cannot, setup.py says so in one line.
core: build/core.stamp

build/core.stamp: setup.py .venv/ready $(SOURCES)
	@echo "== compiling the core"
	@mkdir -p build
	@$(BIN)/python setup.py -q build_ext --inplace
	@echo compiled > $@

compiled: .venv/ready
	@UACPROXY_COMPILE=1 $(MAKE) -W setup.py build/core.stamp

# By gcc's profile: what calls and registrations run stands together in memory. The counts lie
# beside the objects, so both builds have the same folder, and start without objects.
TUNE := UACPROXY_COMPILE=1 $(BIN)/python setup.py -q build_ext --inplace --build-temp build/tuned

tuned: .venv/ready
	@rm -rf build/tuned && mkdir -p build
	@echo "== 1 of 3: compiling a core that counts"
	@UACPROXY_TUNE=record $(TUNE)
	@echo "== 2 of 3: calls and registrations through it"
	@for workload in w1 w1d w2 w4; do \
	  $(MICRO).whole_call --workload $$workload --batch 5 --batches 200 > build/tuned/$$workload.txt || exit 1; \
	done
	@$(MICRO).whole_refresh --minutes 3 > build/tuned/refresh.txt
	@find build/tuned -name '*.o' -delete
	@echo "== 3 of 3: compiling by what was counted"
	@UACPROXY_TUNE=use $(TUNE)
	@echo tuned > build/core.stamp

interpreted:
	@echo "== removing the compiled core"
	@find uacproxy -name '*.so' -delete
	@rm -f uacproxy__mypyc*.so build/core.stamp

venv: .venv/ready-for-tests

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "uacproxy needs Python 3.11 or newer, and $(PYTHON) is not; try make PYTHON=python3.12 ..."; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh $(DEBIAN) \
	  "no-program=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
	@echo "== Python environment in .venv"
	@$(PYTHON) -m venv --clear .venv

# compat: twistd does not find its plugin through setuptools' other way of editable install
.venv/ready: setup.cfg pyproject.toml | .venv/bin/python
	@echo "== packages uacproxy runs and is built with"
	@$(PIP) 'setuptools>=77' wheel
	@UACPROXY_COMPILE=0 $(PIP) --no-build-isolation --config-settings editable_mode=compat -e '.[build]'
	@touch $@

.venv/ready-for-tests: .venv/ready
	@echo "== packages for tests and checks"
	@UACPROXY_COMPILE=0 $(PIP) --no-build-isolation --config-settings editable_mode=compat -e '.[build,test,check]'
	@touch $@

servers:
	@sh $(DEBIAN) sipp=sip-tester kamailio=kamailio redis-server=redis-server postgres=postgresql mariadbd=mariadb-server \
	  /usr/lib/*/kamailio/modules/db_sqlite.so=kamailio-sqlite-modules cc=gcc /usr/include/stdlib.h=libc6-dev \
	  "$$($(PYTHON) -c 'import sys, sysconfig; print("%s/Python.h=python%d.%d-dev" % (sysconfig.get_path("include"), *sys.version_info[:2]))')"

clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -f uacproxy__mypyc*.so twisted/plugins/dropin.cache
	@find uacproxy tests -name '*.so' -delete
	@find uacproxy tests twisted -name __pycache__ -type d -prune -exec rm -rf {} +
