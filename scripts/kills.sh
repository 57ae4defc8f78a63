#!/usr/bin/env bash
# kills.sh [ROUNDS] [SEED]: builds the node and kills three of them, one or several at a time, at moments
# drawn from a seed (one at random if none is given), so many rounds (20) on each database while clients
# call; below with-postgres.sh. Prints the seed first; ends with 1 where an acknowledged call was lost
# or done twice.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-20}
seed=${2:-}
if ! [[ $rounds =~ ^[0-9]+$ && $seed =~ ^[0-9]*$ ]]; then
  echo "usage: make kills ROUNDS=<whole number> SEED=<whole number>" >&2
  exit 2
fi
# The whole workspace, as the suites do, so that nothing is compiled twice.
cargo build --locked --workspace --bins --test cluster_kills </dev/null
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry
export QUARRY_KILL_ROUNDS=$rounds QUARRY_KILL_SEED=$seed
cargo test --locked --workspace --test cluster_kills -- --nocapture --test-threads 1 </dev/null
