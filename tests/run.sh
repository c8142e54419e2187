#!/bin/sh
# run.sh - runs every test and closes with "N passed, N failed".
#
# C tests (build/tests/test_*) print TAP through cmocka. Fuzz targets (build/tests/fuzz_*) replay
# their corpus and exit 0. SQL tests (tests/sql/NAME.sql) run in
# the sqlite3 shell and must print tests/sql/NAME.out to the letter. Shell tests
# (tests/sh/*.sh) exit 0 when all is well, 77 when they cannot run here. With ONLY="test_a test_b"
# those C tests alone. With FUZZ="text sql" those targets are fuzzed, each of them a test, and
# nothing else is run.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
export BUILD="$build" CMOCKA_MESSAGE_OUTPUT=TAP
sqlite=${SQLITE:-sqlite3}
# Under a sanitizer the extension needs its runtime before the shell starts.
preload=${PRELOAD:-}
export PRELOAD="$preload"
# What the shell itself or its libraries keep until exit is not ours to mend.
export LSAN_OPTIONS=suppressions=tests/lsan.supp:print_suppressions=0
# An allocation that no machine has is refused there, as it is elsewhere.
export ASAN_OPTIONS=allocator_may_return_null=1:${ASAN_OPTIONS:-}
passed=0 failed=0 skipped=0
log=$build/test.log
: >"$log"

# What takes how long stands in the log: grep '^==' build/test.log
now() { date +%s; }
seconds() { echo "$(($(now) - start)) s"; }

verdict() { # STATUS NAME
  case $1 in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)); echo "skipped: $2" ;;
    *) failed=$((failed + 1)); echo "FAILED: $2" ;;
  esac
}

only=${ONLY:-}
# No further once something was found.
for t in ${FUZZ:-}; do
  only=none
  sh tests/fuzz/run.sh "$t"; rc=$?
  verdict $rc "fuzz $t"
  [ $rc -eq 0 ] || break
done

for t in "$build"/tests/test_*; do
  case $t in *.d|*.o) continue ;; esac
  case " $only " in "  "|*" ${t##*/} "*) ;; *) continue ;; esac
  [ -x "$t" ] || continue
  start=$(now)
  out=$("$t" 2>&1); rc=$?
  printf '== %s %s\n%s\n' "$t" "$(seconds)" "$out" >>"$log"
  # cmocka writes a skipped test as "not ok N # SKIP".
  p=$(printf '%s\n' "$out" | grep -v '# SKIP' | grep -c '^ok')
  f=$(printf '%s\n' "$out" | grep -v '# SKIP' | grep -c '^not ok')
  s=$(printf '%s\n' "$out" | grep -c '^[a-z ]*ok.*# SKIP')
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  if [ "$f" -gt 0 ]; then printf '%s\n' "$out" | grep -v '^ok'; fi
  # A crash leaves no "not ok" line behind.
  if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
    failed=$((failed + 1)); echo "FAILED: $t exited with $rc"; printf '%s\n' "$out" | tail -n 30
  fi
done

# What the fuzzers ever stumbled over, and a choice of what they tried, once more.
for t in "$build"/tests/fuzz_*; do
  case $t in *.d) continue ;; esac
  case " $only " in "  "|*" ${t##*/} "*) ;; *) continue ;; esac
  [ -x "$t" ] || continue
  corpus=tests/fuzz/corpus/${t##*/fuzz_}
  start=$(now)
  out=$("$t" "$corpus" 2>&1); rc=$?
  printf '== %s %s\n%s\n' "$t" "$(seconds)" "$out" >>"$log"
  verdict $rc "$corpus"
  [ $rc -eq 0 ] || printf '%s\n' "$out" | tail -n 30
done

for t in tests/sql/*.sql; do
  [ -f "$t" ] && [ -z "$only" ] || continue
  start=$(now)
  LD_PRELOAD="$preload" "$sqlite" -batch -cmd ".load $build/ner" :memory: <"$t" >"$build/test.out" 2>&1
  diff -u "${t%.sql}.out" "$build/test.out" >"$build/test.diff" 2>&1
  rc=$?
  printf '== %s %s\n' "$t" "$(seconds)" >>"$log"
  verdict $rc "$t"
  [ $rc -eq 0 ] || head -n 40 "$build/test.diff"
done

for t in tests/sh/*.sh; do
  [ -f "$t" ] && [ -z "$only" ] || continue
  start=$(now)
  out=$(sh "$t" 2>&1); rc=$?
  printf '== %s %s\n%s\n' "$t" "$(seconds)" "$out" >>"$log"
  verdict $rc "$t"
  [ $rc -eq 0 ] || [ $rc -eq 77 ] || printf '%s\n' "$out" | tail -n 30
done

if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"
else echo "$passed passed, $failed failed"; fi
[ "$failed" -eq 0 ]
