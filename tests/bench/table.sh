#!/bin/sh
# table.sh - what a user would pick instead, in one table: rows/s and words/s of this library and of its
# peers over the same lines of text, all processors, one after the other in one go.
#
#     PEERS=folder [TEXTS=file] [ROWS=1000] [PYTHON=python3] [SPACY_MODEL=name] sh tests/bench/table.sh
#
# $PEERS is as for peers.sh. A peer that is not installed is named and left out. One figure for each: the best
# way to call it among those that its own documentation shows (onnxruntime at the best of four batch sizes
# and without tokenizer or spans; transformers.js one by one, since padding makes its batches slower; spaCy
# through nlp.pipe() with entities alone).
set -eu
cd "$(dirname "$0")/../.."
: "${PEERS:?set PEERS to the folder of the peers}"
export PEERS
build=${BUILD:-build} rows=${ROWS:-1000} python=${PYTHON:-python3} threads=$(nproc)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# No line twice: ner_query() labels equal texts once.
if [ -n "${TEXTS:-}" ]; then cat "$TEXTS"; else
  cat models/everyday.txt models/everyday-check.txt | grep -v '^#' | tr '[|]' '  '
fi | awk 'NF > 1 && !seen[$0]++' | head -n "$rows" >"$tmp/texts"
rows=$(wc -l <"$tmp/texts") words=$(wc -w <"$tmp/texts")

show() { # NAME ROWS_PER_S
  awk -v name="$1" -v rate="$2" -v rows="$rows" -v words="$words" \
    'BEGIN { printf "%-48s %9.0f %9.0f\n", name, rate, rate * words / rows }'
}
query() { # NAME BENCH_ARGUMENTS
  name=$1
  shift
  show "$name" "$("$build/bench" "$@" -t "$threads" -q -s -r 3 -f "$tmp/texts" -n "$rows" | awk '{ print $3 }')"
}
printf '%s rows, %s words, %s thread(s)\n%-48s %9s %9s\n' "$rows" "$words" "$threads" '' rows/s words/s
query 'ner_query, bundled model'
if [ -d "$PEERS/models/full" ]; then
  query 'ner_query, DistilBERT int8' -m "$PEERS/models/full" -p int8
  query 'ner_query, DistilBERT f32' -m "$PEERS/models/full" -p f32
fi
if [ -f "$PEERS/ort.mjs" ] && command -v node >/dev/null; then
  for precision in int8 f32; do
    "$build/bench" -m "$PEERS/models/full" -t "$threads" -s -r 1 -x file -f "$tmp/texts" -n "$rows" -d "$tmp/ids" >/dev/null
    rate=$(node tests/bench/ort_texts.mjs $precision "$threads" "$tmp/ids" | awk '/^sentences/ { print $3 }')
    show "onnxruntime, DistilBERT $precision" "$(wc -w <"$tmp/ids" | awk -v rate="$rate" -v rows="$rows" '{ print rate * rows / $1 }')"
  done
else
  echo "onnxruntime: not in $PEERS"
fi
if [ -f "$PEERS/pipeline.mjs" ] && command -v node >/dev/null; then
  for dtype in q8 fp32; do
    rate=$(cd "$PEERS" && node pipeline.mjs $dtype 1 "$rows" "$tmp/texts" | sed -n 's|.*rows/s=\([0-9.]*\).*|\1|p')
    show "transformers.js, DistilBERT $dtype" "$rate"
  done
else
  echo "transformers.js: not in $PEERS"
fi
if "$python" tests/bench/spacy_texts.py "$tmp/texts" >"$tmp/spacy" 2>"$tmp/why"; then
  show "spaCy, en_core_web_sm $(cut -d' ' -f1 "$tmp/spacy")" "$(cut -d' ' -f2 "$tmp/spacy")"
else
  echo "spaCy: $(tail -n 1 "$tmp/why") (PYTHON, SPACY_MODEL)"
fi
