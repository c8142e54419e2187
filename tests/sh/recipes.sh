#!/bin/sh
# recipes.sh - every script of sql/ runs, and finds what nobody could miss.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

run() { # SCRIPT
  LD_PRELOAD="${PRELOAD:-}" ${SQLITE:-sqlite3} -batch -bail -cmd ".load $build/ner" :memory: <"sql/$1" >"$tmp/out" 2>&1 || {
    echo "sql/$1 failed:"
    cat "$tmp/out"
    failed=1
  }
}
has() { # SCRIPT LINE...
  script=$1
  shift
  for line in "$@"; do
    grep -qxF -- "$line" "$tmp/out" || {
      echo "sql/$script: no line '$line' in:"
      cat "$tmp/out"
      failed=1
    }
  done
}

run entities-view.sql
has entities-view.sql '1|Marie Curie|PER' '1|Paris|LOC' '3|Angela Merkel|PER'
run co-occurrence.sql
has co-occurrence.sql 'Sundar Pichai|Google|2' 'Satya Nadella|Microsoft|1'
run search.sql
has search.sql 'Marie Curie|PER|1' 'Google|ORG|1' '2|Google opened an >office< in…'
run redacted-copy.sql
has redacted-copy.sql '4|Nothing of note happened on that quiet day.' '7|'
if grep -q 'Curie\|Pichai\|Merkel' "$tmp/out"; then echo "redacted-copy.sql: a name is left"; failed=1; fi
run by-month.sql
has by-month.sql '2024-01|Google|1' '2024-03|Google|1'

# The evaluation: 12 words of 3 sentences, one of them a soft hyphen, which no model sees.
LD_PRELOAD="${PRELOAD:-}" ${SQLITE:-sqlite3} -batch -bail -cmd ".load $build/ner" -cmd '.parameter init' \
  -cmd ".parameter set :file tests/data/small.conll" :memory: <sql/evaluate.sql >"$tmp/out" 2>&1 ||
  { cat "$tmp/out"; failed=1; }
grep -Eq '^overall +[0-9.]+ +[0-9.]+ +[0-9.]+ +5 ' "$tmp/out" || { echo "evaluate.sql: overall"; cat "$tmp/out"; failed=1; }
grep -Eq '^[0-9.]+ +[0-9.]+ +3 +10 +1 *$' "$tmp/out" || { echo "evaluate.sql: words"; cat "$tmp/out"; failed=1; }

# Training: by hand and on, a new type, a CoNLL file.
run train-correct.sql
has train-correct.sql 'corrected'
grep -Eq '^corrected +[0-9]+ +[0-9]+ +[0-9]+ *$' "$tmp/out" || { echo "train-correct.sql: no comparison"; cat "$tmp/out"; failed=1; }
run train-new-type.sql
has train-new-type.sql '100' 'Angela Merkel|PER' 'Bison Kettle|PRODUCT' 'Paris|LOC'
LD_PRELOAD="${PRELOAD:-}" ${SQLITE:-sqlite3} -batch -bail -cmd ".load $build/ner" -cmd '.parameter init' \
  -cmd ".parameter set :file tests/data/small.conll" -cmd ".parameter set :valid tests/data/small.conll" \
  -cmd ".parameter set :target $tmp/trained" -cmd ".parameter set :options '{\"epochs\":2,\"freeze\":5}'" :memory: \
  <sql/train-conll.sql >"$tmp/out" 2>&1 || { cat "$tmp/out"; failed=1; }
grep -Eq '^2\|.*"support":' "$tmp/out" && [ -s "$tmp/trained" ] || { echo "train-conll.sql:"; cat "$tmp/out"; failed=1; }
rm -f "$build/corrected.safetensors" "$build/products.safetensors"

# From Python, where there is one that loads extensions.
python=/usr/bin/python3
if [ -z "${PRELOAD:-}" ] && $python -c 'import sqlite3; sqlite3.connect(":memory:").enable_load_extension(True)' 2>/dev/null; then
  ${SQLITE:-sqlite3} "$tmp/docs.db" '.read sql/sample.sql'
  $python sql/enrich.py "$tmp/docs.db" docs body "$build/ner" >"$tmp/out" 2>&1 || { cat "$tmp/out"; failed=1; }
  grep -q '^6 of 6 rows' "$tmp/out" || { echo "enrich.py:"; cat "$tmp/out"; failed=1; }
  people=$(${SQLITE:-sqlite3} "$tmp/docs.db" "SELECT count(*) FROM docs_body_ner WHERE label = 'PER'")
  [ "$people" -ge 5 ] || { echo "enrich.py: $people people"; failed=1; }
fi
exit $failed
