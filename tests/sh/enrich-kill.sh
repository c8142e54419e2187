#!/bin/sh
# enrich-kill.sh - ner_enrich() is killed (SIGKILL) again and again, half of the times while another
# process writes to the table: at random moments, or soon after it is seen to have done a part. Brought to
# its end at last, it must have found exactly what an uninterrupted run finds, and the file must be sound.
#
#     BUILD=build SQLITE=sqlite3 ROUNDS=12 sh tests/sh/enrich-kill.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} rounds=${ROUNDS:-12}
model=tests/golden/models/distil-cased rows=6000
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-kill-XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT

# A script of its own that becomes the shell, so that its process is the one to be killed.
cat >"$dir/ner" <<END
LD_PRELOAD="${PRELOAD:-}" exec "$sqlite" -batch -bail -cmd '.timeout 20000' \\
  -cmd ".load $build/ner" -cmd '.output /dev/null' -cmd "SELECT ner_load('tiny', '$model')" \\
  -cmd '.output' "\$1" "\$2"
END
ner() { sh "$dir/ner" "$1" "$2"; } # DATABASE SQL
plain() { "$sqlite" -batch -bail -cmd '.timeout 20000' "$1" "$2"; }
due() { plain "$1" 'SELECT count(*) FROM docs_body_ner_queue' 2>/dev/null || echo 1000000; }
random() { awk -v seed="$1" -v up_to="$2" 'BEGIN { srand(seed); printf "%.3f", up_to * rand() / 1000 }'; }

enrich="SELECT * FROM ner_enrich('docs', 'body', 'tiny')"
entities='SELECT * FROM docs_body_ner ORDER BY docs_rowid, start, end, entity;
  SELECT * FROM docs_body_ner_error ORDER BY 1'
writes=$(awk 'BEGIN { for (i = 0; i < 200; i++) {
  print "UPDATE docs SET body = body || '\'' Rome'\'' WHERE id = 1 + abs(random()) % 6000;"
  print "DELETE FROM docs WHERE id = 1 + abs(random()) % 6000;"
  print "INSERT INTO docs(body) VALUES('\''Hello Berlin '\'' || random());" } }')

for journal in delete wal; do
  db=$dir/$journal.db killed=0 halfway=0
  span_ms=300 # moments to kill at; it learns how quick this machine is
  plain "$db" "PRAGMA journal_mode = $journal; CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $rows)
    INSERT INTO docs SELECT i, 'Angela met ' || i || ' people of Reuters in Berlin' FROM c;
    UPDATE docs SET body = x'00' WHERE id % 97 = 0" >"$dir/log" || exit 1
  round=1
  # Some rounds more where the machine is too quick or too busy for the moments to hit.
  while [ $round -le "$rounds" ] ||
    { [ $round -le $((rounds * 4)) ] && { [ $killed -lt $((rounds / 2)) ] || [ $halfway -lt 2 ]; }; }; do
    # There is always something left to do.
    plain "$db" "UPDATE docs SET body = body || '.' WHERE id % $rounds <> $round % $rounds" || exit 1
    was_due=$(due "$db")
    sh "$dir/ner" "$db" "$enrich" >"$dir/progress" 2>"$dir/error" &
    enriching=$! writing=
    if [ $((round % 2)) -eq 0 ]; then
      "$sqlite" -batch -cmd '.timeout 20000' "$db" "$writes" &
      writing=$!
    fi
    if [ $((round % 3)) -eq 0 ]; then
      while kill -0 $enriching 2>/dev/null && [ "$(due "$db")" -ge "$was_due" ]; do :; done
      sleep "$(random $$$round 20)"
    else
      sleep "$(random $$$round $span_ms)"
    fi
    kill -9 $enriching $writing 2>/dev/null
    wait $enriching 2>/dev/null
    [ $? -eq 137 ] && killed=$((killed + 1))
    [ -z "$writing" ] || wait "$writing" 2>/dev/null
    left=$(due "$db")
    if [ "$left" -eq 0 ]; then span_ms=$((span_ms * 2 / 3))
    elif [ "$left" -lt "$was_due" ]; then halfway=$((halfway + 1))
    else span_ms=$((span_ms * 3 / 2)); fi
    if [ -s "$dir/error" ]; then cat "$dir/error"; exit 1; fi
    round=$((round + 1))
  done
  [ $killed -ge $((rounds / 2)) ] && [ $halfway -ge 2 ] ||
    { echo "$journal: only $killed kills hit, $halfway halfway through; too few"; exit 1; }

  ner "$db" "$enrich" >"$dir/progress" || exit 1
  plain "$db" "$entities" >"$dir/resumed"
  check=$(plain "$db" 'PRAGMA integrity_check; SELECT count(*) FROM docs_body_ner_queue')
  [ "$check" = "ok
0" ] || { echo "$journal: $check"; exit 1; }

  plain "$dir/clean.db" "ATTACH '$db' AS killed; CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
    INSERT INTO docs SELECT id, body FROM killed.docs"
  ner "$dir/clean.db" "$enrich" >"$dir/progress" || exit 1
  plain "$dir/clean.db" "$entities" >"$dir/uninterrupted"
  rm "$dir/clean.db"
  [ "$(wc -l <"$dir/uninterrupted")" -gt $rows ] || { echo "$journal: hardly any entity"; exit 1; }
  cmp "$dir/resumed" "$dir/uninterrupted" || exit 1
  echo "$journal: killed $killed of $rounds times, $halfway halfway; $(wc -l <"$dir/resumed") rows, all equal"
done
