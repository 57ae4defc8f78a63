#!/usr/bin/env bash
# effect-rpc.sh [--install]: unmodified Effect RPC clients, of both generations of the library, call a
# node of this build. The libraries are kept under the build directory; with --install it only makes
# sure that they are there. Needs node and npm. QUARRY_BIN names a binary that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly place=$target/effect-rpc
readonly -A packages=(
  [3]="effect@3.22.4 @effect/rpc@0.76.2 @effect/platform@0.97.2"
  [4]="effect@4.1.0"
)

for tool in node npm; do
  command -v "$tool" >/dev/null || { echo "effect-rpc: $tool is missing" >&2; exit 1; }
done
for generation in "${!packages[@]}"; do
  library=$place/$generation
  [ "$(cat "$library/installed" 2>/dev/null)" != "${packages[$generation]}" ] || continue
  rm -rf "$library"
  mkdir -p "$library"
  echo '{ "private": true }' >"$library/package.json"
  # shellcheck disable=SC2086 # a list of words
  (cd "$library" && timeout 300 npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    ${packages[$generation]} </dev/null)
  echo "${packages[$generation]}" >"$library/installed"
done
[ "${1:-}" != --install ] || exit 0

if [ -z "${QUARRY_BIN:-}" ]; then
  cargo build --locked --package quarry-server
  QUARRY_BIN=$target/debug/quarry
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
  # A client finds its libraries beside itself.
  mkdir "$directory/$generation"
  cp tests/effect-rpc/api.mjs "tests/effect-rpc/effect-$generation.mjs" "$directory/$generation"
  ln -s "$place/$generation/node_modules" "$directory/$generation/node_modules"
  timeout 60 node "$directory/$generation/effect-$generation.mjs" "$url"
done
