#!/bin/sh
# run.sh - the bench's tables: the bundled model at one thread and at all, whole tables, memory, cost against
# work; with PEERS set also the full-size model in both precisions, onnxruntime beside it shape by shape
# (peers.sh), and all peers over one file of texts (table.sh).
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
# Cost against work: up to 10 000 rows and 100 KB with the bundled model, and as far as 10^6 rows and 10 MB
# with the tiny one.
"$build/bench" -w growth -n 10000
"$build/bench" -m tests/golden/models/distil-cased -w growth -n 1000000
if [ -n "${PEERS:-}" ]; then
  for precision in f32 int8; do
    for threads in 1 $(nproc); do
      "$build/bench" -m "$PEERS/models/full" -p "$precision" -t "$threads" -r 3
    done
  done
  sh tests/bench/peers.sh
  sh tests/bench/table.sh
fi
