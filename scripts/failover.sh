#!/usr/bin/env bash
# failover.sh [ROUNDS]: builds the node for release, takes its owner away from an entity so often (20)
# for each fault, and prints how long the entity was silent, by phases; freezes owners inside a commit; then
# restarts all nodes in turn under load; below with-postgres.sh. Ends with 1 where a figure is above the promised one.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-20}
if ! [[ $rounds =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: make failover ROUNDS=<whole number>" >&2
  exit 2
fi
cargo build --locked --release --bin quarry </dev/null
# The whole workspace, as the suites do, so that nothing is compiled twice.
cargo build --locked --workspace --test cluster_failover --test cluster_freeze --test cluster_restart </dev/null
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/release/quarry
export QUARRY_FAILOVER_ROUNDS=$rounds QUARRY_FAILOVER_CHECKED=1
cargo test --locked --workspace --test cluster_failover --test cluster_freeze --test cluster_restart -- --nocapture --test-threads=1 </dev/null
