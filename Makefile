# The newcomer's two commands are `make demo` and `make test`; both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo drill prove test check bench bench-metrics bench-guard bench-discovery fuzz clean lock
setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Breakwater needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5' || echo "uv is not to be had; pip installs instead (slower)"
	@if [ -x $(BIN)/uv ]; then \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . ; \
	fi
	@touch $(STAMP)

DEMO_FLAGS ?=
demo: setup
	@$(BIN)/breakwater demo $(DEMO_FLAGS)

drill: setup
	@$(BIN)/breakwater drill --rounds 30 --seed 1

PROVE_FLAGS ?=
prove: setup
	@$(BIN)/breakwater prove $(PROVE_FLAGS)

test: setup
	$(BIN)/python -m pytest -n 2

check: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy src tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow" -n 2

bench: setup
	$(BIN)/python -m benchmarks

BENCH_FLAGS ?=
bench-metrics: setup
	$(BIN)/python -m benchmarks.metrics $(BENCH_FLAGS)

# The peers live in an environment of their own, outside the repository's; a few megabytes.
PEERS := $(VENV)/guard-peers
$(PEERS)/.installed: benchmarks/guard_peers.lock | setup
	@$(BIN)/python -m venv $(PEERS) && \
	  if [ -x $(BIN)/uv ]; then \
	    $(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes -r benchmarks/guard_peers.lock ; \
	  else \
	    $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/guard_peers.lock ; \
	  fi && touch $@ || echo "the peers are not to be had; only our own rows are measured"

bench-guard: setup
	@$(MAKE) --no-print-directory $(PEERS)/.installed
	$(BIN)/python -m benchmarks.guard --peers $(PEERS)/bin/python $(BENCH_FLAGS)

bench-discovery: setup
	$(BIN)/python -m benchmarks.discovery $(BENCH_FLAGS)

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url pyproject.toml --extra server --extra archive --group dev -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url benchmarks/guard_peers.in -o benchmarks/guard_peers.lock

TARGET ?= programs
FUZZ_FLAGS ?= -max_total_time=60 -timeout=10 -rss_limit_mb=4096
fuzz: setup
	$(BIN)/python -m tests.fuzz $(TARGET) $(FUZZ_FLAGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
