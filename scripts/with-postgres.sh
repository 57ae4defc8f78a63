#!/usr/bin/env bash
# with-postgres.sh COMMAND…: runs COMMAND beside a PostgreSQL server of its own, in a directory that
# goes with it. Durable as in production (fsync on). The command finds
#   QUARRY_TEST_POSTGRES      a URL through the Unix socket; its role may create databases
#   QUARRY_TEST_POSTGRES_TCP  the same over loopback TCP, for tests that put a proxy in between
# Ends with the command's exit code.
set -euo pipefail

if [ "$#" -eq 0 ]; then
  echo "usage: with-postgres.sh COMMAND…" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
bin=$("$here/postgres-bin.sh")

# PostgreSQL refuses to run as root; its package made a user for it.
become=()
user=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
  user=postgres
  id "$user" >/dev/null 2>&1 || user=nobody
  become=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
fi

# A socket's path has at most 107 bytes, and the server's user must reach the directory.
parent=${TMPDIR:-/tmp}
if [ "${#parent}" -gt 60 ] || ! (cd / && "${become[@]}" test -x "$parent"); then
  parent=/tmp
fi
directory=$(mktemp -d "$parent/quarry-postgres.XXXXXX")
log=$directory/server.log
server=
command_pid=

stop_server() {
  if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
    kill -INT "$server" 2>/dev/null || true # fast shutdown: open sessions are ended
    for _ in $(seq 100); do
      kill -0 "$server" 2>/dev/null || break
      sleep 0.1
    done
    kill -QUIT "$server" 2>/dev/null || true # immediate shutdown; the data is thrown away
    wait "$server" 2>/dev/null || true
  fi
  server=
}

finish() {
  code=$?
  trap - EXIT INT TERM HUP
  if [ -n "$command_pid" ]; then
    kill -TERM "$command_pid" 2>/dev/null || true
    wait "$command_pid" 2>/dev/null || true
  fi
  stop_server
  rm -rf "$directory"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
  echo "with-postgres: $1" >&2
  [ -f "$log" ] && tail -n 20 "$log" >&2
  exit 1
}

[ "$(id -u)" -ne 0 ] || chown "$user" "$directory"
cd / # a place that the server's user may read
"${become[@]}" "$bin/initdb" --pgdata="$directory/data" --username=postgres --auth=trust \
  --encoding=UTF8 --locale=C >"$directory/initdb.log" 2>&1 \
  || { cat "$directory/initdb.log" >&2; fail "initdb failed"; }

# Starts the server on $1. Answers 1 if that port was taken.
start_server() {
  "${become[@]}" setpriv --pdeathsig INT "$bin/postgres" -D "$directory/data" \
    -c "port=$1" -c listen_addresses=127.0.0.1 -c "unix_socket_directories=$directory" \
    -c fsync=on -c synchronous_commit=on -c max_connections=200 -c shared_buffers=64MB \
    </dev/null >"$log" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    if ! kill -0 "$server" 2>/dev/null; then
      wait "$server" 2>/dev/null || true
      server=
      grep -q 'could not create any TCP/IP sockets' "$log" && return 1
      fail "the server ended while it started"
    fi
    "$bin/pg_isready" -q -h "$directory" -p "$1" && return 0
    sleep 0.1
  done
  fail "the server was not ready within 60 s"
}

port=
for _ in $(seq 20); do
  candidate=$((20000 + RANDOM % 12000)) # below the range that outgoing connections use
  if start_server "$candidate"; then
    port=$candidate
    break
  fi
done
[ -n "$port" ] || fail "no free port in twenty tries"
# A database that is dropped by force may have a worker of autovacuum in it: who drops it must be one who
# may signal others.
"$bin/psql" -q -X -v ON_ERROR_STOP=1 -h "$directory" -p "$port" -U postgres -d postgres \
  -c 'create role quarry login createdb' -c 'grant pg_signal_backend to quarry' \
  -c 'create database quarry owner quarry' </dev/null \
  || fail "the role could not be made"

export QUARRY_TEST_POSTGRES="postgres://quarry@${directory//\//%2F}:$port/quarry"
export QUARRY_TEST_POSTGRES_TCP="postgres://quarry@127.0.0.1:$port/quarry"
cd "$OLDPWD"
# In the background, so that a signal to this script is acted on at once.
"$@" <&0 &
command_pid=$!
code=0
wait "$command_pid" || code=$?
command_pid=
exit "$code"
