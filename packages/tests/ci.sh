#!/bin/sh
# ci.sh - makes this machine's packages and runs what of their tests takes a few minutes. A registry that
# cannot be reached, or a machine without cargo, is a skip with a name: the library itself is tested by
# `make test`.
set -u
cd "$(dirname "$0")/../.." || exit 1
target=$(uname -m)-linux-gnu

skip() { echo "skipped: packages: $1"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }

[ "$(uname -s)" = Linux ] || skip "this is not Linux"
command -v cargo >/dev/null || skip "no cargo, which fetches utf8proc"
make --no-print-directory packages-deps || exit 1
if ! make --no-print-directory packages PACKAGES="$target"; then
  # Only what could not be fetched is no fault of the packages.
  [ -x dist/cache/zig/bin/pip ] && dist/cache/zig/bin/python -c 'import ziglang' 2>/dev/null || skip "PyPI cannot be reached"
  [ -f dist/cache/vendor/utf8proc-sys/utf8proc/utf8proc.c ] || skip "crates.io cannot be reached"
  exit 1
fi
FEW=1 sh packages/tests/run.sh
