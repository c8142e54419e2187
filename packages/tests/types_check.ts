// Checked by tsc, never run: the types of sqlite-ner-ext as its users see them.
import { DatabaseSync } from 'node:sqlite';
import Database from 'better-sqlite3';
import { getLoadablePath, load, type Loadable } from 'sqlite-ner-ext';

const path: string = getLoadablePath();
load(new Database(':memory:'));
load(new DatabaseSync(':memory:', { allowExtension: true }), { safe: true });
const other: Loadable = { loadExtension: (file: string) => file };
load(other);
// @ts-expect-error a connection is needed
load(path);
// @ts-expect-error there is no such option
load(other, { sage: true });
