#!/usr/bin/env node
// Makes the npm packages from dist/TARGET/: sqlite-ner-ext and one for each platform.
//
//     node packages/npm/build.mjs [TARGET ...]        -> dist/npm/*.tgz
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const out = join(root, 'dist', 'npm');
const targets = {
  'x86_64-linux-gnu': { os: 'linux', cpu: 'x64', libc: 'glibc', name: 'linux-x64-gnu', file: 'ner.so' },
  'aarch64-linux-gnu': { os: 'linux', cpu: 'arm64', libc: 'glibc', name: 'linux-arm64-gnu', file: 'ner.so' },
  'x86_64-linux-musl': { os: 'linux', cpu: 'x64', libc: 'musl', name: 'linux-x64-musl', file: 'ner.so' },
  'aarch64-linux-musl': { os: 'linux', cpu: 'arm64', libc: 'musl', name: 'linux-arm64-musl', file: 'ner.so' },
  'x86_64-macos': { os: 'darwin', cpu: 'x64', name: 'darwin-x64', file: 'ner.dylib' },
  'aarch64-macos': { os: 'darwin', cpu: 'arm64', name: 'darwin-arm64', file: 'ner.dylib' },
};
const version = /#define NER_VERSION "([^"]+)"/.exec(readFileSync(join(root, 'include/ner.h'), 'utf8'))[1];
const common = { version, license: 'Apache-2.0', description: 'Named entity recognition inside SQLite' };

function pack(folder, manifest) {
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, null, 2) + '\n');
  const name = execFileSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: folder, encoding: 'utf8' });
  console.log(join('dist', 'npm', name.trim()));
}

function folderOf(name) {
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

const asked = process.argv.slice(2);
for (const target of asked) {
  if (!(target in targets)) {
    console.error(`build.mjs: there is no target '${target}'; there are ${Object.keys(targets).join(', ')}`);
    process.exit(1);
  }
}
const built = (asked.length ? asked : Object.keys(targets)).filter((t) => existsSync(join(root, 'dist', t, targets[t].file)));
if (!built.length) {
  console.error('build.mjs: dist/ has no library; run packages/build.sh first');
  process.exit(1);
}

for (const target of built) {
  const { os, cpu, libc, name, file } = targets[target];
  const folder = folderOf(`sqlite-ner-ext-${name}`);
  for (const f of [file, 'LICENSE', 'LICENSE.utf8proc.md']) copyFileSync(join(root, 'dist', target, f), join(folder, f));
  pack(folder, {
    name: `sqlite-ner-ext-${name}`, ...common, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }),
    files: [file, 'LICENSE.utf8proc.md'],
  });
}

const base = folderOf('sqlite-ner-ext');
for (const f of ['index.cjs', 'index.mjs', 'index.d.ts', 'README.md']) copyFileSync(join(here, f), join(base, f));
copyFileSync(join(root, 'LICENSE'), join(base, 'LICENSE'));
pack(base, {
  name: 'sqlite-ner-ext', ...common, main: './index.cjs', types: './index.d.ts',
  exports: { '.': { types: './index.d.ts', import: './index.mjs', require: './index.cjs' } },
  files: ['index.cjs', 'index.mjs', 'index.d.ts'],
  optionalDependencies: Object.fromEntries(Object.values(targets).map((t) => [`sqlite-ner-ext-${t.name}`, version])),
});
