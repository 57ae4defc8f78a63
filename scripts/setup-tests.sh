#!/usr/bin/env bash
# setup-tests.sh [SUITE…]: installs what the tests need and this machine lacks: a C compiler for the
# bundled libraries, and PostgreSQL; for the suite `api` also curl, and the clients and the validator
# of others that call a node, under the build directory. Does nothing, and asks for no rights, where
# all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo >/dev/null; then
  echo "setup-tests: cargo is missing; install a Rust toolchain first (https://rustup.rs)" >&2
  exit 1
fi

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
scripts/postgres-bin.sh >/dev/null 2>&1 || missing+=(postgresql)
api=false
for suite in "$@"; do [ "$suite" != api ] || api=true; done
if $api; then
  command -v curl >/dev/null || missing+=(curl)
  command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
fi

# Installs the packages of the distribution that are missing.
install_packages() {
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
}

[ "${#missing[@]}" -eq 0 ] || install_packages
scripts/postgres-bin.sh >/dev/null
if $api; then
  scripts/check-openapi.sh --install
  scripts/effect-rpc.sh --install
fi
