# The entry points. `make help` lists them. Everything made goes into build/.
.DEFAULT_GOAL := build
SHELL := /bin/sh
BUILD := build
JOBS ?= $(shell nproc)
PYTHON := /usr/bin/python3
SOAK_SECONDS ?= 3600
RANDOM_SECONDS ?= 1800
FUZZ_SECONDS ?= 600

.PHONY: help build build-asan packages demo attack check check-all lint format fuzz soak random tsan \
        bench bench-pooler bench-churn bench-neighbour bench-large bench-memory bench-tenants \
        bench-isolations bench-enter bench-move reference clean

help: ## what can be made
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	    awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

packages: ## install the Debian packages that are missing (packages.txt)
	@scripts/install-packages

$(BUILD)/release/build.ninja: | packages
	CC=gcc meson setup $(BUILD)/release

$(BUILD)/asan/build.ninja: | packages
	CC=clang meson setup $(BUILD)/asan -Db_sanitize=address,undefined -Dfailpoints=true

build: packages $(BUILD)/release/build.ninja ## build/release/reeve, with gcc
	@ninja -j $(JOBS) -C $(BUILD)/release

build-asan: packages $(BUILD)/asan/build.ninja ## build/asan/reeve: clang, sanitizers, failpoints
	@ninja -j $(JOBS) -C $(BUILD)/asan

demo: build ## the guided tour: three tenants, three isolations, one endpoint
	@scripts/demo

attack: build ## attack an embedded Reeve in every isolation; fails when anything got through
	@scripts/attack

check: packages ## build and run all tests; the last line counts them
	@scripts/check $(CHECK_OPTIONS)

check-all: packages ## the same, with ThreadSanitizer, a longer fuzz and the long random test
	@scripts/check --all

lint: build-asan ## format, layers, clang-tidy, cppcheck, shellcheck
	@scripts/lint

format: packages ## clang-format every C file in place
	@scripts/lint --fix-format

fuzz: packages ## fuzz the protocol for FUZZ_SECONDS (600) a target
	@tests/fuzz/run $(FUZZ_SECONDS)

soak: build-asan ## random tenants, clients and mishaps for SOAK_SECONDS (3600)
	@REEVE_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTHON) -m pytest -q -x -s tests/integration/test_soak.py

random: build-asan ## random steps of many tenants against a model for RANDOM_SECONDS (1800)
	@REEVE_RANDOM_SECONDS=$(RANDOM_SECONDS) $(PYTHON) -m pytest -q -x -s tests/isolation/test_random.py

tsan: packages ## build with ThreadSanitizer, and run what has threads (ten minutes)
	@scripts/tsan

bench: bench-pooler bench-churn bench-neighbour bench-large bench-memory bench-tenants bench-isolations bench-enter bench-move ## every benchmark (minutes each; figures, not tests)

bench-pooler: build ## direct, a bare relay, PgBouncer, Reeve: throughput, latency, CPU (half an hour)
	@$(PYTHON) tests/bench/pooler.py $(BENCH_OPTIONS)

bench-churn: build ## connections that come and go, without TLS and with TLS and SCRAM
	@$(PYTHON) tests/bench/churn.py $(BENCH_OPTIONS)

bench-neighbour: build ## a quiet tenant beside one that floods, through Reeve and PgBouncer
	@$(PYTHON) tests/bench/neighbour.py $(BENCH_OPTIONS)

bench-large: build ## COPY of 1 GB, and rows of 1 MB: throughput and CPU
	@$(PYTHON) tests/bench/large.py $(BENCH_OPTIONS)

bench-memory: build ## memory of 10,000 clients and of 100,000 tenants, and CPU when idle
	@$(PYTHON) tests/bench/memory.py $(BENCH_OPTIONS)

bench-tenants: build ## 1,000 tenants on 20 backends: guard, login, PgBouncer (a quarter of an hour)
	@$(PYTHON) tests/bench/tenants.py $(BENCH_OPTIONS)

bench-isolations: build ## what a tenant costs in each isolation: to make, on disk, at work
	@$(PYTHON) tests/bench/isolations.py $(BENCH_OPTIONS)

bench-enter: build ## server CPU of entering a tenant, and of the row policy
	@$(PYTHON) tests/bench/enter.py $(BENCH_OPTIONS)

bench-move: build ## moving a tenant: its pause, copying, its neighbours (hours; --quick: minutes)
	@$(PYTHON) tests/bench/move.py $(BENCH_OPTIONS)

clean: ## remove build/
	rm -rf $(BUILD)
