#!/bin/sh
# valgrind.sh - no access to memory that is not ours and nothing lost, in the shell and in a C host
# that load the extension, query and close, again and again. What make valgrind runs at length
# (LONG=1): everything the library does.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} model=tests/golden/models/distil-cased
command -v valgrind >/dev/null || { echo "no valgrind"; exit 77; }
[ -z "${PRELOAD:-}" ] || { echo "not with a sanitizer"; exit 77; }
[ -x "$build/tests/test_host" ] || { echo "test_host is not built"; exit 77; }
check() {
  valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect "$@"
}

check "$sqlite" -batch -cmd ".load $build/ner" :memory: "
  SELECT ner_load('tiny', '$model'), ner_load('int8', '$model', 'int8'), ner_default('tiny');
  SELECT count(*) > 0 FROM ner('Angela met Reuters in Berlin');
  SELECT json_valid(ner_json('Angela met Reuters', 'int8'));
  SELECT count(*) FROM ner_query('SELECT value, ''Angela '' || value FROM json_each(''[1,2,3]'')');
  CREATE TABLE docs(body); INSERT INTO docs VALUES('Angela met Reuters');
  SELECT max(done) FROM ner_enrich('docs', 'body')" || exit 1
# It runs one thread at a time, and gives signals to any of them.
HOST_OTHER_MALLOC=1 HOST_CYCLES=1 check "$build/tests/test_host" "$build/ner" '*_by_the_thousand' || exit 1
[ -n "${LONG:-}" ] || exit 0
HOST_OTHER_MALLOC=1 HOST_CYCLES=1 check "$build/tests/test_host" "$build/ner" '*_stay' &&
  HOST_OTHER_MALLOC=1 HOST_CYCLES=1 check "$build/tests/test_host" "$build/ner" 'files_*'
