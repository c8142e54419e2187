#!/bin/sh
# determinism.sh - the bundled (int8) model finds the same entities, to the letter and in the same
# places, at every level of instructions that this machine has, on one thread and on three.
# Vector units all give the same bits (tests/unit/test_kernels.c). The portable and OpenBLAS's products of
# floats round otherwise: where two labels are all but equally likely they may differ, which in these
# texts they do not.
#
#     CONLL=path/to/valid.txt sh tests/sh/determinism.sh      a whole CoNLL file in place of a few texts
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} failed=0
[ -z "${PRELOAD:-}" ] || { echo "not with a sanitizer"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
if [ -n "${CONLL:-}" ]; then
  awk 'NF == 0 { if (line != "") print line; line = ""; next }
    $1 != "-DOCSTART-" { line = line (line == "" ? "" : " ") $1 } END { if (line != "") print line }' "$CONLL"
else
  sed -n "s/^  ('.*', '\(.*\)')[,;]$/\1/p" sql/demo.sql
  grep -v '^#' models/everyday-check.txt | tr '[|]' '  '
fi | sed "s/'/''/g; s/.*/INSERT INTO t(x) VALUES('&');/" >"$dir/inserts"

# Entities of the first texts with one level and number of threads: LEVEL THREADS TEXTS.
run() {
  { echo "CREATE TABLE t(x);"; head -n "$3" "$dir/inserts"
    echo "SELECT key, entity, label, start, \"end\" FROM ner_query('SELECT rowid, x FROM t');"; } |
    NER_CPU=$1 NER_THREADS=$2 "$sqlite" -batch -bail -cmd ".load $build/ner" :memory:
}
levels=$(NER_CPU=none "$sqlite" -batch -cmd ".load $build/ner" :memory: "SELECT ner_json('x')" 2>&1 |
  sed -n "s/.*it can run //p" | tr -d ',')
best=${levels##* }
[ -n "$best" ] || { echo "no levels"; exit 1; }
for level in $levels; do
  texts=100000
  # The portable products are some hundred times slower.
  case $level in portable | openblas) texts=4; [ -z "${CONLL:-}" ] || continue ;; esac
  run "$best" 1 $texts >"$dir/want" || exit 1
  [ -s "$dir/want" ] || { echo "no entities"; exit 1; }
  for threads in 1 3; do
    run "$level" $threads $texts >"$dir/got" || { echo "$level failed"; exit 1; }
    diff "$dir/want" "$dir/got" >"$dir/diff" ||
      { echo "$level, $threads threads: $(grep -c '^[<>]' "$dir/diff") lines differ"; head -10 "$dir/diff"; failed=1; }
  done
  echo "$level: $(wc -l <"$dir/want") entities"
done
exit $failed
