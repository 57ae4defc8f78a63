#!/usr/bin/env bash
# Checks that need no server and write no source file: format, lints, the repository's own rules,
# and, where cargo-deny is installed, licences, bans, sources and advisories.
set -euo pipefail
cd "$(dirname "$0")/.."

timed() {
  local started=$SECONDS name=$1
  shift
  echo "== $name"
  "$@" </dev/null
  echo "== $name: $((SECONDS - started)) s"
}

timed format cargo fmt --all -- --check
timed clippy cargo clippy --locked --workspace --all-targets -- -D warnings
timed tidy cargo test --locked --quiet --workspace --test tidy
if cargo deny --version >/dev/null 2>&1; then
  timed deny cargo deny --locked --offline check bans licenses sources
  # Fetches the advisory database; without a network, the copy of the last time is used.
  timed advisories bash -c 'cargo deny --locked check advisories ||
    { echo "once more with the stored database"; cargo deny --locked --offline check advisories; }'
else
  echo "== deny: skipped, cargo-deny is not installed"
fi
