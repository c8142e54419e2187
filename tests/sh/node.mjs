// node.mjs - the library under Node; see node.sh. Node's own SQLite, or better-sqlite3 where asked
// for.
//
//     node tests/sh/node.mjs build/ner [better-sqlite3]
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

const [library, module] = isMainThread ? process.argv.slice(2) : workerData;

async function opener() {
  if (module) {
    const { default: Database } = await import(module);
    return () => new Database(':memory:').loadExtension(library);
  }
  const { DatabaseSync } = await import('node:sqlite');
  return () => {
    const db = new DatabaseSync(':memory:', { allowExtension: true });
    db.loadExtension(library);
    return db;
  };
}

const text = 'Wolfgang lives in Berlin';
// node:sqlite's rows have no prototype.
const plain = (rows) => rows.map((row) => ({ ...row }));
const ner = (db) => plain(db.prepare('SELECT entity, label, start, "end" FROM ner(?)').all(text));
const expected = [
  { entity: 'Wolfgang', label: 'PER', start: 0, end: 8 },
  { entity: 'Berlin', label: 'LOC', start: 18, end: 24 },
];

const open = await opener();

if (isMainThread) {
  const db = open(), other = open();
  assert.deepEqual(ner(db), expected);
  assert.deepEqual(ner(other), expected);
  db.exec('CREATE TABLE docs(body)');
  const insert = db.prepare('INSERT INTO docs VALUES(?)');
  for (let i = 0; i < 200; i++) insert.run(`${text}, at ${i}`);
  const query = db.prepare("SELECT key, entity FROM ner_query('SELECT rowid, body FROM docs')" +
                           " WHERE label = 'PER'");
  assert.equal(query.all().length, 200);
  for (const row of query.iterate()) {
    assert.equal(row.entity, 'Wolfgang');
    if (row.key === 3) break; // while the next batch is being labelled
  }
  assert.equal(plain(db.prepare("SELECT max(done) AS n FROM ner_enrich('docs', 'body')").all())[0].n,
               200);
  assert.equal(plain(db.prepare('SELECT count(*) AS n FROM docs_body_ner').all())[0].n >= 400, true);
  assert.throws(() => db.prepare("SELECT * FROM ner('x', 'nobody')").all(), /ner: .*nobody/);
  assert.deepEqual(ner(db), expected);
  db.close();
  assert.deepEqual(ner(other), expected); // left open when the process ends
  const answers = [1, 2, 3].map(() => new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: [library, module] });
    worker.once('message', resolve);
    worker.once('error', reject);
  }));
  for (const answer of await Promise.all(answers)) assert.deepEqual(answer, expected);
  console.log(`${module ?? 'node:sqlite'} on Node ${process.version}: all is well`);
} else {
  parentPort.postMessage(ner(open()));
}
