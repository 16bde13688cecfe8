# make demo    see Outrigger mend a wrecked repository
# make test    everything that is tested without a network
# Both do all the set-up themselves, and are quiet about it the second time.

# One target directory for all checkouts: Lance is built once.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/outrigger/target
export PROMTOOL ?= $(or $(shell command -v promtool 2>/dev/null),$(CARGO_TARGET_DIR)/prometheus/usr/bin/promtool)

NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)

# Cargo features besides the default, with commas between them: `make release FEATURES=gcp`.
FEATURES ?=
WITH := $(if $(FEATURES),--features "$(FEATURES)")

.PHONY: interop interop-test demo test setup release fmt clippy doc bench check clean-s3

demo: setup-build
	cargo run --quiet $(WITH) -- demo

test: setup
ifdef NEXTEST
	scripts/with-s3-server cargo nextest run $(WITH)
	cargo test --quiet --doc $(WITH)
else
	scripts/with-s3-server cargo test $(WITH)
endif

# The program as it is meant to run, at $(CARGO_TARGET_DIR)/release/outrigger.
release: setup-build
	cargo build --release --locked $(WITH)

fmt:
	cargo fmt --check
	cargo fmt --check --manifest-path tests/interop/Cargo.toml

clippy: setup-build setup-interop
	cargo clippy --all-targets $(WITH) -- -D warnings
	$(INTEROP) clippy --locked --all-targets --manifest-path tests/interop/Cargo.toml -- -D warnings

doc: setup-build
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps $(WITH)

# Minutes. Prints tables; docs/benchmarks.json keeps the same for machines. One alone: `BENCH=stranded`.
BENCH ?=
bench: setup
	scripts/with-s3-server cargo bench $(WITH) -- --json docs/benchmarks.json $(BENCH)

# Models and decisions alone: no Lance, seconds.
check: setup-target
	cargo test --no-default-features --lib

setup: setup-build setup-s3 setup-promtool

# The real engines as judge, both releases, against docs/interop.md: every state, a part of them with STATES='--sample NUMBER';
# STATES=--update writes the page.
STATES ?=
INTEROP := CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)-interop" cargo
interop: setup setup-interop
	cargo build --quiet $(WITH) --bins --example multi_table_commit
	$(INTEROP) build --locked --manifest-path tests/interop/Cargo.toml
	tests/interop/scripts/refuses-native "$(CARGO_TARGET_DIR)/debug/examples/multi_table_commit" "$(CARGO_TARGET_DIR)-interop/debug/interop"
	scripts/with-s3-server "$(CARGO_TARGET_DIR)-interop/debug/interop" matrix \
		--outrigger "$(CARGO_TARGET_DIR)/debug/outrigger" --document docs/interop.md $(STATES)

# That the judge notices what is wrong: the harness with a stand-in for Outrigger that misbehaves.
interop-test: setup-interop
	$(INTEROP) test --locked --manifest-path tests/interop/Cargo.toml

.PHONY: setup-build setup-protoc setup-interop setup-target setup-s3 setup-promtool
# Whoever has protoc built from source needs none.
setup-build: setup-target $(if $(findstring vendored-protoc,$(FEATURES)),,setup-protoc)

setup-protoc:
	@scripts/setup-protoc

# A package of its own, without that feature.
setup-interop: setup-protoc
	@CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)-interop" scripts/setup-target tests/interop/Cargo.toml

setup-target:
	@scripts/setup-target Cargo.toml

setup-promtool:
	@scripts/setup-promtool

setup-s3:
	@scripts/setup-s3-server

clean-s3:
	rm -rf "$(CARGO_TARGET_DIR)/ministack"
