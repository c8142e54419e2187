#!/bin/sh
# The golden answers hold at the levels nobody gets by default, too.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} failed=0
[ -x "$build/tests/test_golden" ] || { echo "test_golden is not built"; exit 77; }
for level in portable openblas; do
  out=$(NER_CPU=$level "$build/tests/test_golden" 2>&1) || { echo "NER_CPU=$level:"; echo "$out" | grep -v '^ok'; failed=1; }
done
exit $failed
