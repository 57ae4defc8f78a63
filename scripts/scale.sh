#!/usr/bin/env bash
# scale.sh [ENTITIES]: builds the node and runs five of them with 1,024 shards and so many entities
# (100000), kills two at once and lets three others join; below with-postgres.sh. Ends with 1 where a
# shard was without an owner for more than 5 s, or something was lost, done twice or forgotten.
set -euo pipefail
cd "$(dirname "$0")/.."
entities=${1:-100000}
if ! [[ $entities =~ ^[0-9]+$ ]]; then
  echo "usage: make scale ENTITIES=<whole number>" >&2
  exit 2
fi
# The whole workspace, as the suites do, so that nothing is compiled twice.
cargo build --locked --workspace --bins --test cluster_scale </dev/null
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry QUARRY_SCALE_ENTITIES=$entities
cargo test --locked --workspace --test cluster_scale -- --nocapture </dev/null
