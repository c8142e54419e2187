#!/bin/sh
# The AVX-512 and VNNI kernels on a machine that lacks them: their instructions played by
# tests/emulate.h. Needs AVX2, which the rest of those files uses.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
grep -qw avx2 /proc/cpuinfo 2>/dev/null || { echo "no AVX2 here"; exit 77; }
mkdir -p "$build/tests"
for test in test_kernels test_kernels_train; do
  ${CC:-cc} -std=gnu11 -O1 -fno-math-errno -ffp-contract=off -Wno-psabi -Iinclude -Isrc -Itests -Itests/plain \
    -DNER_NO_BLAS -DNER_EMULATE tests/unit/$test.c src/kernels/*.c src/base/base.c src/base/message.c src/base/os_posix.c \
    -o "$build/tests/$test.emulated" -lm -pthread
  "$build/tests/$test.emulated"
done
