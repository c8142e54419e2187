#!/bin/sh
# node.sh - the library under Node: with Node's own SQLite (22.13 and newer), and with better-sqlite3
# where `require` finds it. NODE is the node to be asked, NODE_PATH where modules are.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} node=${NODE:-node} tried=0
[ -z "${PRELOAD:-}" ] || { echo "not with a sanitizer"; exit 77; }
command -v "$node" >/dev/null || { echo "no node"; exit 77; }
# Both must open a database, which better-sqlite3 without its compiled part does not, and load
# extensions, which the first versions of node:sqlite do not.
if "$node" -e 'if(!new (require("node:sqlite").DatabaseSync)(":memory:",{allowExtension:true}).loadExtension) throw 1' \
  >/dev/null 2>&1; then
  tried=1
  "$node" --no-warnings tests/sh/node.mjs "$build/ner" || exit 1
fi
better=$("$node" -e 'new (require("better-sqlite3"))(":memory:"); console.log(require.resolve("better-sqlite3"))' 2>/dev/null)
if [ -n "$better" ]; then
  tried=1
  "$node" --no-warnings tests/sh/node.mjs "$build/ner" "$better" || exit 1
fi
[ $tried = 1 ] || { echo "this node has neither node:sqlite with extensions nor better-sqlite3"; exit 77; }
