#!/bin/sh
# corpus.sh TARGET... - renews the committed corpus from what `make fuzz` has found so far: beside
# the inputs that have a name of their own (seeds, and every input that ever failed), which stay,
# those that reach most new edges for their size, up to $BUDGET bytes.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build} budget=${BUDGET:-30000}
hash='????????????????????????????????????????'

for target in "$@"; do
  corpus=tests/fuzz/corpus/$target found=$build/fuzz/corpus/$target work=$build/fuzz/choose
  rm -rf "$work"
  mkdir -p "$work/all" "$work/out"
  for dir in "$found" "$corpus"; do cp "$dir"/* "$work/all/"; done
  # For its control file, where every input stands with all the edges it reaches.
  "$build/fuzz/fuzz_$target" -set_cover_merge=1 -merge_control_file="$work/reach" -use_counters=0 \
    -timeout="${TIMEOUT:-20}" -max_len=16384 "$work/out" "$work/all" 2>"$work/log" ||
    { tail -n 20 "$work/log"; exit 1; }
  find "$work/all" -type f -printf '%s %p\n' >"$work/sizes"
  # An input's worth only falls as others are taken: a worth that is still true when it is the
  # highest is the highest.
  awk -v budget="$budget" '
    function worth(i,   n, k, new) {
      n = split(edges[i], part, " ")
      for (k = 3; k <= n; k++) new += !(part[k] in have)
      return new / (size[name[i]] + 100)
    }
    function take(i,   n, k) {
      n = split(edges[i], part, " ")
      for (k = 3; k <= n; k++) have[part[k]]
      delete edges[i]
    }
    FNR == NR { size[$2] = $1; next }
    FNR == 1 { n_names = $1; next }
    FNR > 2 && FNR <= n_names + 2 { name[FNR - 3] = $0; next }
    $1 == "FT" { edges[$2] = $0 }
    END {
      for (i in edges) if (name[i] !~ /\/[0-9a-f]*$/ || length(name[i]) < 41) take(i)
      for (i in edges) value[i] = worth(i)
      while (1) {
        best = -1
        for (i in edges) if (best < 0 || value[i] > value[best]) best = i
        if (best < 0 || value[best] == 0) break
        now = worth(best)
        if (now < value[best]) { value[best] = now; continue }
        if (size[name[best]] <= budget) {
          budget -= size[name[best]]
          print name[best]
          take(best)
        } else delete edges[best]
      }
    }' "$work/sizes" "$work/reach" >"$work/chosen"
  find "$corpus" -name "$hash" -delete
  while read -r input; do cp "$input" "$corpus/"; done <"$work/chosen"
  # A named seed may have been found, too: once is enough.
  for named in "$corpus"/*; do
    sum=$(sha1sum <"$named" | cut -d' ' -f1)
    [ "${named##*/}" = "$sum" ] || rm -f "$corpus/$sum"
  done
  echo "$target: $(ls "$corpus" | wc -l) inputs, $(cat "$corpus"/* | wc -c) bytes"
done
