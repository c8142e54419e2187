#!/bin/sh
# one.sh FOLDER NUMBER TEST - runs one test for run.sh, which reads FOLDER/NUMBER (what the test
# printed), NUMBER.seconds and at last NUMBER.rc (its exit status).
# A C test, a fuzz target's replay of its corpus, a SQL script, a shell script or "fuzz TARGET".
out=$1/$2 test=$3
began=$(date +%s)
case $test in
  fuzz\ *) sh tests/fuzz/run.sh "${test#fuzz }" >"$out" 2>&1 ;;
  */fuzz_*) "$test" "tests/fuzz/corpus/${test##*/fuzz_}" >"$out" 2>&1 ;;
  *.sql)
    LD_PRELOAD="$PRELOAD" "${SQLITE:-sqlite3}" -batch -cmd ".load $BUILD/ner" :memory: <"$test" >"$out.printed" 2>&1
    diff -u "${test%.sql}.out" "$out.printed" >"$out" 2>&1 ;;
  *.sh) sh "$test" >"$out" 2>&1 ;;
  *) "$test" >"$out" 2>&1 ;;
esac
rc=$?
echo $(($(date +%s) - began)) >"$out.seconds"
echo $rc >"$out.rc.new"
mv "$out.rc.new" "$out.rc"
