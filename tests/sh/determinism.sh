#!/bin/sh
# determinism.sh - the bundled (int8) model finds the same entities, to the letter and in the same
# places, at every level of instructions that this machine has, on one thread and on three.
# Products of integers are exact at every level, but softmax and gelu are not: where two labels are
# all but equally likely, in text unlike any it was trained on, levels can differ.
#
#     CONLL=path/to/valid.txt sh tests/sh/determinism.sh      a whole CoNLL file in place of a few texts
set -u
[ -n "${CONLL:-}${DETERMINISM:-}" ] || { echo "slow: set CONLL or DETERMINISM=1"; exit 77; }
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} sqlite=${SQLITE:-sqlite3} failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
if [ -n "${CONLL:-}" ]; then
  awk 'NF == 0 { if (line != "") print line; line = ""; next }
    $1 != "-DOCSTART-" { line = line (line == "" ? "" : " ") $1 } END { if (line != "") print line }' "$CONLL"
else
  grep -v '^[.]' sql/demo.sql
fi | tr '"' "'" >"$dir/texts" # a quote means something to .import
run() { # LEVEL THREADS
  LD_PRELOAD="${PRELOAD:-}" NER_CPU=$1 NER_THREADS=$2 "$sqlite" -batch -bail :memory: ".load $build/ner" \
    "CREATE TABLE t(x)" ".separator \"\\001\" \"\\n\"" ".import '$dir/texts' t" ".separator |" \
    "SELECT t.rowid, n.entity, n.label, n.start, n.end, round(n.score, 3) FROM t JOIN
     ner_query('SELECT rowid, x FROM t') n ON n.key = t.rowid"
}
levels=$(NER_CPU=none "$sqlite" -batch :memory: ".load $build/ner" "SELECT ner_json('x')" 2>&1 |
  sed -n "s/.*it can run //p" | tr -d ',')
[ -z "${PRELOAD:-}" ] || exit 77
[ -n "$levels" ] || { echo "no levels"; exit 1; }
first=''
for level in $levels; do
  for threads in 1 3; do
    run "$level" $threads >"$dir/now" || { echo "$level failed"; exit 1; }
    cut -d'|' -f1-5 "$dir/now" >"$dir/$level-$threads"
    [ -n "$first" ] || first=$dir/$level-$threads
    [ -s "$first" ] || { echo "no entities"; exit 1; }
    if ! diff "$first" "$dir/$level-$threads" >"$dir/diff"; then
      echo "$level, $threads threads: other entities:"; head -10 "$dir/diff"; wc -l <"$dir/diff"; failed=1
    fi
    [ -z "${CONLL:-}" ] || break
  done
  echo "$level: $(wc -l <"$dir/now") entities"
done
exit $failed
