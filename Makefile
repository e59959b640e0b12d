# The two commands are `make demo` and `make test`; both make what they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
WITH_ENGINE := attack docker faults fidelity fuzz podman ray soak systemd/docker
GUEST := $(wildcard sandboxd/guest/*.c sandboxd/guest/*.h)

.PHONY: demo test check unit podman setup docs picture site bench bench-peers attack faults fidelity fuzz soak bench-against bench-cluster clean

demo: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/demo.sh

test: setup check
	@tests/packages.sh --tests
	$(BIN)/pytest

# The tests of the engine, on Podman.
podman: setup $(TOOLS)
	$(BIN)/python -m tests.podman

# Everything that needs no engine.
unit: check
	$(BIN)/pytest $(addprefix --ignore=tests/,$(WITH_ENGINE))

check: $(TOOLS)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/mypy --no-error-summary client/examples client/docs
	$(BIN)/lint-imports --no-cache | tail -n 1

# Everything at once for as long as wanted; SEED repeats one.
MINUTES ?= 20
soak: setup $(TOOLS)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --json soak.json

bench: setup $(TOOLS)
	$(BIN)/python -m tests.bench --json bench.json --chart client/docs/pages/chart.svg

# This tree beside another commit of it, by turns: `make bench-against COMMIT=main`.
bench-against: setup $(TOOLS)
	@test -n "$(COMMIT)" || { echo "say against which commit: make bench-against COMMIT=main"; exit 2; }
	$(BIN)/python -m tests.bench.against "$(COMMIT)" --json bench-against.json

# The same programs through what one would use instead, installed beside.
bench-peers: setup $(TOOLS)
	$(BIN)/python -m tests.bench.peers --json peers.json

# Every attack and its control, as a table, and 200 pairs for each kind of what a run could
# leave for the next; the tests have a core of both. `make attack ONLY=session` for some of
# the table, `JSON=attack.json` to have it in a file too.
attack: setup $(TOOLS)
	$(BIN)/python -m tests.attack.run $(if $(ONLY),--only "$(ONLY)") $(if $(JSON),--json "$(JSON)")
ifndef ONLY
	RESIDUE_PAIRS=200 $(BIN)/pytest --timeout=900 tests/docker/test_residue.py tests/attack/test_mutation.py
endif

# What an engine can do to a daemon, the long waits for deadlines among it.
faults: setup $(TOOLS)
	$(BIN)/pytest -m "" tests/faults

# Programs as people write them, here and by plain `docker run`: how many do the same.
# `make fidelity LANGUAGE=python` for one, `JSON=fidelity.json` to have the table in a file too.
fidelity: setup $(TOOLS)
	$(BIN)/python -m tests.fidelity $(if $(LANGUAGE),--language $(LANGUAGE)) $(if $(JSON),--json "$(JSON)")

# Every fuzzer for as long as wanted; a finding stays among the seeds.
SECONDS ?= 60
fuzz: $(TOOLS)
	@tests/packages.sh --tests
	$(BIN)/python -m tests.fuzz.run --seconds $(SECONDS)

# Programs over a Ray cluster on this machine, and what it would be on many.
bench-cluster: setup $(TOOLS)
	$(BIN)/python -m tests.bench.cluster --json cluster.json

# The documents that are made from the code; a test holds them in step.
docs: $(TOOLS)
	$(BIN)/sandboxd openrpc > client/openrpc.json
	$(BIN)/sandboxd openrpc --markdown > client/PROTOCOL.md
	$(BIN)/sandboxd config example > systemd/sandboxd.toml

# The terminal in the README, of real runs.
picture: setup $(TOOLS)
	$(BIN)/python -m tests.picture

# The documentation, as pages in build/site.
site: $(TOOLS)
	$(BIN)/mkdocs build --strict --quiet --config-file client/docs/mkdocs.yml

setup: $(INSTALLED)
	@$(BIN)/sandboxd setup --install-engine

# What running needs, and no more.
$(INSTALLED): pyproject.toml client/pyproject.toml sandboxd/guest/build.py $(GUEST)
	@PYTHON="$(PYTHON)" tests/packages.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing sandboxd into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e ./client -e .
	@touch $@

# What checks, tests and documents need beside it.
$(TOOLS): $(INSTALLED)
	@echo "installing what tests need into $(VENV)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -e './client[completion,top,repl,mcp,ray]' -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist build bench.json bench-against.json peers.json soak.json cluster.json sandboxd/guest/guest sandboxd/guest/*.so
