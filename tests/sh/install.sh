#!/bin/sh
# install.sh - what a stranger does with an installed library: pkg-config, one line of cc, a C program
# that loads no extension; and what is installed, where, and what the header asks of a compiler.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD build=${BUILD:-build}
[ -z "${PRELOAD:-}" ] || { echo "a sanitizer's build is not for strangers"; exit 77; }
for tool in pkg-config make cc; do command -v $tool >/dev/null || { echo "no $tool"; exit 77; }; done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "install.sh: $*"; exit 1; }

make -s install BUILD="$build" PREFIX="$dir/usr" >"$dir/log" 2>&1 || { cat "$dir/log"; fail "make install"; }
(cd "$dir/usr" && find . -type f | LC_ALL=C sort) >"$dir/files"
diff - "$dir/files" <<EOF || fail "other files are installed"
./include/ner.h
./lib/libner.a
./lib/pkgconfig/ner.pc
./lib/sqlite3/ner.so
EOF
# For a package: staged elsewhere, yet meant for PREFIX.
make -s install BUILD="$build" PREFIX=/opt/ner DESTDIR="$dir/stage" >"$dir/log" 2>&1 || fail "DESTDIR"
grep -q '^prefix=/opt/ner$' "$dir/stage/opt/ner/lib/pkgconfig/ner.pc" || fail "ner.pc has DESTDIR's prefix"
make -s "$build/ner.pc" BUILD="$build"

cd "$dir"
export PKG_CONFIG_PATH="$dir/usr/lib/pkgconfig"
[ "$(pkg-config --modversion ner)" = "$(sed -n 's/^#define NER_VERSION "\(.*\)"/\1/p' usr/include/ner.h)" ] ||
  fail "pkg-config tells another version"
cc -Wall -Wextra -Werror "$top/tests/c/stranger.c" $(pkg-config --cflags --libs ner) -o stranger
cc -Wall -Wextra -Werror -DWITH_SQL "$top/tests/c/stranger.c" $(pkg-config --cflags --libs ner) -o with_sql
cat >expected <<EOF
PER 11-19 Wolfgang
LOC 34-40 Zürich
EOF
./stranger | sed 's/ [01]\.[0-9]* / /' | diff expected - || fail "./stranger finds other names"
cat expected expected >twice
./with_sql | sed 's/ [01]\.[0-9]* / /' | diff twice - || fail "./with_sql finds other names"
# A directory, whose configuration is JSON, and one that is not there.
./stranger "$top/tests/golden/models/distil-cased" >/dev/null || fail "a model directory is not read"
./stranger /no/such/model 2>message && fail "a missing model is no error"
grep -q "'/no/such/model' does not exist" message || fail "$(cat message)"

# The header by itself, in C and C++, with and without SQLite's before it.
for header in '#include <ner.h>' '#include <sqlite3.h>
#include <ner.h>'; do
  echo "$header" | cc -std=c11 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only -Iusr/include -x c -
  command -v c++ >/dev/null || continue
  echo "$header" | c++ -std=c++17 -pedantic-errors -Wall -Wextra -Werror -fsyntax-only -Iusr/include -x c++ -
done
