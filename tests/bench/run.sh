#!/bin/sh
# run.sh - the bench's table: the bundled model at one thread and at all, whole tables, memory; with PEERS
# set also the full-size model in both precisions, and onnxruntime beside it (peers.sh).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
sed -n 's/^model name[^:]*: /processor /p' /proc/cpuinfo 2>/dev/null | head -n 1
for threads in 1 $(nproc); do
  "$build/bench" -t "$threads"
done
"$build/bench" -q
# Memory while a table goes by: with a tiny model, since it is the rows that might add up.
for what in query enrich; do
  for rows in 10000 1000000; do
    "$build/bench" -m tests/golden/models/distil-cased -w $what -n $rows
  done
done
if [ -n "${PEERS:-}" ]; then
  for precision in f32 int8; do
    for threads in 1 $(nproc); do
      "$build/bench" -m "$PEERS/models/full" -p "$precision" -t "$threads" -r 3
    done
  done
  sh tests/bench/peers.sh
fi
