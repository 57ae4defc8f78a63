#!/usr/bin/env bash
# Prints the directory of PostgreSQL's server programs: that of the newest Debian package, or where
# PATH has them. Ends with 1 if there is none.
set -euo pipefail

newest=
for directory in /usr/lib/postgresql/*/; do
  version=$(basename "$directory")
  [[ $version =~ ^[0-9]+$ ]] && [ "$version" -gt "${newest:-0}" ] && newest=$version
done
candidates=()
[ -n "$newest" ] && candidates+=("/usr/lib/postgresql/$newest/bin")
on_path=$(command -v initdb || true)
[ -n "$on_path" ] && candidates+=("$(dirname "$(readlink -f "$on_path")")")

for directory in "${candidates[@]}"; do
  if [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ] && [ -x "$directory/psql" ]; then
    echo "$directory"
    exit 0
  fi
done
echo "postgres-bin: no PostgreSQL server programs; scripts/setup.sh unit installs them" >&2
exit 1
