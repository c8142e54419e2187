#!/bin/sh
# clients.sh LIBRARY - compiles and runs the programs of packages/README.md as they stand there, for
# the clients that can be had here: C, Rust, Go, Java; with CLIENTS="C Go" those alone. Prints "clients: N passed, N failed, N skipped".
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
library=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
bare=${library%.*}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
expected='Angela Merkel PER
Berlin LOC'

block() { # LANGUAGE: the page's program
  awk -v fence='```'"$1" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' "$here/README.md"
}
try() { # NAME COMMAND...
  name=$1
  shift
  if out=$("$@" 2>"$tmp/err") && [ "$out" = "$expected" ]; then passed=$((passed + 1))
  else failed=$((failed + 1)); echo "FAILED: $name"; echo "$out"; tail -n 20 "$tmp/err"; fi
}
skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }

run_c() {
  mkdir -p "$tmp/c" && block c >"$tmp/c/main.c"
  ${CC:-cc} -Wall -Werror "$tmp/c/main.c" -o "$tmp/c/main" -lsqlite3 >&2 && "$tmp/c/main" "$bare"
}
run_rust() {
  mkdir -p "$tmp/rust/src" && block rust >"$tmp/rust/src/main.rs"
  printf '[package]\nname = "client"\nversion = "0.1.0"\nedition = "2021"\n' >"$tmp/rust/Cargo.toml"
  cd "$tmp/rust" || return 1
  cargo add --quiet rusqlite@0.43 --features load_extension >&2 && cargo run --quiet -- "$bare"
}
run_go() {
  mkdir -p "$tmp/go" && block go >"$tmp/go/main.go"
  cd "$tmp/go" || return 1
  go mod init client >&2 && go get github.com/mattn/go-sqlite3@v1.14.53 >&2 && go run -tags libsqlite3 . "$bare"
}
run_java() {
  mkdir -p "$tmp/java" && block java >"$tmp/java/Main.java"
  mvn -q dependency:copy -Dartifact=org.xerial:sqlite-jdbc:3.53.0.0 -DoutputDirectory="$tmp/java" >&2 &&
    mvn -q dependency:copy -Dartifact=org.slf4j:slf4j-api:1.7.36 -DoutputDirectory="$tmp/java" >&2 &&
    java -cp "$tmp/java/*" "$tmp/java/Main.java" "$bare"
}

for client in ${CLIENTS:-C Rust Go Java}; do
  case $client in
    C) if [ -f /usr/include/sqlite3.h ]; then try C run_c; else skip C; fi ;;
    Rust) if command -v cargo >/dev/null; then try Rust run_rust; else skip Rust; fi ;;
    Go) if command -v go >/dev/null; then try Go run_go; else skip Go; fi ;;
    Java) if command -v mvn >/dev/null; then try Java run_java; else skip Java; fi ;;
  esac
done
echo "clients: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
