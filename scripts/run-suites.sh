#!/usr/bin/env bash
# run-suites.sh SUITE…: builds once, runs the suites one after another, prints the time of each, and
# ends with the closing lines of the runner. Ends with 1 if any suite failed.
#   unit     everything beside the code: the crates' own tests
#   doc      examples in documentation
#   harness  tests/tests without the cluster: tidy, simulations and the like
#   planted  bugs that are planted in simulations and in real nodes, whose checks have to find them: built
#            with a feature of their own
#   api      what others say of the interface: curl, clients of another language, a validator
#   cluster  tests that start, kill and freeze real processes
# Uses cargo-nextest where it is installed, else cargo test.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d "${TMPDIR:-/tmp}/quarry-suites.XXXXXX")
trap 'rm -rf "$logs"' EXIT
nextest=false
cargo nextest --version >/dev/null 2>&1 && nextest=true

# Prints `--test NAME` for every integration test whose path is given.
test_flags() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || continue
    case $path in
      */main.rs) printf -- '--test %s ' "$(basename "$(dirname "$path")")" ;;
      *) printf -- '--test %s ' "$(basename "$path" .rs)" ;;
    esac
  done
}

# Runs the targets named by $@. All suites build the whole workspace with the same features, so that
# nothing is compiled twice.
run_tests() {
  local threads=()
  if [ "$1" = --one-at-a-time ]; then
    threads=(--test-threads 1)
    # What they measure is to be seen.
    if $nextest; then threads=(--no-capture); else threads+=(--nocapture); fi
    shift
  fi
  [ "$#" -gt 0 ] || { echo "run-suites: no test files in this suite" >&2; return 1; }
  if $nextest; then
    timeout -k 10 2700 cargo nextest run --locked --workspace "$@" "${threads[@]}" </dev/null
  else
    timeout -k 10 2700 cargo test --locked --workspace --no-fail-fast "$@" -- "${threads[@]}" </dev/null
  fi
}

# A step that fails ends nothing here, where the result is asked for: each says so itself.
run_suite() {
  local flags=()
  case $1 in
    unit)
      read -r -a flags <<<"$(test_flags crates/*/tests/*.rs crates/*/tests/*/main.rs)"
      run_tests --lib --bins "${flags[@]}"
      ;;
    doc)
      timeout -k 10 1800 cargo test --locked --workspace --doc </dev/null
      ;;
    harness)
      local path others=()
      for path in tests/tests/*.rs; do
        [[ $path == tests/tests/cluster_* || $path == tests/tests/api_* || $path == *_planted.rs ]] || others+=("$path")
      done
      read -r -a flags <<<"$(test_flags "${others[@]}")"
      run_tests "${flags[@]}"
      ;;
    planted)
      local code=0 features=quarry-tests/planted-bugs,quarry-server/planted-bugs
      timeout -k 10 1800 cargo build --locked --workspace --features "$features" --bin quarry-planted </dev/null || return 1
      run_tests --features "$features" --test simulation_planted || code=1
      run_tests --one-at-a-time --features "$features" --test freeze_planted --test chaos_planted || code=1
      return "$code"
      ;;
    api)
      local code=0
      read -r -a flags <<<"$(test_flags tests/tests/api_*.rs)"
      run_tests "${flags[@]}" || code=1
      timeout -k 10 600 scripts/check-openapi.sh </dev/null || code=1
      timeout -k 10 600 scripts/effect-rpc.sh </dev/null || code=1
      return "$code"
      ;;
    cluster)
      read -r -a flags <<<"$(test_flags tests/tests/cluster_*.rs)"
      run_tests --one-at-a-time "${flags[@]}"
      ;;
    *)
      echo "run-suites: unknown suite $1 (unit, doc, harness, planted, api, cluster)" >&2
      return 2
      ;;
  esac
}

# The lines with which the runner closes: nextest's summary, or the sum of cargo test's results; and
# what programs of others said.
closing_lines() {
  grep -E '^[a-z][^ ]* ?[^ ]* ?[^ ]*: (ok|OK)$' "$1" || true
  if grep -qE '^ +Summary \[' "$1"; then
    sed -n '/^ *Summary \[/,$p' "$1" | grep -E '^ +(Summary|FAIL|TIMEOUT|SIG|LEAK|TRY)|^error' || true
    return
  fi
  awk '/^test result: / {
         binaries++; passed += $4; failed += $6; ignored += $8
         if ($3 != "ok.") bad++
       }
       END {
         printf "test result: %s. %d passed; %d failed; %d ignored; in %d binaries\n",
                (bad || !binaries) ? "FAILED" : "ok", passed, failed, ignored, binaries
       }' "$1"
  grep -E '^test .* \.\.\. FAILED$|^error' "$1" | sort -u || true
}

seconds_build=$SECONDS
echo "== build"
cargo build --locked --workspace --all-targets </dev/null
seconds_build=$((SECONDS - seconds_build))
export QUARRY_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/quarry

failed=()
table=$(printf '%-8s %8s  %s' suite seconds result; printf '\n%-8s %8d  %s' build "$seconds_build" ok)
for suite in "$@"; do
  echo "== $suite"
  started=$SECONDS
  result=ok
  run_suite "$suite" 2>&1 | tee "$logs/$suite" || result=FAILED
  [ "$result" = ok ] || failed+=("$suite")
  table+=$(printf '\n%-8s %8d  %s' "$suite" "$((SECONDS - started))" "$result")
done

printf '\n%s\n\n' "$table"
for suite in "$@"; do
  echo "$suite:"
  closing_lines "$logs/$suite"
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all suites passed in $SECONDS s"
