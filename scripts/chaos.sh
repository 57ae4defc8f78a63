#!/usr/bin/env bash
# chaos.sh [SEED] [MINUTES] [BUG]: builds the node, and does the faults of a seed, one at random if none is
# given, to three of them for so many minutes (3) while clients call; below with-postgres.sh. Prints
# the seed and the schedule first; ends with 1 at the first breach, with what happened around it. With
# a BUG, such as no-fence, it is planted in the nodes.
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${1:-$((RANDOM * 32768 + RANDOM))}
minutes=${2:-3}
bug=${3:-}
if ! [[ $seed =~ ^[0-9]+$ && $minutes =~ ^[0-9]+$ ]]; then
  echo "usage: make chaos SEED=<whole number> MINUTES=<whole number> [BUG=<planted bug>]" >&2
  exit 2
fi
# The whole workspace, as the suites do, so that nothing is compiled twice.
cargo build --locked --workspace --bins --test cluster_chaos </dev/null
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry
if [ -n "$bug" ]; then
  cargo build --locked --workspace --features quarry-server/planted-bugs --bin quarry-planted </dev/null
fi
export QUARRY_CHAOS_BUG=$bug
export QUARRY_CHAOS_SEED=$seed QUARRY_CHAOS_SECONDS=$((10#$minutes * 60))
cargo test --locked --workspace --test cluster_chaos -- --nocapture </dev/null
