#!/bin/sh
# peers.sh [RUNS] - this library and onnxruntime in turn, on the same full-size model, in one go.
#
# Needs $PEERS: a folder with models/full (a Hugging Face directory), models/full/onnx and ort.mjs
# beside node_modules. For each precision and thread count the two run one after the other RUNS
# times (default 3); the best tokens/s of a row is taken within a run, as onnxruntime's script
# prints it, and the median over the runs is shown with the ratio ours/theirs. Ours includes the
# tokenizer and the spans; theirs gets ids. "sentences" are texts of many lengths: packed without
# padding by us, sorted, padded and batched by them, at the best of four batch sizes. With TEXTS
# set to a file the sentences are its lines; PRECISION and THREADS choose among the runs.
set -eu
cd "$(dirname "$0")/../.."
: "${PEERS:?set PEERS to the folder of the peers}"
export PEERS
runs=${1:-3}
build=${BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for precision in ${PRECISION:-f32 int8}; do
  for threads in ${THREADS:-1 $(nproc)}; do
    : >"$tmp/ours" >"$tmp/theirs"
    for run in $(seq "$runs"); do
      "$build/bench" -m "$PEERS/models/full" -p "$precision" -t "$threads" -s -r 3 -d "$tmp/ids" \
        ${TEXTS:+-f "$TEXTS" -n 1024} >"$tmp/run"
      # The lines of a file stand for the made-up sentences.
      awk '$1 == "file" { $1 = "sentences"; $0 = $0; print; next } $1 != "sentences" || !file { print }' \
        file="${TEXTS:-}" "$tmp/run" >>"$tmp/ours"
      (cd "$PEERS" && node ort.mjs "$precision" "$threads") |
        sed -n 's/.*B=\([0-9]*\) T=\([0-9]*\).*tok\/s=\([0-9]*\)/\1x\2 0 \3/p' >>"$tmp/theirs"
      node tests/bench/ort_texts.mjs "$precision" "$threads" "$tmp/ids" |
        grep '^sentences' >>"$tmp/theirs"
    done
    echo "$precision, $threads thread(s): texts x tokens, tokens/s ours, onnxruntime, ratio"
    awk '
      function median(list,   v, n, i, j, t) {
        n = split(list, v, " ")
        for(i = 2; i <= n; i++)
          for(j = i; j > 1 && v[j] + 0 < v[j-1] + 0; j--) { t = v[j]; v[j] = v[j-1]; v[j-1] = t }
        return v[int((n + 1) / 2)]
      }
      FNR == NR { ours[$1] = ours[$1] " " $3; if(!($1 in seen)) { order[++n] = $1; seen[$1] } next }
      { theirs[$1] = theirs[$1] " " $3 }
      END {
        for(i = 1; i <= n; i++) {
          s = order[i]
          if(s in theirs)
            printf "  %-9s %8d %8d  %.2f\n", s, median(ours[s]), median(theirs[s]), median(ours[s]) / median(theirs[s])
        }
      }' "$tmp/ours" "$tmp/theirs"
  done
done
