#!/usr/bin/env bash
# soak.sh [MINUTES]: builds the node and keeps three of them under half of the load that they can bear,
# so many minutes (10) on each database; below with-postgres.sh. Ends with 1 where memory, tables or
# the time of calls grew.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-10}
if ! [[ $minutes =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: make soak MINUTES=<whole number>" >&2
  exit 2
fi
# The whole workspace, as the suites do, so that nothing is compiled twice.
cargo build --locked --workspace --bins --test cluster_soak </dev/null
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry QUARRY_SOAK_SECONDS=$((minutes * 60))
cargo test --locked --workspace --test cluster_soak -- --nocapture --test-threads=1 </dev/null
