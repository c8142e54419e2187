#!/bin/sh
# corpus.sh TARGET... - renews the committed corpus from what `make fuzz` has found so far: a small
# choice that reaches every edge any input reached, the smallest 80 of it. Inputs with a name of their own (seeds, and every
# input that ever failed) stay; those named by their hash are replaced.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
for target in "$@"; do
  corpus=tests/fuzz/corpus/$target chosen=$build/fuzz/chosen
  rm -rf "$chosen"
  mkdir -p "$chosen"
  "$build/fuzz/fuzz_$target" -set_cover_merge=1 -use_counters=0 -timeout="${TIMEOUT:-20}" -max_len=16384 \
    "$chosen" "$corpus" "$build/fuzz/corpus/$target" 2>"$build/fuzz/chosen.log" ||
    { tail -n 20 "$build/fuzz/chosen.log"; exit 1; }
  find "$corpus" -name '????????????????????????????????????????' -delete
  find "$chosen" -type f -size -4k -printf '%s %p\n' | sort -n | head -n 80 | while read -r _ input; do
    cp "$input" "$corpus/"
  done
  # A named seed may have been chosen, too: once is enough.
  for named in "$corpus"/*; do
    hash=$(sha1sum <"$named" | cut -d' ' -f1)
    [ "${named##*/}" = "$hash" ] || rm -f "$corpus/$hash"
  done
  echo "$target: $(ls "$corpus" | wc -l) inputs, $(cat "$corpus"/* | wc -c) bytes"
done
