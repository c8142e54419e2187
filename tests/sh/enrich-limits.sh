#!/bin/sh
# enrich-limits.sh - ner_enrich() where the system says no: a file size limit (with and without its
# signal), a full disk, no more threads. It says what is wrong, leaves nothing half-written, and goes on
# when there is room. tests/unit/test_enrich_files.c has every single write fail.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} rows=3000
model=tests/golden/models/distil-cased
dir=$(mktemp -d "${TMPDIR:-/tmp}/ner-limits-XXXXXX") || exit 1
trap 'umount "$dir/small" 2>/dev/null; rm -rf "$dir"' EXIT

plain() { "$sqlite" -batch -bail "$1" "$2"; }
cat >"$dir/ner" <<END
LD_PRELOAD="${PRELOAD:-}" exec "$sqlite" -batch -bail -cmd ".load $build/ner" -cmd '.output /dev/null' \\
  -cmd "SELECT ner_load('tiny', '$model')" -cmd '.output' "\$1" \\
  "SELECT max(done) FROM ner_enrich('docs', 'body', 'tiny')"
END
make_docs() { # DATABASE JOURNAL
  plain "$1" "PRAGMA journal_mode = $2; CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $rows)
    INSERT INTO docs SELECT i, 'Angela met ' || i || ' people of Reuters in Berlin' FROM c" >"$dir/log"
}
check() { # WHAT DATABASE: sound, each row either pending or done, and it goes on
  found=$(plain "$2" 'PRAGMA integrity_check')
  [ "$found" = ok ] || { echo "$1: $found"; exit 1; }
  if [ "$(plain "$2" "SELECT count(*) FROM sqlite_schema WHERE name = 'docs_body_ner'")" = 1 ]; then
    both=$(plain "$2" 'SELECT count(*) FROM docs_body_ner JOIN docs_body_ner_queue USING (docs_rowid)')
    [ "$both" = 0 ] || { echo "$1: $both rows are pending and have results"; exit 1; }
  fi
  sh "$dir/ner" "$2" >"$dir/done" 2>"$dir/error" || { echo "$1, then:"; cat "$dir/error"; exit 1; }
  plain "$2" 'SELECT * FROM docs_body_ner ORDER BY docs_rowid, start' >"$dir/found"
  cmp "$dir/found" "$dir/expected" || { echo "$1: other results"; exit 1; }
}

make_docs "$dir/whole.db" delete
sh "$dir/ner" "$dir/whole.db" >"$dir/done" || exit 1
plain "$dir/whole.db" 'SELECT * FROM docs_body_ner ORDER BY docs_rowid, start' >"$dir/expected"
[ "$(wc -l <"$dir/expected")" -gt $rows ] || { echo "hardly any entity"; exit 1; }

for journal in delete wal; do
  for kib in 300 400 600; do
    # The signal ends the process, as it would any other; ignored, the write fails.
    db=$dir/killed-$journal-$kib.db
    make_docs "$db" $journal
    (ulimit -c 0; ulimit -f $((kib * 2)); sh "$dir/ner" "$db" >"$dir/done" 2>"$dir/error")
    rc=$?
    [ $rc -gt 128 ] || { echo "$journal, $kib KiB: ended with $rc"; cat "$dir/error"; exit 1; }
    check "$journal, killed at $kib KiB" "$db"
    db=$dir/failed-$journal-$kib.db
    make_docs "$db" $journal
    (trap '' XFSZ; ulimit -f $((kib * 2)); sh "$dir/ner" "$db" >"$dir/done" 2>"$dir/error")
    rc=$?
    [ $rc -eq 1 ] || { echo "$journal, $kib KiB, no signal: ended with $rc"; cat "$dir/error"; exit 1; }
    grep -q 'ner: .*run ner_enrich again' "$dir/error" || { cat "$dir/error"; exit 1; }
    check "$journal, no more than $kib KiB" "$db"
  done
done
echo "file size limit: as if nothing had been"

if mkdir "$dir/small" && mount -t tmpfs -o size=600k none "$dir/small" 2>/dev/null; then
  make_docs "$dir/small/a.db" delete
  sh "$dir/ner" "$dir/small/a.db" >"$dir/done" 2>"$dir/error" && { echo "the disk was not full"; exit 1; }
  grep -q 'its disk is full' "$dir/error" || { cat "$dir/error"; exit 1; }
  cp "$dir/small/a.db" "$dir/full.db"
  check "full disk" "$dir/full.db"
  echo "full disk: as if nothing had been"
fi

# Root may start as many as it likes. LeakSanitizer needs a process of its own at the end.
if [ -z "${PRELOAD:-}" ] && [ "$(id -u)" -eq 0 ] && command -v setpriv prlimit >/dev/null; then
  mkdir "$dir/nobody" && chmod 755 "$dir" && chmod 777 "$dir/nobody"
  run="setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --nproc=1"
  if $run "$sqlite" :memory: "SELECT 1" >/dev/null 2>&1 && $run test -r "$build" -a -r "$model"; then
    make_docs "$dir/nobody/a.db" delete
    chmod 666 "$dir/nobody/a.db"
    $run sh "$dir/ner" "$dir/nobody/a.db" >"$dir/done" 2>"$dir/error" || { cat "$dir/error"; exit 1; }
    check "no threads" "$dir/nobody/a.db"
    echo "no threads to be had: done all the same"
  fi
fi
