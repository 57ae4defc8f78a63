#!/usr/bin/env bash
# sim.sh [SEEDS] [FROM]: simulates clusters by so many seeds (2000), from the first (0) on, on two
# threads, and looks which of the first 1,000 finds each planted bug. Ends with 1 where a promise was
# broken or a bug was missed; the figures are in the output.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-2000}
from=${2:-0}
if ! [[ $seeds =~ ^[0-9]+$ && $from =~ ^[0-9]+$ ]]; then
  echo "usage: make sim SEEDS=<whole number> FROM=<whole number>" >&2
  exit 2
fi
export QUARRY_SIM_SEEDS=$seeds QUARRY_SIM_FROM=$from QUARRY_SIM_SEARCH=1
cargo test --locked --workspace --test simulation -- --nocapture --test-threads=1 </dev/null
cargo test --locked --workspace --features quarry-tests/planted-bugs --test simulation_planted -- \
  --nocapture </dev/null
