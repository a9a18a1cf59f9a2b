# The names CI uses. `make demo` and `make test` need nothing but Python 3.11+ and make; Node is for TF.js.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes of `make test`: a file of tests stays in one, because its fixtures train and convert.
JOBS ?= 2
# TensorFlow's start-up notices are not ours; warnings and errors stay.
export TF_CPP_MIN_LOG_LEVEL ?= 1

.PHONY: setup node system demo test android android-assets web-demo lint types docs bench acceptance lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "edgeship needs Python 3.11, 3.12 or 3.13; this is %s. Try: make PYTHON=python3.12 setup" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# TF.js needs Node 18+. Tests install it where that is possible; without it, TF.js is left out and everything says so.
node: setup
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(BIN)/edgeship doctor --install node >/dev/null; \
	else echo "Node is not installed: TF.js files cannot be verified here. Install Node 18+ and run make again."; fi

# What tests need beside Python, on Debian as root; elsewhere such tests skip with the reason.
system:
	@lacking=""; command -v node >/dev/null || lacking="nodejs npm"; command -v chromium >/dev/null || lacking="$$lacking chromium"; \
	command -v firefox-esr >/dev/null || command -v firefox >/dev/null || lacking="$$lacking firefox-esr"; \
	[ -x /usr/sbin/sshd ] || lacking="$$lacking openssh-server openssh-client"; \
	command -v adb >/dev/null || lacking="$$lacking adb"; command -v mksh >/dev/null && command -v toybox >/dev/null || lacking="$$lacking mksh toybox"; \
	command -v mmdebstrap >/dev/null || lacking="$$lacking mmdebstrap"; command -v qemu-aarch64-static >/dev/null || lacking="$$lacking qemu-user-static"; \
	command -v qemu-aarch64 >/dev/null || lacking="$$lacking qemu-user"; command -v cc >/dev/null || lacking="$$lacking gcc libc6-dev"; \
	[ -x /usr/sbin/nginx ] || lacking="$$lacking nginx-light"; ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || lacking="$$lacking postgresql"; command -v strace >/dev/null || lacking="$$lacking strace"; \
	! command -v javac >/dev/null || { command -v aapt2 && command -v zipalign && command -v apksigner && command -v dexdump; } >/dev/null || lacking="$$lacking aapt zipalign apksigner dexdump"; \
	if [ -n "$$lacking" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	{ apt-get update -qq -o Acquire::http::Timeout=20 && apt-get install -y -qq --no-install-recommends $$lacking >/dev/null; } \
	|| echo "apt-get cannot install$$lacking: tests that need it skip."; fi

demo: setup node
	$(BIN)/edgeship demo

test: setup system
	@$(MAKE) --no-print-directory node
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# The JVM client for Android and the demo app (android_demo/README.md): JDK 17, Maven, and for the app Debian's aapt,
# zipalign and apksigner. What the app trusts is made here, with keys for development, unless it is there.
ANDROID_ASSETS := android_demo/app/src/main/assets/edgeship/root.json
android: setup
	mvn -B -q -f android_demo/edgeship-client verify
	mvn -B -q -f android_demo/edgeship-client -Pdex -DskipTests package || echo "R8 cannot be had from here: no dex file was made."
	@[ -f $(ANDROID_ASSETS) ] || $(MAKE) --no-print-directory android-assets
	$(BIN)/python android_demo/apk.py --both

android-assets: setup
	$(BIN)/edgeship demo --out builds/android/digits
	$(BIN)/edgeship bundle builds/android/digits --for device --artifact tflite/int8 --out builds/android/bundle
	[ -d builds/android/keys ] || $(BIN)/edgeship keys init builds/android/keys --dev
	$(BIN)/edgeship publish builds/android/bundle --repo builds/android/updates --keys builds/android/keys --name digits
	$(BIN)/python android_demo/assets.py builds/android/updates --address https://models.example

# A small app around the demo's model as an npm package (web_demo/README.md), served on loopback until Ctrl-C.
web-demo: setup node
	$(BIN)/python web_demo/make.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Generated pages; CI checks that they are up to date (tests/unit/test_docs.py).
docs: setup
	$(BIN)/python -m tests.docs

bench: setup node
	$(BIN)/python -m tests.acceptance.bench

# Hours the first time; what has a record of today's code is not run again.
acceptance: setup node
	$(BIN)/python -m tests.acceptance.compression
	$(BIN)/python -m tests.acceptance.fuzz
	$(BIN)/python -m tests.acceptance.malformed
	$(BIN)/python -m tests.acceptance.fleet
	$(BIN)/python -m tests.acceptance.deltas
	$(BIN)/python -m tests.acceptance.slices
	$(BIN)/python -m tests.acceptance.web_comparison
	$(BIN)/python -m tests.acceptance.search
	$(BIN)/python -m tests.acceptance.benchmarks --aa 200 --five 100 --three 100 --construction --overhead 20
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) builds dist .mypy_cache .pytest_cache .ruff_cache

# Pin again after editing pyproject.toml (needs uv). No index address may enter the lock files.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet
lock:
	$(LOCK) pyproject.toml -o requirements/base.txt
	$(LOCK) pyproject.toml --extra all --group dev -o requirements/dev.txt
