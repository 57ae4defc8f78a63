#!/usr/bin/env bash
# check-openapi.sh [--install]: validates crates/gateway/openapi.json with a validator of others
# (openapi-spec-validator), which is kept in a virtual environment under the build directory. With
# --install it only makes sure that the validator is there.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=0.9.0
readonly place=${CARGO_TARGET_DIR:-$PWD/target}/openapi-validator-$version
if [ ! -x "$place/bin/openapi-spec-validator" ]; then
  command -v python3 >/dev/null || { echo "check-openapi: python3 is missing" >&2; exit 1; }
  rm -rf "$place"
  timeout 60 python3 -m venv "$place"
  timeout 300 "$place/bin/pip" install --quiet --disable-pip-version-check \
    "openapi-spec-validator==$version" </dev/null
fi
[ "${1:-}" != --install ] || exit 0
timeout 60 "$place/bin/openapi-spec-validator" --schema 3.1 crates/gateway/openapi.json
