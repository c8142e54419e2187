#!/bin/sh
# run.sh TARGET - fuzzes one target for $TIME seconds and says in a line how far it got; exits 0
# when nothing failed. See `make fuzz`.
#
# Starts from the committed corpus (tests/fuzz/corpus/TARGET) and what earlier runs found
# ($BUILD/fuzz/corpus/TARGET, where new inputs go). An input that fails is kept in $BUILD/fuzz
# under its target's name: mend the bug, and put the input into the committed corpus.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} target=$1
program=$build/fuzz/fuzz_$target log=$build/fuzz/$target.log
found=$build/fuzz/corpus/$target seeds=tests/fuzz/corpus/$target dict=tests/fuzz/$target.dict
case $target in
  safetensors|directory) max=16384 ;;
  *) max=2048 ;;
esac
mkdir -p "$found"
began=$(date +%s)
# A file that lies about its sizes must not make us ask for memory beyond all measure. Freed memory
# that AddressSanitizer holds back is kept small, so that what is left is the library's.
ASAN_OPTIONS=quarantine_size_mb=64:${ASAN_OPTIONS:-} \
  "$program" -max_total_time="${TIME:-60}" -max_len=$max -timeout="${TIMEOUT:-20}" \
  -rss_limit_mb=1024 -malloc_limit_mb=256 -print_final_stats=1 -verbosity="${VERBOSITY:-1}" \
  -artifact_prefix="$build/fuzz/$target-" $([ -f "$dict" ] && echo "-dict=$dict") \
  "$found" "$seeds" >"$log" 2>&1
status=$?
seconds=$(($(date +%s) - began))
[ $seconds -gt 0 ] || seconds=1

# "#4590  DONE   cov: 888 ft: 4258 corp: ...": after an input that failed, the last line of the kind.
set -- $(sed -n 's/^#\([0-9]*\)[^c]*cov: \([0-9]*\) .*/\1 \2/p' "$log" | tail -n 1) 0 0
printf '%-11s %9d executions %5d s %6d executions/s %5d edges, exit %d\n' \
  "$target" "$1" $seconds $(($1 / seconds)) "$2" $status
[ $status -ne 0 ] || exit 0

input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
grep -a -m 1 -A 25 -e '^==[0-9]*==' -e 'does not hold' "$log" || tail -n 25 "$log"
if [ -n "$input" ]; then
  echo "fuzz: $target failed; the input is kept in $input. To see it fail again: $program $input"
else
  echo "fuzz: $target failed before it tried an input; see $log"
fi
exit 1
