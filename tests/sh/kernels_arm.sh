#!/bin/sh
# The ARM kernels, compiled by a cross compiler and run by an emulator, once with the dot product
# and once as on a processor without it.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
cc=${AARCH64_CC:-aarch64-linux-gnu-gcc}
for tool in "$cc" qemu-aarch64; do
  command -v "$tool" >/dev/null || { echo "no $tool here"; exit 77; }
done
mkdir -p "$build"
for test in test_kernels test_kernels_train; do
  "$cc" -std=gnu11 -O2 -fno-math-errno -ffp-contract=off -Iinclude -Isrc -Itests/plain -DNER_NO_BLAS \
    tests/unit/$test.c src/kernels/*.c src/base/base.c src/base/message.c src/base/os_posix.c -static -o "$build/$test.arm" -lm -pthread
  for cpu in max cortex-a72; do
    qemu-aarch64 -cpu $cpu "$build/$test.arm" || { echo "FAILED on $cpu"; exit 1; }
  done
done
