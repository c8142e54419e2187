#!/bin/sh
# build.sh - builds the library for another platform:
#
#     packages/build.sh x86_64-linux-gnu        # -> dist/x86_64-linux-gnu/ner.so; .dylib, .dll
#     packages/build.sh all                     # every target below
#
# One compiler serves all targets: the PyPI package ziglang. utf8proc, from the crate utf8proc-sys, is
# linked statically. Both are pinned here and checked. Nothing else is fetched; what was fetched lies
# in dist/cache. Needs python3 with venv, cargo, and SQLite's headers.
#
# No BLAS is linked: processors without AVX2 or NEON run the portable kernels.
# packages/tests/foreign.sh runs the results.
set -eu
cd "$(dirname "$0")/.."

ZIGLANG=0.17.1
UTF8PROC_SYS=0.1.2 # utf8proc 2.11.0
UTF8PROC_SHA256='b0df763ea34c8cceac9730ec20e8795c336bf21a3b4f7d2e56b88b07601f5b3d  utf8proc.c
3ec0d5c70b1171b236815a437b319163e6ada1570f4f9115bbdc497075b1b014  utf8proc.h
950e549dbfc853c4304425f3af1875e72fa9fc9697c273c763400c2da4e380a7  utf8proc_data.c
3b510150d34f248a221bb88e1d811238d6c6c18b51231822c42974c39bb07256  LICENSE.md'

TARGETS='x86_64-linux-gnu aarch64-linux-gnu x86_64-linux-musl aarch64-linux-musl
x86_64-macos aarch64-macos x86_64-windows-gnu'

cache=dist/cache

fail() { echo "build.sh: $*" >&2; exit 1; }

fetch_zig() {
  [ -x "$cache/zig/bin/python" ] || python3 -m venv "$cache/zig"
  "$cache/zig/bin/pip" install --quiet "ziglang==$ZIGLANG"
}

zig_cc() {
  "$cache/zig/bin/python" -m ziglang cc "$@"
}

fetch_utf8proc() {
  utf8proc=$cache/vendor/utf8proc-sys/utf8proc
  if [ ! -f "$utf8proc/utf8proc.c" ]; then
    mkdir -p "$cache/crate"
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[dependencies]\nutf8proc-sys = "=%s"\n' \
      "$UTF8PROC_SYS" >"$cache/crate/Cargo.toml"
    : >"$cache/crate/lib.rs"
    cargo vendor --quiet --manifest-path "$cache/crate/Cargo.toml" "$cache/vendor" >/dev/null
  fi
  printf '%s\n' "$UTF8PROC_SHA256" | (cd "$utf8proc" && sha256sum --quiet --strict --check -) ||
    fail "utf8proc-sys $UTF8PROC_SYS is not what was pinned; look at it before changing the sums"
}

# Only SQLite's two headers: the rest of /usr/include belongs to this machine's libc.
find_sqlite() {
  mkdir -p "$cache/sqlite"
  for header in sqlite3.h sqlite3ext.h; do
    cp "$(printf '#include <%s>\n' "$header" | ${CC:-cc} -M -xc - | tr ' ' '\n' | grep "/$header\$")" \
      "$cache/sqlite/" || fail "there is no $header; install SQLite's development package (make deps)"
  done
}

build() { # TARGET
  target=$1 out=dist/$1 libs='-lm' link='' zig_target=$1 name=ner.so pic='-fPIC -pthread'
  case $target in
    *-linux-gnu) zig_target=$target.2.17 libs='-lm -ldl -lpthread' link='-Wl,-z,nodelete -Wl,-z,defs' ;;
    *-linux-musl) link='-Wl,-z,nodelete -Wl,-z,defs' ;;
    *-macos) name=ner.dylib zig_target=$target.11.0 link='-Wl,-install_name,@rpath/ner.dylib' ;;
    *-windows-gnu) name=ner.dll libs='' pic='' ;;
    *) fail "there is no target '$target'; there are: $(echo $TARGETS)" ;;
  esac
  mkdir -p "$out"
  # -fno-math-errno and -ffp-contract=off decide results; see the Makefile. Only version.c is given the
  # commit, so that the compiler's cache serves all other files after the next one.
  flags="-target $zig_target -O2 -g0 -std=gnu11 $pic -fvisibility=hidden -fno-math-errno
    -ffp-contract=off -fno-sanitize=all -DNER_NO_BLAS -DUTF8PROC_STATIC
    -Iinclude -Isrc -I$utf8proc -I$cache/sqlite"
  # shellcheck disable=SC2046,SC2086
  {
    zig_cc $flags -DNER_COMMIT="\"$commit\"" -c -o "$out/version.o" src/base/version.c
    zig_cc $flags -s -shared $link -o "$out/$name" sqlite-ner.c \
      $(ls src/*/*.c | grep -v '^src/base/version.c$') "$out/version.o" "$utf8proc/utf8proc.c" $libs
  }
  rm -f "$out/version.o" "$out/sqlite-ner.lib" # zig's import library for the DLL
  cp LICENSE "$out/LICENSE"
  cp "$utf8proc/LICENSE.md" "$out/LICENSE.utf8proc.md"
  cp include/ner.h "$out/"
  echo "$out/$name"
}

[ $# -gt 0 ] || fail "no target; say all, or some of: $(echo $TARGETS)"
[ "$1" != all ] || set -- $TARGETS
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
mkdir -p "$cache"
fetch_zig
fetch_utf8proc
find_sqlite
for t in "$@"; do build "$t"; done
