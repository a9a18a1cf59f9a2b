# The names CI uses. `make demo` and `make test` need nothing but Python 3.11+ and make; Node is for TF.js.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# TensorFlow's start-up notices are not ours; warnings and errors stay.
export TF_CPP_MIN_LOG_LEVEL ?= 1

.PHONY: setup node demo test lint types docs bench acceptance lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "edgeship needs Python 3.11, 3.12 or 3.13; this is %s. Try: make PYTHON=python3.12 setup" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Pin again after editing pyproject.toml (needs uv). No index address may enter the lock files.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
lock:
	$(LOCK) pyproject.toml -o requirements/base.txt
	$(LOCK) pyproject.toml --extra all --group dev -o requirements/dev.txt
