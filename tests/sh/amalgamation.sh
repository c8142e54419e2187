#!/bin/sh
# amalgamation.sh - the library as one C file: one line of cc makes the extension, one the program of a
# stranger; with the bundled model, without it, and with another one in its place.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD build=$PWD/${BUILD:-build} sqlite=${SQLITE:-sqlite3}
[ -z "${PRELOAD:-}" ] || { echo "not with a sanitizer"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "amalgamation.sh: $*"; exit 1; }
link="-lutf8proc -lm -lpthread -ldl"

make -s amalgamation BUILD="$dir" >/dev/null
head -3 "$dir/sqlite-ner.c" | grep -q 'Source commit [0-9a-f]*[a-z ]*, 2[0-9-]*\.\|Source commit unknown' ||
  fail "the file does not state its version, commit and date"

# As the file's head says.
cd "$dir"
cc -O2 -fPIC -shared sqlite-ner.c -o ner.so $link
query="SELECT entity, label, round(score, 4), start FROM ner('My name is Wolfgang and I live in Zürich.')"
"$sqlite" -cmd '.load ./ner' :memory: "$query" >found
"$sqlite" -cmd ".load $build/ner" :memory: "$query" >expected
diff expected found || fail "the extension gives other answers"
[ "$(wc -l <found)" -eq 2 ] || fail "two entities were expected"
# It exports what the other one does.
nm -D --defined-only ner.so | awk '{ print $3 }' | grep -v '^_' | sort >exports
nm -D --defined-only "$build/ner.so" | awk '{ print $3 }' | grep -v '^_' | sort | diff - exports ||
  fail "the extension exports other names"

# A program, built elsewhere: no model beside it.
mkdir elsewhere
cd elsewhere
cc -O1 -DSQLITE_CORE -DWITH_SQL -I.. "$top/tests/c/stranger.c" ../sqlite-ner.c -o stranger -lsqlite3 $link
./stranger 2>message && fail "there should be no bundled model"
grep -q 'this build has no bundled model; load another one' message || fail "$(cat message)"
NER_MODEL=../ner-small.safetensors ./stranger ../ner-small.safetensors | sed 's/ [01]\.[0-9]* / /' >found
printf 'PER 11-19 Wolfgang\nLOC 34-40 Zürich\n%.0s' 1 2 | diff - found || fail "the program finds other names"
# The model named.
cc -O0 -DSQLITE_CORE -I.. -DNER_BUNDLED_PATH='"../ner-small.safetensors"' "$top/tests/c/stranger.c" \
  ../sqlite-ner.c -o named -lsqlite3 $link
./named | grep -q 'PER .* Wolfgang' || fail "-DNER_BUNDLED_PATH has no effect"
