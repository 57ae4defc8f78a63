# Every target is one line here and one script or command behind it; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test verify fix cluster sim crash chaos kills scale soak failover bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three processes, a text to a graph, one node killed, everything asked again
	@scripts/demo.sh

test: ## install what the tests need, build, run every suite with a PostgreSQL of its own
	@scripts/setup.sh unit doc harness api cluster
	@scripts/with-postgres.sh scripts/run-suites.sh unit doc harness planted api cluster

verify: ## format, lints, tidy, licences and advisories; never writes a source file
	@scripts/verify.sh

fix: ## what verify would complain about and a tool can mend
	cargo clippy --workspace --all-targets --locked --fix --allow-dirty --allow-staged
	cargo fmt --all

cluster: ## only the tests that start, kill and freeze real processes
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/run-suites.sh cluster

sim: ## simulated clusters by seeds, and planted bugs: SEEDS=2000 FROM=0
	@scripts/setup.sh build
	@scripts/sim.sh "$(or $(SEEDS),2000)" "$(or $(FROM),0)"

crash: ## a node of the real binary ends at every crash point in turn, on both databases
	@scripts/setup.sh cluster
	cargo build --locked --workspace --bins --test cluster_crash_points
	@QUARRY_CRASH_POINTS=all QUARRY_BIN=$${CARGO_TARGET_DIR:-$$PWD/target}/debug/quarry scripts/with-postgres.sh \
	  cargo test --locked --workspace --test cluster_crash_points -- --nocapture --test-threads=1

chaos: ## faults by a seed on hosts of their own, checked: SEED=1 MINUTES=3 [BUG=no-fence]
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/chaos.sh "$(SEED)" "$(MINUTES)" "$(BUG)"

kills: ## kill -9 at random moments under load, both databases, checked: ROUNDS=20 SEED=1
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/kills.sh "$(ROUNDS)" "$(SEED)"

scale: ## five nodes, 1,024 shards: two killed, three join, nothing lost: ENTITIES=100000
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/scale.sh "$(ENTITIES)"

soak: ## half of the load that three nodes can bear, both databases, nothing grows: MINUTES=10
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/soak.sh "$(MINUTES)"

failover: ## release build, then how long entities are silent when their owner is gone: ROUNDS=20
	@scripts/setup.sh cluster
	@scripts/with-postgres.sh scripts/failover.sh "$(ROUNDS)"

bench: ## release build, then calls and the coordinator's plan with their conditions
	@scripts/setup.sh build
	cargo build --release --locked --package quarry-server
	target/release/quarry bench durable
	target/release/quarry bench volatile
	target/release/quarry bench plan
