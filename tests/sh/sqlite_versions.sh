#!/bin/sh
# sqlite_versions.sh - the library with other versions of SQLite than this system's.
#
#     SQLITE_AMALGAMATIONS='path/to/3.38.2 path/to/3.54.1' sh tests/sh/sqlite_versions.sh
#
# Each is a folder with sqlite3.c and sqlite3.h and maybe shell.c. The C tests about SQL run with it in
# place of the system's library; a C host that has it compiled in loads the extension; and, where
# its shell is there, the scripts of tests/sql run in that. None is part of this repository.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} cc=${CC:-cc} failed=0
[ -n "${SQLITE_AMALGAMATIONS:-}" ] || { echo "SQLITE_AMALGAMATIONS is not set"; exit 77; }
[ -z "${PRELOAD:-}" ] || { echo "not with a sanitizer"; exit 77; }
tests='test_json test_safetensors test_model test_registry test_sql test_trust test_query test_enrich
  test_enrich_trouble test_threads'
options='-DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS
  -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_UNLOCK_NOTIFY -DSQLITE_ENABLE_DBSTAT_VTAB
  -DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_STMTVTAB'

alike() {
  sed 's/^[A-Z][a-z]* error near/Error near/; s/  */ /g; s/^ //; s/ $//'
}

for amalgamation in $SQLITE_AMALGAMATIONS; do
  version=$(sed -n 's/^#define SQLITE_VERSION *"\(.*\)"/\1/p' "$amalgamation/sqlite3.h")
  [ -n "$version" ] || { echo "$amalgamation: no sqlite3.h"; exit 1; }
  dir=$build/sqlite-$version passed=0 wrong=''
  mkdir -p "$dir"
  [ -f "$dir/libsqlite3.so.0" ] || # shellcheck disable=SC2086
    $cc -O1 -w -fPIC -shared -Wl,-soname,libsqlite3.so.0 $options -I"$amalgamation" \
      "$amalgamation/sqlite3.c" -o "$dir/libsqlite3.so.0" -lm -ldl -pthread || exit 1
  for t in $tests; do
    [ -x "$build/tests/$t" ] || continue
    if LD_LIBRARY_PATH="$dir" CMOCKA_MESSAGE_OUTPUT=TAP "$build/tests/$t" >"$dir/$t.log" 2>&1; then
      passed=$((passed + 1))
    else wrong="$wrong $t"; fi
  done
  if $cc -O1 -w -Iinclude -I"$amalgamation" tests/host.c "$amalgamation/sqlite3.c" $options -o "$dir/host" \
    -lcmocka -ldl -lm -pthread && HOST_CYCLES=5 "$dir/host" "$build/ner" >"$dir/host.log" 2>&1; then
    passed=$((passed + 1))
  else wrong="$wrong host"; fi
  shell='no shell'
  if [ -f "$amalgamation/shell.c" ]; then
    shell='with its shell'
    [ -x "$dir/sqlite3" ] || # shellcheck disable=SC2086
      $cc -O1 -w $options -I"$amalgamation" "$amalgamation/shell.c" "$amalgamation/sqlite3.c" \
        -o "$dir/sqlite3" -lm -ldl -pthread || exit 1
    for t in tests/sql/*.sql; do
      # What a shell writes before an error's message, and how it sets columns, is its own affair.
      "$dir/sqlite3" -batch -cmd ".load $build/ner" :memory: <"$t" 2>&1 | alike >"$dir/out"
      alike <"${t%.sql}.out" >"$dir/expected"
      if diff -u "$dir/expected" "$dir/out" >"$dir/$(basename "$t").diff"; then
        passed=$((passed + 1))
      else wrong="$wrong $(basename "$t")"; fi
    done
  fi
  echo "SQLite $version ($shell): $passed passed${wrong:+, wrong:$wrong}"
  [ -z "$wrong" ] || failed=1
done
exit $failed
