#!/usr/bin/env bash
# Unmodified Effect RPC clients, of both generations of the library, call a node of this build.
# Needs node and npm; installs the libraries into a temporary directory. QUARRY_BIN names a binary
# that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "effect-rpc: $tool is missing" >&2; exit 1; }
done
if [ -z "${QUARRY_BIN:-}" ]; then
  cargo build --locked --package quarry-server
  QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry
fi

directory=$(mktemp -d "${TMPDIR:-/tmp}/quarry-effect.XXXXXX")
node=
finish() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "$node" ]; then
    kill -TERM "$node" 2>/dev/null || true
    wait "$node" 2>/dev/null || true
  fi
  rm -rf "$directory"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Installs the packages of $2… for generation $1, and puts its client beside them.
client() {
  local place=$directory/effect-$1 name=effect-$1
  shift
  mkdir "$place"
  cp tests/effect-rpc/api.mjs "tests/effect-rpc/$name.mjs" "$place"
  echo '{ "private": true }' >"$place/package.json"
  (cd "$place" && npm install --no-audit --no-fund --ignore-scripts --loglevel error "$@" </dev/null)
}
client 3 effect@3.22.4 @effect/rpc@0.76.2 @effect/platform@0.97.2
client 4 effect@4.1.0

"$QUARRY_BIN" dev --ephemeral --port 0 -o json </dev/null >"$directory/dev.json" 2>"$directory/dev.log" &
node=$!
for _ in $(seq 300); do
  [ ! -s "$directory/dev.json" ] || break
  kill -0 "$node" 2>/dev/null || break
  sleep 0.1
done
url=$(grep -oE 'http://[^"]*' "$directory/dev.json" | head -n 1) || {
  echo "effect-rpc: the node did not start" >&2
  cat "$directory/dev.log" >&2
  exit 1
}
for generation in 3 4; do
  timeout 60 node "$directory/effect-$generation/effect-$generation.mjs" "$url"
done
