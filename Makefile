# Every target is one line here and one script or command behind it; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test verify fix cluster chaos bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three processes, a text to a graph, one node killed, everything asked again
	@scripts/demo.sh

test: ## install what the tests need, build, run every suite with a PostgreSQL of its own
	@scripts/setup.sh unit doc harness api cluster
	@scripts/with-postgres.sh scripts/run-suites.sh unit doc harness api cluster

verify: ## format, lints, tidy, licences and advisories; never writes a source file
	@scripts/verify.sh

fix: ## what verify would complain about and a tool can mend
	cargo clippy --workspace --all-targets --locked --fix --allow-dirty --allow-staged
	cargo fmt --all

cluster: ## only the tests that start, kill and freeze real processes
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/run-suites.sh cluster

chaos: ## faults by a seed on hosts of their own, checked: SEED=1 MINUTES=3
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/chaos.sh "$(SEED)" "$(MINUTES)"

bench: ## release build, then durable and volatile calls with their conditions
	@scripts/setup.sh build
	cargo build --release --locked --package quarry-server
	target/release/quarry bench durable
	target/release/quarry bench volatile
