#!/bin/sh
# run.sh - runs every test and closes with "N passed, N failed".
#
# C tests (build/tests/test_*) print TAP through cmocka. Fuzz targets (build/tests/fuzz_*) replay
# their corpus and exit 0. SQL tests (tests/sql/NAME.sql) run in
# the sqlite3 shell and must print tests/sql/NAME.out to the letter. Shell tests
# (tests/sh/*.sh) exit 0 when all is well, 77 when they cannot run here. With ONLY="test_a test_b"
# those C tests alone. With FUZZ="text sql" those targets are fuzzed, each of them a test, and
# nothing else is run. JOBS run at once, as many as there are processors if that is not said.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export BUILD="$build" CMOCKA_MESSAGE_OUTPUT=TAP
# Under a sanitizer the extension needs its runtime before the shell starts.
export PRELOAD="${PRELOAD:-}"
# What the shell itself or its libraries keep until exit is not ours to mend.
export LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0
# An allocation that no machine has is refused there, as it is elsewhere.
export ASAN_OPTIONS=allocator_may_return_null=1:${ASAN_OPTIONS:-}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
passed=0 failed=0 skipped=0
log=$build/test.log                      # grep '^==' tells how long each test took
results=$build/tests.out
rm -rf "$results"
mkdir -p "$results" || exit 1
: >"$log"

tests() {
  only=${ONLY:-}
  if [ -n "${FUZZ:-}" ]; then
    for t in $FUZZ; do echo "fuzz $t"; done
    return
  fi
  for t in "$build"/tests/test_* "$build"/tests/fuzz_*; do
    case $t in *.d|*.o) continue ;; esac
    case " $only " in "  "|*" ${t##*/} "*) [ -x "$t" ] && echo "$t" ;; esac
  done
  [ -n "$only" ] || for t in tests/sql/*.sql tests/sh/*.sh; do echo "$t"; done
}

verdict() { # STATUS NAME
  case $1 in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)); echo "skipped: $2" ;;
    *) failed=$((failed + 1)); echo "FAILED: $2" ;;
  esac
}

# cmocka writes a skipped test as "not ok N # SKIP".
tap() { # STATUS NAME OUTPUT
  p=$(grep -v '# SKIP' "$3" | grep -c '^ok')
  f=$(grep -v '# SKIP' "$3" | grep -c '^not ok')
  s=$(grep -c '^[a-z ]*ok.*# SKIP' "$3")
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  if [ "$f" -gt 0 ]; then grep -v '^ok' "$3"; fi
  # A crash leaves no "not ok" line behind.
  if [ "$1" -ne 0 ] && [ "$f" -eq 0 ]; then
    failed=$((failed + 1))
    echo "FAILED: $2 exited with $1"
    tail -n 30 "$3"
  fi
}

report() { # STATUS NAME OUTPUT
  case $2 in
    */test_*) tap "$@" ;;
    *)
      verdict "$1" "$2"
      [ "$1" -eq 0 ] || [ "$1" -eq 77 ] || case $2 in
        *.sql) head -n 40 "$3" ;;
        *) tail -n 30 "$3" ;;
      esac ;;
  esac
}

tests >"$results/list"
number=0
while IFS= read -r t; do
  number=$((number + 1))
  printf '%s\0%s\0%s\0' "$results" "$number" "$t"
done <"$results/list" | xargs -0 -n 3 -P "$jobs" sh tests/one.sh &
runner=$!
trap 'trap "" TERM; kill 0; exit 1' INT TERM

number=0
while IFS= read -r t; do
  number=$((number + 1))
  out=$results/$number
  while [ ! -f "$out.rc" ] && kill -0 $runner 2>/dev/null; do sleep 0.2; done
  if [ ! -f "$out.rc" ]; then
    failed=$((failed + 1))
    echo "FAILED: $t did not end"
    continue
  fi
  printf '== %s %s s\n' "$t" "$(cat "$out.seconds")" >>"$log"
  cat "$out" >>"$log"
  report "$(cat "$out.rc")" "$t" "$out"
done <"$results/list"

if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"
else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]
