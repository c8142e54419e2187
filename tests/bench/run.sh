#!/bin/sh
# run.sh - the bench's table: the bundled model at one thread and at all; with PEERS set also the
# full-size model in both precisions, and onnxruntime beside it (peers.sh).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
sed -n 's/^model name[^:]*: /processor /p' /proc/cpuinfo 2>/dev/null | head -n 1
for threads in 1 $(nproc); do
  "$build/bench" -t "$threads"
done
if [ -n "${PEERS:-}" ]; then
  for precision in f32 int8; do
    for threads in 1 $(nproc); do
      "$build/bench" -m "$PEERS/models/full" -p "$precision" -t "$threads" -r 3
    done
  done
  sh tests/bench/peers.sh
fi
