#!/bin/sh
# run.sh TARGET... - fuzzes each target for $TIME seconds; see `make fuzz`.
#
# Starts from the committed corpus (tests/fuzz/corpus/TARGET) and what earlier runs found
# ($BUILD/fuzz/corpus/TARGET, where new inputs go). An input that fails is kept in $BUILD/fuzz
# under its target's name: mend the bug, and put the input into the committed corpus.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} status=0
for target in "$@"; do
  found=$build/fuzz/corpus/$target seeds=tests/fuzz/corpus/$target dict=tests/fuzz/$target.dict
  case $target in
    safetensors|directory) max=16384 ;;
    *) max=2048 ;;
  esac
  mkdir -p "$found" "$seeds"
  echo "== $target, ${TIME:-60} s"
  # A file that lies about its sizes must not make us ask for memory beyond all measure.
  "$build/fuzz/fuzz_$target" -max_total_time="${TIME:-60}" -max_len=$max -timeout="${TIMEOUT:-20}" \
    -rss_limit_mb=2048 -malloc_limit_mb=256 -print_final_stats=1 -verbosity="${VERBOSITY:-1}" \
    -artifact_prefix="$build/fuzz/$target-" $([ -f "$dict" ] && echo "-dict=$dict") \
    "$found" "$seeds" || status=1
done
exit $status
