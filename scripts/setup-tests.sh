#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: a C compiler for the bundled libraries, and
# PostgreSQL. Does nothing, and asks for no rights, where both are there.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo >/dev/null; then
  echo "setup-tests: cargo is missing; install a Rust toolchain first (https://rustup.rs)" >&2
  exit 1
fi

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
scripts/postgres-bin.sh >/dev/null 2>&1 || missing+=(postgresql)
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "setup-tests: missing ${missing[*]}, and there is no apt-get here to install them" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup-tests: missing ${missing[*]}; run as root, or install sudo" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "setup-tests: installing ${missing[*]}"
apt_options=(-y -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 --no-install-recommends)
"${as_root[@]}" apt-get update -q </dev/null
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install "${apt_options[@]}" "${missing[@]}" </dev/null
scripts/postgres-bin.sh >/dev/null
