#!/usr/bin/env bash
# demo.sh [TEXT…]: three processes on this machine; texts to graphs, each by the ontology that its
# file is named after (film-….txt); registers driven through all three addresses; the owner of an
# extraction killed with SIGKILL; the same texts and the same registers asked again and answered by
# others. Ends with 1 if anything was lost or done twice.
# Needs a Rust toolchain, and installs a C compiler where there is none. QUARRY_BIN names a binary
# that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
samples=("$@")
[ "$#" -gt 0 ] || samples=(tests/samples/*.txt)
readonly samples registers=6 appends=36 facts_shown=4

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'demo: %s\n' "$*" >&2
  [ ! -s "$directory/dev.log" ] || tail -n 20 "$directory/dev.log" >&2
  exit 1
}

if [ -z "${QUARRY_BIN:-}" ]; then
  scripts/setup.sh build
  cargo build --locked --package quarry-server
  QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry
fi
quarry() { "$QUARRY_BIN" "$@" </dev/null; }

directory=$(mktemp -d "${TMPDIR:-/tmp}/quarry-demo.XXXXXX")
dev=
finish() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "$dev" ]; then
    kill -TERM "$dev" 2>/dev/null || true
    for _ in $(seq 200); do
      kill -0 "$dev" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$dev" 2>/dev/null || true
    wait "$dev" 2>/dev/null || true
  fi
  rm -rf "$directory"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Every value of field $1 in the JSON on stdin, one per line, without quotes.
fields() {
  tr -d '\n' | grep -oE "\"$1\": *(\"[^\"]*\"|[-0-9.]+)" | sed -E 's/^"[^"]*": *//; s/^"(.*)"$/\1/'
}
field() { fields "$1" | head -n 1; }

milliseconds() { echo $(($(date +%s%N) / 1000000)); }

# The page $2 of the server at $1, without any tool but the shell.
page() {
  local address=${1#http://}
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$address" >&3
  cat <&3
  exec 3<&- 3>&-
}

# Waits until no shard is on its way from one node to another.
until_settled() {
  local moving=
  for _ in $(seq 300); do
    moving=$(quarry cluster status --url "${urls[0]}" -o json | field moving)
    [ "$moving" != 0 ] || return 0
    sleep 0.1
  done
  fail "$moving shards are still on their way after 30 s"
}

# The ontology that the text $1 is read by.
ontology_of() {
  local name
  name=$(basename "$1")
  echo "${name%%-*}"
}

# The facts of the tables on stdin, the first few of them.
some_facts() {
  awk -v most="$facts_shown" '
    facts && ++row <= most + 1 { print }
    /^$/ { facts = 1 }
    END { if (row > most + 1) printf "… and %d more\n", row - most - 1 }'
}

# How many extractions the nodes at $@ have run since they started.
extractions_run() {
  local url
  for url in "$@"; do page "$url" /metrics; done |
    awk '/^extraction_total[{ ]/ { sum += $NF } END { print sum + 0 }'
}

say "three processes on one SQLite file"
"$QUARRY_BIN" dev --nodes 3 --port 0 --data "$directory/data" --no-restart -o json \
  </dev/null >"$directory/dev.json" 2>"$directory/dev.log" &
dev=$!
for _ in $(seq 600); do
  [ ! -s "$directory/dev.json" ] || break
  kill -0 "$dev" 2>/dev/null || { dev=; fail "the nodes ended while they started"; }
  sleep 0.1
done
[ -s "$directory/dev.json" ] || fail "the nodes were not ready within 60 s"
mapfile -t urls < <(fields url <"$directory/dev.json")
mapfile -t pids < <(fields pid <"$directory/dev.json")
[ "${#urls[@]}" -eq 3 ] && [ "${#pids[@]}" -eq 3 ] || fail "expected three nodes: $(cat "$directory/dev.json")"
for n in 0 1 2; do echo "node $((n + 1)): ${urls[n]}, process ${pids[n]}"; done
quarry cluster status --url "${urls[0]}" -o table

say "${#samples[@]} texts to graphs, through node 1"
for ((t = 0; t < ${#samples[@]}; t++)); do
  ontology=$(ontology_of "${samples[t]}")
  quarry extract "${samples[t]}" --ontology "$ontology" --url "${urls[0]}" --format json \
    >"$directory/graph-$t.json"
  printf '%s by ontology %s -> KGExtractor/%.8s…: %d entities, %d facts\n' \
    "${samples[t]}" "$ontology" \
    "$(field requestId <"$directory/graph-$t.json")" \
    "$(fields name <"$directory/graph-$t.json" | wc -l)" \
    "$(fields predicate <"$directory/graph-$t.json" | wc -l)"
done
run=$(extractions_run "${urls[@]}")
[ "$run" = "${#samples[@]}" ] || fail "$run extractions were run for ${#samples[@]} texts"

say "the same once more, through node 2, as people read it"
for sample in "${samples[@]}"; do
  echo "$sample"
  quarry extract "$sample" --ontology "$(ontology_of "$sample")" --url "${urls[1]}" --format table |
    some_facts
  echo
done
again=$(extractions_run "${urls[@]}")
[ "$again" = "$run" ] || fail "a text was extracted again"
echo "extraction_total, summed over the three nodes: $run before, $again now"

say "$appends durable appends to $registers registers, through all three addresses"
for ((i = 1; i <= appends; i++)); do
  node=$((i % 3)) register=demo-$(((i / 3) % registers))
  quarry send "Register/$register" append "{\"value\": \"value-$i\"}" --key "demo-$i" \
    --url "${urls[node]}" -o json >"$directory/append-$i.json"
  echo "value-$i" >>"$directory/expected-$register"
  printf 'through node %d: Register/%s append value-%d -> seq %s, by node %s in epoch %s\n' \
    "$((node + 1))" "$register" "$i" "$(field seq <"$directory/append-$i.json")" \
    "$(field owner <"$directory/append-$i.json")" "$(field epoch <"$directory/append-$i.json")"
done

until_settled
request=$(field requestId <"$directory/graph-0.json")
victim=$(quarry entity show "KGExtractor/$request" --url "${urls[0]}" -o json | field owner)
[[ $victim =~ ^[123]$ ]] || fail "nobody owns KGExtractor/$request: $victim"
survivors=()
for n in 0 1 2; do [ "$((n + 1))" -eq "$victim" ] || survivors+=("${urls[n]}"); done
run_before=$(extractions_run "${survivors[@]}")

say "kill -9 of node $victim (process ${pids[victim - 1]}), which owns the first extraction"
killed=$(milliseconds)
kill -KILL "${pids[victim - 1]}"

say "the same texts again, through the nodes that are left"
for ((t = 0; t < ${#samples[@]}; t++)); do
  quarry extract "${samples[t]}" --ontology "$(ontology_of "${samples[t]}")" \
    --url "${survivors[t % 2]}" --format json >"$directory/again-$t.json" ||
    fail "${samples[t]} was not answered after the kill"
  [ "$t" -gt 0 ] || echo "answered $(($(milliseconds) - killed)) ms after the kill"
  cmp "$directory/graph-$t.json" "$directory/again-$t.json" || fail "the graph is another one"
  echo "${samples[t]}: the same graph, byte for byte"
done
owner=$(quarry entity show "KGExtractor/$request" --url "${survivors[1]}" -o json | field owner)
echo "KGExtractor/${request:0:8}…: node $victim before, node $owner now"
[ "$owner" != "$victim" ] || fail "a dead node is said to own the extraction"
run_after=$(extractions_run "${survivors[@]}")
[ "$run_before" = "$run_after" ] || fail "a text was extracted again"
echo "extraction_total, summed over the two nodes: $run_before before the kill, $run_after now"

say "every append again, under the same keys, through the two nodes that are left"
for ((i = 1; i <= appends; i++)); do
  register=demo-$(((i / 3) % registers))
  quarry send "Register/$register" append "{\"value\": \"value-$i\"}" --key "demo-$i" \
    --url "${survivors[i % 2]}" -o json >"$directory/again-$i.json" ||
    fail "Register/$register was not answered"
  for name in seq epoch owner; do
    [ "$(field "$name" <"$directory/append-$i.json")" = "$(field "$name" <"$directory/again-$i.json")" ] ||
      fail "value-$i was appended again: $(cat "$directory/again-$i.json")"
  done
done
echo "$appends of $appends answered with their first answer"

say "every register read through both, and one more value for each"
for ((r = 0; r < registers; r++)); do
  register=demo-$r
  for url in "${survivors[@]}"; do
    quarry send "Register/$register" read --url "$url" -o json |
      fields value >"$directory/found-$register" || fail "Register/$register cannot be read"
    cmp "$directory/expected-$register" "$directory/found-$register" || fail "Register/$register differs"
  done
  last=$(quarry send "Register/$register" append '{"value": "after"}' --key "after-$r" \
    --url "${survivors[0]}" -o json)
  printf 'Register/%s: %d values, all in order; the next is seq %s, by node %s in epoch %s\n' \
    "$register" "$(wc -l <"$directory/found-$register")" "$(field seq <<<"$last")" \
    "$(field owner <<<"$last")" "$(field epoch <<<"$last")"
done

say "the cluster now"
quarry cluster status --url "${survivors[0]}" -o table
say "nothing was lost, nothing was done twice"
