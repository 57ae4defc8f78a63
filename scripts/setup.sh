#!/usr/bin/env bash
# setup.sh build|SUITE…: installs what is needed and this machine lacks. For a build, a C compiler for
# the bundled libraries; for any suite of tests also PostgreSQL; for the suite `cluster` also ip, which
# makes networks of namespaces; for the suite `api` also curl, and the clients and the validator of
# others that call a node, under the build directory. Does nothing, and asks for no rights, where all
# is there.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo >/dev/null; then
  echo "setup: cargo is missing; install a Rust toolchain first (https://rustup.rs)" >&2
  exit 1
fi

tests=false api=false cluster=false
for what in "$@"; do
  [ "$what" = build ] || tests=true
  [ "$what" != api ] || api=true
  [ "$what" != cluster ] || cluster=true
done

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if $tests; then
  scripts/postgres-bin.sh >/dev/null 2>&1 || missing+=(postgresql)
fi
if $cluster; then
  command -v ip >/dev/null || missing+=(iproute2)
fi
if $api; then
  command -v curl >/dev/null || missing+=(curl)
  command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
fi

# Installs the packages of the distribution that are missing.
install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "setup: missing ${missing[*]}, and there is no apt-get here to install them" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: missing ${missing[*]}; run as root, or install sudo" >&2
      exit 1
    fi
    as_root=(sudo)
  fi

  echo "setup: installing ${missing[*]}"
  apt_options=(-y -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 --no-install-recommends)
  "${as_root[@]}" apt-get update -q </dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install "${apt_options[@]}" "${missing[@]}" </dev/null
}

[ "${#missing[@]}" -eq 0 ] || install_packages
if $tests; then scripts/postgres-bin.sh >/dev/null; fi
if $api; then
  scripts/check-openapi.sh --install
  scripts/effect-rpc.sh --install
fi
