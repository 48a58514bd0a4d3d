# Everything is made inside this folder: `make setup` needs Python 3.11 or newer and make, nothing else.

CANDIDATES = python3.13 python3.12 python3.11 python3
FITS = 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in $(CANDIDATES); do if $$p -c $(FITS) >/dev/null 2>&1; then echo $$p; break; fi; done)
BIN = .venv/bin
ARGS ?=

.PHONY: help setup demo test lint lock bench clean

help:
	@echo 'make demo    Postgres, a sample application, the service and its page, in one command'
	@echo 'make test    the whole test suite, with browser and official clients; ARGS="-k name" for a part'
	@echo 'make setup   the environment in .venv alone'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   measurements'
	@echo 'make lock    write the lock files anew; ARGS=--upgrade for newer versions'
	@echo 'make clean   remove everything that was made'

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed (tried: $(CANDIDATES)). Install it, or say make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) scripts/setup.py

demo: setup
	@$(BIN)/realtime-inspector demo $(ARGS)

test: setup
	$(BIN)/python -m tests.provision
	$(BIN)/python -m pytest -n 2 $(ARGS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict realtime_inspector

bench: setup
	$(BIN)/python -m bench $(ARGS)

# Versions and hashes only: no index, no addresses, so that every machine installs from where it is used to.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(ARGS)

lock: setup
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements.lock
	$(COMPILE) pyproject.toml --extra uvloop -c requirements.lock -o requirements-runtime.lock
	$(COMPILE) --group build -c requirements.lock -o requirements-build.lock
	$(COMPILE) tests/clients/python-requirements.in -o tests/clients/python-requirements.lock
	cd tests/clients && npm install --package-lock-only --ignore-scripts

clean:
	rm -rf .venv tests/clients/node_modules dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
