#!/bin/sh
# enrich-dump.sh - a database that ner_enrich() has enriched is dumped and restored. A dump gives the
# rows of a table without an INTEGER PRIMARY KEY new rowids where rows were deleted before, and restores
# triggers last, so that nothing notes the change: the next ner_enrich() must.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3}
model=tests/golden/models/distil-cased
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-dump-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

plain() { "$sqlite" -batch -bail "$1" "$2"; }
ner() { # DATABASE SQL
  LD_PRELOAD="${PRELOAD:-}" "$sqlite" -batch -bail -cmd ".load $build/ner" -cmd '.output /dev/null' \
    -cmd "SELECT ner_load('tiny', '$model')" -cmd "SELECT ner_default('tiny')" -cmd '.output' "$1" "$2"
}
enrich="SELECT coalesce(max(done), 0) FROM ner_enrich('docs', 'body')"
# Rows that are in one of the two alone: what is there, and what ner() says.
difference="WITH is_there AS (SELECT docs_rowid, entity, label, score, start, end FROM docs_body_ner),
  should_be AS (SELECT d.rowid, n.entity, n.label, n.score, n.start, n.end FROM docs AS d, ner(d.body) AS n)
  SELECT count(*) FROM (SELECT * FROM (SELECT * FROM is_there EXCEPT SELECT * FROM should_be)
  UNION ALL SELECT * FROM (SELECT * FROM should_be EXCEPT SELECT * FROM is_there))"

for deleted in 'rowid < 0' 'rowid = 1' 'rowid % 3 = 1' 'rowid = 40'; do
  for how in .dump '.dump --preserve-rowids' '.clone'; do
    for twice in no yes; do
      rm -f "$dir"/*.db
      plain "$dir/a.db" "CREATE TABLE docs(body);
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40)
        INSERT INTO docs SELECT 'Angela met ' || i || ' people of Reuters in Berlin' FROM c"
      ner "$dir/a.db" "$enrich" >"$dir/log" || exit 1
      plain "$dir/a.db" "DELETE FROM docs WHERE $deleted"
      [ $twice = no ] || ner "$dir/a.db" "$enrich" >"$dir/log" || exit 1
      case $how in
        .clone) plain "$dir/a.db" ".clone $dir/b.db" >"$dir/log" 2>&1 ;;
        *) plain "$dir/a.db" "$how" | "$sqlite" -batch -bail "$dir/b.db" || exit 1 ;;
      esac
      ner "$dir/b.db" "$enrich" >"$dir/done" || exit 1
      n=$(ner "$dir/b.db" "$difference")
      [ "$n" = 0 ] || { echo "$how after DELETE ... WHERE $deleted: $n rows differ"; exit 1; }
      [ "$(plain "$dir/b.db" 'SELECT count(*) FROM docs_body_ner')" -gt 20 ] ||
        { echo "hardly any entity"; exit 1; }
      case "$deleted $how $twice" in
        'rowid < 0 .dump yes') [ "$(cat "$dir/done")" -eq 0 ] || { echo "done again in vain"; exit 1; } ;;
        'rowid = 1 .dump yes') [ "$(cat "$dir/done")" -gt 30 ] || { echo "nothing noticed"; exit 1; } ;;
      esac
    done
  done
done
echo "dumped, restored, cloned: every entity in its row"
