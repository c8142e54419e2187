'use strict';
// sqlite-ner-ext: the path of this platform's library, and loading it into a connection.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

/** 'gnu' or 'musl'; '' where there is no such distinction. */
function libc() {
  if (process.platform !== 'linux') return '';
  const header = process.report?.getReport?.().header;
  return header?.glibcVersionRuntime ? 'gnu' : 'musl';
}

function platformPackage() {
  const parts = ['sqlite-ner-ext', process.platform, process.arch, libc()];
  return parts.filter(Boolean).join('-');
}

const suffix = { darwin: 'dylib', win32: 'dll' }[process.platform] ?? 'so';

/** The path of the library. */
function getLoadablePath() {
  const name = platformPackage();
  let path;
  try {
    path = require.resolve(`${name}/ner.${suffix}`);
  } catch {
    path = join(__dirname, '..', name, `ner.${suffix}`);
  }
  if (!existsSync(path)) {
    throw new Error(
      `sqlite-ner-ext: there is no library for ${process.platform} ${process.arch} ${libc()}`.trimEnd() +
        `; install ${name} (npm leaves it out with --no-optional), or build from source`,
    );
  }
  return path;
}

/**
 * Loads the library into a connection of better-sqlite3, node:sqlite or another module with
 * loadExtension(path[, entryPoint]). With { safe: true } only functions that touch no file and run no
 * SQL text are registered.
 */
function load(db, options = {}) {
  if (typeof db?.loadExtension !== 'function') {
    throw new TypeError('sqlite-ner-ext: load() takes a connection that has loadExtension()');
  }
  if (options.safe) db.loadExtension(getLoadablePath(), 'sqlite3_ner_safe_init');
  else db.loadExtension(getLoadablePath());
}

module.exports = { getLoadablePath, load };
