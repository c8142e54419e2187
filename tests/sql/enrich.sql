-- ner_enrich as one sees it in the shell (tests/test_enrich*.c have the rest)
.mode list
CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT);
INSERT INTO docs(body) VALUES('Angela Merkel met Peter Hansen in Berlin , Germany .'), ('Nothing here'), (NULL), (x'00');
-- nothing is there yet
SELECT done, total, errors, rows_per_second > 0 AS rate, eta_seconds FROM ner_enrich('docs', 'body');
SELECT docs_rowid, entity, label, start, end FROM docs_body_ner ORDER BY 1, start;
SELECT * FROM docs_body_ner_error;
SELECT key, substr(value, 1, 12) FROM docs_body_ner_state ORDER BY key;
-- up to date
SELECT * FROM ner_enrich('docs', 'body');
-- only what is new
INSERT INTO docs(body) VALUES('London is far from Paris .');
UPDATE docs SET body = 'Reuters said so .' WHERE id = 4;
DELETE FROM docs WHERE id = 1;
SELECT docs_rowid FROM docs_body_ner_queue;
SELECT done, total, errors FROM ner_enrich('docs', 'body');
SELECT docs_rowid, entity, label FROM docs_body_ner ORDER BY 1, start;
-- with another threshold all is due again
SELECT done, total FROM ner_enrich('docs', 'body', NULL, NULL, 1.0);
SELECT count(*) FROM docs_body_ner;
-- both ways of asking go through an index
EXPLAIN QUERY PLAN SELECT * FROM docs_body_ner WHERE docs_rowid = 5;
EXPLAIN QUERY PLAN SELECT docs_rowid FROM docs_body_ner WHERE entity = 'London';
-- what it cannot do
SELECT * FROM ner_enrich('docs');
SELECT * FROM ner_enrich('nothing', 'body');
CREATE TABLE log AS SELECT * FROM ner_enrich('docs', 'body');
-- undone
.read sql/enrich-undo.sql
SELECT group_concat(name) FROM sqlite_schema;
