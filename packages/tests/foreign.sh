#!/bin/sh
# foreign.sh - examines what packages/build.sh has made for other platforms, and runs it:
#
#     packages/tests/foreign.sh [TARGET...]        # default: every target that is in dist/
#     C_TESTS='test_os test_golden' packages/tests/foreign.sh x86_64-windows-gnu
#
# For each target: the library exports its entry points and nothing else, and needs no more than the
# platform has. Then, in SQLite's own shell, compiled for the target: the scripts of tests/sql print
# what they should, and the entities of some hundred texts, scores included, are those of the native
# library, on every level of instructions, on one thread and on three. Then the C tests, with
# tests/plain/cmocka.h in place of cmocka: all of them, those of C_TESTS, or none (C_TESTS=none).
#
# Windows runs under wine, aarch64 under qemu-aarch64, musl with its loader (Debian: wine64, qemu-user
# and libc6-arm64-cross, musl). macOS cannot be run: load commands and symbols are examined. What this
# machine lacks is skipped by name. Closes with "N passed, N failed, N skipped".
#
# SQLite's shell comes from the npm package sqlite3, pinned and checked; all that is made lies in
# dist/cache/foreign.
set -u
cd "$(dirname "$0")/../.." || exit 1

SQLITE3_NPM=5.1.7 # SQLite 3.44.2
SQLITE_TAR=sqlite-autoconf-3440200
SQLITE_SHA256=1c6719a148bc41cf0f2bbbe3926d7ce3f5ca09d878f1246fcc20767b175bb407
ZIG="$PWD/dist/cache/zig/bin/python -m ziglang"
UTF8PROC=dist/cache/vendor/utf8proc-sys/utf8proc

work=$PWD/dist/cache/foreign
mkdir -p "$work/tmp"
tmp=$(mktemp -d) && chmod 711 "$tmp" || exit 1 # a test writes there as somebody else
trap 'rm -rf "$tmp"' EXIT
export WINEPREFIX="$work/wine" WINEDEBUG=-all
passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); }
no() { failed=$((failed + 1)); echo "FAILED: $1"; }
skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }

# The tool of that name, or with a version behind it.
llvm() {
  for tool in "$1" "$1-19" "$1-16" "$1-15" "$1-14"; do
    command -v "$tool" && return
  done
  return 1
}

# ---- the library's surface ----

wanted_exports() {
  { echo sqlite3_ner_init; echo sqlite3_ner_safe_init
    sed '/^#ifdef SQLITE_VERSION/,/^#endif/d' include/ner.h | grep -v '^#' | tr '\n' ' ' |
      grep -o 'NER_API [^(]*(' | sed 's/.*[ *]\(ner_[a-z_]*\)($/\1/'; } | sort
}

check_surface() { # TARGET FILE
  nm=$(llvm llvm-nm) && readobj=$(llvm llvm-readobj) || { skip "$1: symbols (no llvm-nm, llvm-readobj)"; return; }
  case $1 in
    *-windows-gnu) "$readobj" --coff-exports "$2" | sed -n 's/^ *Name: //p' ;;
    *-macos) "$nm" -gU "$2" | sed 's/.* _//' | grep -v '^_' ;; # what the linker adds begins with two
    *) "$nm" -D --defined-only "$2" | awk '{ print $3 }' | grep -v '^_' ;;
  esac | sort >"$tmp/exports"
  if wanted_exports | diff - "$tmp/exports" >"$tmp/diff"; then ok; else no "$1: exports"; head -20 "$tmp/diff"; fi
  # What it needs: each line must match.
  case $1 in
    *-windows-gnu)
      "$readobj" --coff-imports "$2" | sed -n 's/^  Name: //p' | sort -u >"$tmp/needs"
      known='^\(KERNEL32\|ADVAPI32\|api-ms-win-crt-[a-z0-9-]*\)\.dll$' ;;
    *-macos)
      "$readobj" --needed-libs "$2" | grep '^ ' | sed 's/^ *//' >"$tmp/needs"
      "$readobj" --macho-version-min "$2" | sed -n 's/^ *Version: /minimum macOS /p' >>"$tmp/needs"
      "$nm" -u "$2" | grep -i 'sqlite\|utf8proc\|ner_' >>"$tmp/needs"
      known='^\(@rpath/ner.dylib\|/usr/lib/libSystem.B.dylib\|minimum macOS 11\.0\)$' ;;
    *)
      "$readobj" --needed-libs "$2" | grep '^ ' | sed 's/^ *//' >"$tmp/needs"
      "$readobj" --dyn-syms "$2" | grep -o 'GLIBC_[0-9.]*' | sort -u >>"$tmp/needs"
      "$nm" -D --undefined-only "$2" | grep -i 'sqlite\|utf8proc\| ner_' >>"$tmp/needs"
      known='^\(lib\(c\|m\|dl\|pthread\)\.so\(\.[0-9]\)\?\|ld-linux-[a-z0-9-]*\.so\.[0-9]\|GLIBC_2\.\([2-9]\|1[0-7]\)\(\.[0-9]*\)\?\)$' ;;
  esac
  if [ -s "$tmp/needs" ] && ! grep -v "$known" "$tmp/needs"; then ok
  else no "$1: needs what the platform may not have (above)"; fi
}

# ---- SQLite ----

fetch_sqlite() {
  sqlite=$work/$SQLITE_TAR
  if [ ! -f "$sqlite/shell.c" ]; then
    (cd "$work" && npm pack --silent "sqlite3@$SQLITE3_NPM" >/dev/null &&
      tar xzf "sqlite3-$SQLITE3_NPM.tgz" "package/deps/$SQLITE_TAR.tar.gz") || return 1
    echo "$SQLITE_SHA256  $work/package/deps/$SQLITE_TAR.tar.gz" | sha256sum --quiet --strict --check - ||
      { echo "sqlite3 $SQLITE3_NPM is not what was pinned"; return 1; }
    tar xzf "$work/package/deps/$SQLITE_TAR.tar.gz" -C "$work"
  fi
}

zig_target() { # glibc's oldest version, where there is one
  case $1 in *-linux-gnu) echo "$1.2.17" ;; *) echo "$1" ;; esac
}

OPTIONS='-DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_MATH_FUNCTIONS'
build_shell() { # TARGET -> $shell
  shell=$work/$1/sqlite3
  case $1 in *-windows-gnu) shell=$shell.exe ;; esac
  [ -f "$shell" ] && return
  mkdir -p "$work/$1"
  # -dynamic: a static program cannot load a library.
  # shellcheck disable=SC2086
  $ZIG cc -target "$(zig_target "$1")" -O1 -g0 -s -w -fno-sanitize=all $OPTIONS $dynamic \
    "$sqlite/shell.c" "$sqlite/sqlite3.c" -o "$shell" $libs >"$tmp/log" 2>&1 || { tail -5 "$tmp/log"; return 1; }
}

# Sets $run, the words before a program's name; false: this machine has no way to run the target's.
find_runner() { # TARGET
  run='' libs='-lm -ldl -lpthread' dynamic=''
  case $1 in
    x86_64-linux-gnu) [ "$(uname -m)" = x86_64 ] || missing='no x86-64 processor' ;;
    aarch64-linux-gnu)
      run="qemu-aarch64 -L ${AARCH64_ROOT:-/usr/aarch64-linux-gnu}"
      [ -e "${AARCH64_ROOT:-/usr/aarch64-linux-gnu}/lib/ld-linux-aarch64.so.1" ] || missing='no libc6-arm64-cross'
      command -v qemu-aarch64 >/dev/null || missing='no qemu-aarch64' ;;
    x86_64-linux-musl)
      dynamic=-dynamic libs='-lm'
      [ -e /lib/ld-musl-x86_64.so.1 ] || missing='no musl' ;;
    aarch64-linux-musl)
      dynamic=-dynamic libs='-lm' run="qemu-aarch64 -L ${AARCH64_MUSL_ROOT:-/usr/aarch64-linux-musl}"
      [ -e "${AARCH64_MUSL_ROOT:-/usr/aarch64-linux-musl}/lib/ld-musl-aarch64.so.1" ] ||
        missing='no musl for aarch64; AARCH64_MUSL_ROOT names the folder that has lib/ld-musl-aarch64.so.1'
      command -v qemu-aarch64 >/dev/null || missing='no qemu-aarch64' ;;
    x86_64-windows-gnu)
      run=wine libs=''
      command -v wine >/dev/null || missing='no wine'
      ;;
    *) missing='its programs cannot be run here' ;;
  esac
  [ -z "$missing" ]
}

sql() { # FILE: the script in the target's shell, with the target's library
  # shellcheck disable=SC2086
  timeout 600 $run "$shell" -batch -cmd ".load $library" :memory: <"$1" 2>&1 | tr -d '\r'
}

check_scripts() { # TARGET
  for t in tests/sql/*.sql; do
    sql "$t" >"$tmp/out"
    if diff -u "${t%.sql}.out" "$tmp/out" >"$tmp/diff"; then ok
    else no "$1: $t"; head -20 "$tmp/diff"; fi
  done
}

# ---- determinism ----

# All entities of some hundred texts (few on the portable level, which is slow) with their scores to
# the last digit, as one hash: LEVEL THREADS.
entities_hash() {
  { echo "CREATE TABLE t(x);"
    { sed -n "s/^  ('.*', '\(.*\)')[,;]$/\1/p" sql/demo.sql; grep -v '^#' models/everyday-check.txt | tr '[|]' '  '; } |
      sed "s/'/''/g; s/.*/INSERT INTO t(x) VALUES('&');/" | { [ "$1" = portable ] && head -n 12 || cat; }
    echo "SELECT key, entity, label, printf('%.17g', score), start, \"end\" FROM ner_query('SELECT rowid, x FROM t');"
  } >"$tmp/entities.sql"
  NER_CPU=$1 NER_THREADS=$2 sql "$tmp/entities.sql" >"$tmp/entities"
  [ "$(wc -l <"$tmp/entities")" -gt 3 ] && ! grep -qi error "$tmp/entities" || { head -3 "$tmp/entities"; return 1; }
  sha256sum <"$tmp/entities" | cut -c1-16
}

levels() { # that the target's library has here
  echo "SELECT ner_json('x');" >"$tmp/levels.sql"
  NER_CPU=none sql "$tmp/levels.sql" | sed -n 's/.*it can run //p' | tr -d ','
}

# The native library's hash for LEVEL: the vector levels all give the same bits.
native_hash() {
  case $1 in portable) key=portable ;; *) key=vector ;; esac
  [ -s "$tmp/native-$key" ] || (
    missing='' library=dist/x86_64-linux-gnu/ner level=portable
    find_runner x86_64-linux-gnu && [ -f "$library.so" ] && build_shell x86_64-linux-gnu >&2 || exit
    [ $key = portable ] || { level=$(levels); level=${level##* }; }
    entities_hash "$level" 1
  ) >"$tmp/native-$key"
  cat "$tmp/native-$key"
}

check_determinism() { # TARGET
  # shellcheck disable=SC2046
  set -- "$1" $(levels)
  [ $# -gt 1 ] || { no "$1: no levels"; return; }
  target=$1
  shift
  for level in "$@"; do
    want=$(native_hash "$level")
    [ -n "$want" ] || { skip "$target: determinism (no dist/x86_64-linux-gnu to compare with)"; return; }
    for threads in 1 3; do
      hash=$(entities_hash "$level" $threads)
      echo "$target $level, $threads threads: $hash"
      if [ "$hash" = "$want" ]; then ok; else no "$target: $level, $threads threads: the native library has $want"; fi
    done
  done
}

# ---- C tests ----

# Where the tests' subject is another system.
cannot_run() { # TARGET TEST
  case $1/$2 in
    *-windows-gnu/test_file_write) echo 'owners, modes, FIFOs, sockets and limits of POSIX; test_os.c has the rest' ;;
  esac
}

build_tests() { # TARGET TEST...
  case $1 in *-windows-gnu) more='-Itests/windows -include tests/windows/posix.h' exe=.exe ;; *) more='' exe='' ;; esac
  dir=$work/$1 target=$(zig_target "$1")
  shift
  mkdir -p "$dir/obj" "$dir/tests"
  flags="-target $target -O1 -g0 -std=gnu11 -fno-math-errno -ffp-contract=off -fno-sanitize=all -w -pthread
    -DNER_NO_BLAS -DUTF8PROC_STATIC -DSQLITE_CORE -Iinclude -Isrc -I$sqlite -I$UTF8PROC"
  export ZIG flags dir more exe
  # shellcheck disable=SC2016
  { ls sqlite-ner.c src/*/*.c "$UTF8PROC/utf8proc.c" "$sqlite/sqlite3.c"; } | xargs -P "$(nproc)" -I{} sh -c '
    o=$dir/obj/$(echo {} | sed "s,.*/src/,,; s,.*/\([^/]*/[^/]*\)$,\1," | tr / -).o
    [ -n "$(find "$o" -newer {} 2>/dev/null)" ] && [ -z "$(find include src -newer "$o" -name "*.h")" ] ||
      $ZIG cc $flags '"$OPTIONS"' -c {} -o "$o"' >"$tmp/log" 2>&1 || { tail -5 "$tmp/log"; return 1; }
  # shellcheck disable=SC2016
  printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} sh -c 'rm -f "$dir/tests/{}$exe"
    $ZIG cc $flags -s $more -Itests/plain -Itests tests/unit/{}.c "$dir"/obj/*.o -o "$dir/tests/{}$exe" -lm' \
    >"$tmp/log" 2>&1 || { tail -5 "$tmp/log"; return 1; }
}

check_c_tests() { # TARGET
  tests=${C_TESTS:-$(ls tests/unit | sed -n 's/\.c$//p')}
  [ "$tests" != none ] || return
  chosen=''
  for t in $tests; do
    why=$(cannot_run "$1" "$t")
    if [ -n "$why" ]; then skip "$1: $t ($why)"; else chosen="$chosen $t"; fi
  done
  # shellcheck disable=SC2086
  build_tests "$1" $chosen || { no "$1: the C tests do not compile"; return; }
  for t in $chosen; do
    # Wine 8 now and then loses its server as a program begins or ends. It says so itself; once more, then.
    for try in first last; do
      # shellcheck disable=SC2086
      TMPDIR=$tmp timeout 600 $run "$dir/tests/$t$exe" >"$tmp/out" 2>&1
      rc=$?
      [ $try = first ] && grep -q '^wine client error' "$tmp/out" || break
    done
    tr -d '\r' <"$tmp/out" >"$dir/tests/$t.out"
    p=$(grep -v '# SKIP' "$dir/tests/$t.out" | grep -c '^ok') f=$(grep -c '^not ok' "$dir/tests/$t.out")
    s=$(grep -c '^ok.*# SKIP' "$dir/tests/$t.out")
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    grep '^ok.*# SKIP' "$dir/tests/$t.out" | sed "s/^ok [0-9]* - \(.*\) # SKIP */skipped: $1: $t: \1: /"
    if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then no "$1: $t exited with $rc"; tail -n 5 "$dir/tests/$t.out"; fi
    if [ "$f" -gt 0 ]; then echo "FAILED: $1: $t"; grep -B 3 '^not ok' "$dir/tests/$t.out"; fi
  done
}

# ---- all of it ----

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(cd dist 2>/dev/null && ls -d *-linux-*/ *-macos/ *-windows-*/ 2>/dev/null | tr -d /)
[ $# -gt 0 ] || { echo "there is nothing in dist/; run packages/build.sh"; exit 1; }
fetch_sqlite || { echo "SQLite's shell cannot be fetched (npm pack sqlite3@$SQLITE3_NPM)"; exit 1; }
for platform in "$@"; do
  file=$(ls "dist/$platform/ner".so "dist/$platform/ner".dylib "dist/$platform/ner".dll 2>/dev/null)
  [ -n "$file" ] || { skip "$platform: not built (packages/build.sh $platform)"; continue; }
  library=dist/$platform/ner missing=''
  check_surface "$platform" "$file"
  find_runner "$platform" || { skip "$platform: not run: $missing"; continue; }
  build_shell "$platform" || { no "$platform: SQLite's shell does not compile"; continue; }
  # Its server stays: a program that starts just when the server leaves does not run.
  case $platform in *-windows-gnu)
    wineserver -p && trap 'wineserver -k; rm -rf "$tmp"' EXIT
    wine wineboot -i >"$tmp/log" 2>&1 ;;
  esac
  check_scripts "$platform"
  check_determinism "$platform"
  check_c_tests "$platform"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
