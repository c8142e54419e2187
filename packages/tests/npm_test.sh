#!/bin/sh
# npm_test.sh - installs the npm packages of dist/npm into an empty folder and uses them from Node with
# better-sqlite3 (where NODE_PATH has it, or BETTER_SQLITE3=install to build it) and node:sqlite (where
# this Node, or the one NODE22 names, has it).
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
node=${NODE:-node} node22=${NODE22:-$node}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
cd "$tmp" || exit 1
npm init -y >/dev/null
npm install --no-audit --no-fund --silent "$here"/dist/npm/*.tgz || { echo "npm: 0 passed, 1 failed"; exit 1; }
[ "${BETTER_SQLITE3:-}" != install ] || npm install --no-audit --no-fund --silent better-sqlite3@12

cat >test.mjs <<'EOF'
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { load, getLoadablePath } from 'sqlite-ner-ext';
const require = createRequire(import.meta.url);
const text = 'Angela Merkel lived in Berlin';
const open = process.argv[2] === 'node:sqlite'
  ? (() => { const { DatabaseSync } = require('node:sqlite'); return () => new DatabaseSync(':memory:', { allowExtension: true }); })()
  : (() => { const Database = require('better-sqlite3'); return () => new Database(':memory:'); })();
const check = (name, good) => { if (!good) { console.error('FAILED: ' + name); process.exitCode = 1; } };
const found = (db) => JSON.stringify(db.prepare('SELECT entity, label FROM ner(?)').all(text).map((r) => [r.entity, r.label]));
const expected = '[["Angela Merkel","PER"],["Berlin","LOC"]]';
check('getLoadablePath', existsSync(getLoadablePath()));
check('require', require('sqlite-ner-ext').getLoadablePath() === getLoadablePath());
const full = open();
load(full);
load(full);
check('load', found(full) === expected);
check('ner_models', full.prepare('SELECT name FROM ner_models').all().length >= 1);
const safe = open();
load(safe, { safe: true });
check('safe', found(safe) === expected);
let refused = false;
try { safe.prepare("SELECT ner_load('a', 'b')").all(); } catch (error) { refused = /no such function/.test(error.message); }
check('safe: no ner_load', refused);
try { load({}); check('load({})', false); } catch (error) { check('load({})', /connection/.test(error.message)); }
EOF

try() { # NAME NODE
  if "$2" --no-warnings test.mjs "$1"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
if "$node" -e 'new (require("better-sqlite3"))(":memory:")' 2>/dev/null; then
  # ES modules do not look into NODE_PATH; require() does.
  try better-sqlite3 "$node"
else skipped=$((skipped + 1)); echo "skipped: better-sqlite3"; fi
if "$node22" --no-warnings -e 'new (require("node:sqlite").DatabaseSync)(":memory:",{allowExtension:true}).loadExtension.name' 2>/dev/null; then
  try node:sqlite "$node22"
else skipped=$((skipped + 1)); echo "skipped: node:sqlite"; fi
echo "npm: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
