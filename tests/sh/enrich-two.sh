#!/bin/sh
# enrich-two.sh - two processes enrich one database at once. Both come to their end without an error,
# and together they have found exactly what one alone finds.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} rows=12000
model=tests/golden/models/distil-cased
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-two-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

plain() { "$sqlite" -batch -bail -cmd '.timeout 60000' "$1" "$2"; }
ner() { # DATABASE
  LD_PRELOAD="${PRELOAD:-}" "$sqlite" -batch -bail -cmd '.timeout 60000' -cmd ".load $build/ner" \
    -cmd '.output /dev/null' -cmd "SELECT ner_load('tiny', '$model')" -cmd '.output' \
    "$1" "SELECT coalesce(max(done), 0) FROM ner_enrich('docs', 'body', 'tiny')"
}
make_docs() { # DATABASE JOURNAL
  plain "$1" "PRAGMA journal_mode = $2; CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $rows)
    INSERT INTO docs SELECT i, 'Angela met ' || i || ' people of Reuters in Berlin' FROM c;
    UPDATE docs SET body = x'00' WHERE id % 97 = 0" >"$dir/log"
}
found='SELECT * FROM docs_body_ner ORDER BY docs_rowid, start, end, entity;
  SELECT * FROM docs_body_ner_error ORDER BY 1'

make_docs "$dir/alone.db" delete || exit 1
ner "$dir/alone.db" >"$dir/done" || exit 1
plain "$dir/alone.db" "$found" >"$dir/alone"
[ "$(wc -l <"$dir/alone")" -gt $rows ] || { echo "hardly any entity"; exit 1; }

# Again, should one be done before the other has begun.
for journal in delete wal; do
  attempt=0 both=0
  while [ $both -eq 0 ]; do
    db=$dir/$journal$attempt.db attempt=$((attempt + 1))
    [ $attempt -le 10 ] || { echo "$journal: never at once"; exit 1; }
    make_docs "$db" $journal || exit 1
    ner "$db" >"$dir/one" 2>"$dir/one.error" & one=$!
    ner "$db" >"$dir/two" 2>"$dir/two.error" & two=$!
    wait $one || { echo "$journal: the first:"; cat "$dir/one.error"; exit 1; }
    wait $two || { echo "$journal: the second:"; cat "$dir/two.error"; exit 1; }
    check=$(plain "$db" 'PRAGMA integrity_check; SELECT count(*) FROM docs_body_ner_queue')
    [ "$check" = "ok
0" ] || { echo "$journal: $check"; exit 1; }
    plain "$db" "$found" >"$dir/together"
    cmp "$dir/alone" "$dir/together" || exit 1
    echo "$journal: $(cat "$dir/one") and $(cat "$dir/two") rows; as one alone"
    [ "$(cat "$dir/one")" -eq 0 ] || [ "$(cat "$dir/two")" -eq 0 ] || both=1
  done
done
