#!/bin/sh
# docs.sh - runs the shell sessions that README.md and sql/README.md show and compares the output.
#
# A session is every line of a file that begins with "sqlite> " inside a fenced block, with its
# continuation lines ("   ...> "); all sessions of one file share one database in memory. The lines
# below a statement are its expected output. In them `…` stands for any text, and a line that is
# only `…` for any number of lines. "Error: " stands for what the shell prints before a message.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

for page in README.md sql/README.md; do
  [ -f "$page" ] || continue
  # input: the statements, each after a marker; expected: "N<TAB>line" in the page's order.
  # What a page calls build/ is the build that is tested.
  sed "s#build/\(ner\|docs-\)#$build/\1#g" "$page" | awk -v input="$tmp/input" -v expected="$tmp/expected" '
    BEGIN { printf "" > input; printf "" > expected }
    /^```/ { fenced = !fenced; session = 0; next }
    !fenced { next }
    /^sqlite> / { session = 1; n++; print ".print @@" n > input; print substr($0, 9) > input; next }
    /^ +\.\.\.> / { sub(/^ +\.\.\.> /, ""); print > input; next }
    session { print n "\t" $0 > expected }
  '
  LD_PRELOAD="${PRELOAD:-}" ${SQLITE:-sqlite3} -batch :memory: <"$tmp/input" >"$tmp/raw" 2>&1 || true
  sed -E 's/^(Runtime error|Parse error|Error)( near line [0-9]+)?: (stepping, |in prepare, )?/Error: /; s/ \([0-9]+\)$//' \
    "$tmp/raw" | awk '/^@@[0-9]+$/ { n = substr($0, 3); next } { print n "\t" $0 }' >"$tmp/actual"
  awk -F '\t' -v page="$page" -v file="$tmp/actual" '
    function rest(line) { return substr(line, index(line, "\t") + 1) }
    function pattern(line) {
      gsub(/[][\\.^$*+?(){}|]/, "\\\\&", line)
      gsub(/…/, ".*", line)
      return "^" line "$"
    }
    BEGIN { while( (getline line < file) > 0 ) { split(line, f, "\t"); actual[f[1], ++lines[f[1]]] = rest(line) } }
    { if( $1 > last ) last = $1; wanted[$1, ++count[$1]] = rest($0) }
    END {
      for( n in lines ) if( n + 0 > last + 0 ) last = n
      for( n = 1; n <= last; n++ ) {
        at = 1; any = 0; bad = 0
        for( i = 1; i <= count[n] && !bad; i++ ) {
          if( wanted[n, i] == "…" ) { any = 1; continue }
          while( any && at <= lines[n] && actual[n, at] !~ pattern(wanted[n, i]) ) at++
          if( at > lines[n] || actual[n, at] !~ pattern(wanted[n, i]) ) bad = 1
          at++; any = 0
        }
        if( !bad && !any && at <= lines[n] ) bad = 1
        if( bad ) {
          status = 1
          printf "%s: statement %d prints\n", page, n
          for( i = 1; i <= lines[n]; i++ ) print "  " actual[n, i]
          print "where the page shows"
          for( i = 1; i <= count[n]; i++ ) print "  " wanted[n, i]
        }
      }
      exit status
    }' "$tmp/expected" || failed=1
  grep -q '^\.print @@' "$tmp/input" || { echo "$page: shows no session"; failed=1; }
done
exit $failed
