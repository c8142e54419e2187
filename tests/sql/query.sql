-- ner_query() and text IN (...): whole tables, the same answers as one by one
.mode list
CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
INSERT INTO docs(body) VALUES ('They live in Berlin , Germany .'), ('Nothing to see here .'), (NULL), (''),
  ('London and Paris are cities in Europe .'), (1234), ('They live in Berlin , Germany .');
INSERT INTO docs(body) SELECT 'Train ' || value || ' goes from Berlin to Warsaw .' FROM generate_series(1, 100);

CREATE TABLE one AS SELECT docs.id AS key, e.entity, e.label, e.score, e.start, e.end FROM docs, ner(docs.body) AS e;
CREATE TABLE all_at_once AS SELECT key, entity, label, score, start, end FROM ner_query('SELECT id, body FROM docs');
SELECT count(*) > 200 FROM one;
SELECT 'differences', count(*) FROM (SELECT * FROM one EXCEPT SELECT * FROM all_at_once UNION ALL SELECT * FROM (SELECT * FROM all_at_once EXCEPT SELECT * FROM one));
SELECT 'same number', (SELECT count(*) FROM one) = (SELECT count(*) FROM all_at_once);
-- rows come in the order of the query
SELECT 'disorder', count(*) FROM (SELECT key - lag(key) OVER () AS step FROM ner_query('SELECT id, body FROM docs ORDER BY id DESC')) WHERE step > 0;
-- any key, any spelling of SELECT
SELECT DISTINCT typeof(key), key FROM ner_query('/* two */ -- three
  WITH k(k) AS (VALUES (NULL), (1.5), (x''00ff''), (''a'')) SELECT k, ''I live in Berlin .'' FROM k ;  -- end');
SELECT count(*) FROM ner_query('VALUES (1, ''I live in Berlin .'')') WHERE entity = 'Berlin';
-- constraints, model, aggregation, threshold
SELECT 'labels', (SELECT count(*) FROM ner_query('SELECT id, body FROM docs') WHERE label = 'LOC') = (SELECT count(*) FROM one WHERE label = 'LOC');
SELECT 'scores', (SELECT count(*) FROM ner_query('SELECT id, body FROM docs') WHERE score > 0.9) = (SELECT count(*) FROM one WHERE score > 0.9);
SELECT 'threshold', (SELECT count(*) FROM ner_query('SELECT id, body FROM docs', NULL, 'first', 0.9)) = (SELECT count(*) FROM one WHERE score >= 0.9);
SELECT 'simple', (SELECT count(*) FROM ner_query('SELECT id, body FROM docs', 'bundled', 'simple')) = (SELECT count(*) FROM docs, ner(body, NULL, 'simple'));
SELECT count(*) FROM ner_query('SELECT id, body FROM docs') WHERE label = 'NONE';
SELECT key, entity FROM ner_query('SELECT id, body FROM docs') WHERE label = 'LOC' LIMIT 3 OFFSET 1;
-- a row that cannot be labelled is one row with an error; the others go on
SELECT key, entity, label, start, error FROM ner_query('SELECT 1, x''41'' UNION ALL SELECT 2, ''I live in Berlin .''');
SELECT count(*) FROM ner_query('SELECT 1, x''41''') WHERE error IS NULL;
-- a query that fails half way gives what came before
SELECT key, entity FROM ner_query('SELECT id, CASE WHEN id = 6 THEN json(''{'') ELSE body END FROM docs');
SELECT count(*) FROM ner_query('SELECT id, body FROM docs WHERE 0');
-- joined and nested
SELECT d.id, q.entity FROM ner_query('SELECT id, body FROM docs WHERE id < 3') AS q JOIN docs AS d ON d.id = q.key;
SELECT sql, entity FROM ner_query('SELECT 1, ''I live in Berlin .''');

-- what is refused
SELECT * FROM ner_query;
SELECT * FROM ner_query(NULL);
SELECT * FROM ner_query('');
SELECT * FROM ner_query('  -- nothing');
SELECT * FROM ner_query(x'53454c');
SELECT * FROM ner_query('SELECT 1');
SELECT * FROM ner_query('SELECT 1, 2, 3');
SELECT * FROM ner_query('SELECT 1, 2; DELETE FROM docs');
SELECT * FROM ner_query('DELETE FROM docs');
SELECT * FROM ner_query('WITH x(a) AS (SELECT 1) INSERT INTO docs SELECT a, a FROM x RETURNING id, body');
SELECT * FROM ner_query('PRAGMA collation_list');
SELECT * FROM ner_query('EXPLAIN SELECT 1, 2');
SELECT * FROM ner_query('SELECT id, nosuch FROM docs');
SELECT * FROM ner_query('SELECT id, body FROM nosuch');
SELECT * FROM ner_query('SELECT id, ''body');
SELECT * FROM ner_query('SELECT 1, 2', 'nosuch');
SELECT * FROM ner_query('SELECT 1, 2', NULL, 'nosuch');
SELECT * FROM ner_query('SELECT 1, 2', NULL, NULL, 'much');
CREATE VIEW hidden AS SELECT * FROM ner_query('SELECT 1, 2');
SELECT * FROM hidden;
SELECT 'docs', count(*) FROM docs;

-- text IN (...)
SELECT 'in', (SELECT count(*) FROM ner WHERE text IN (SELECT body FROM docs)) =
  (SELECT count(*) FROM (SELECT DISTINCT body FROM docs) AS d, ner(d.body));
SELECT 'in differences', count(*) FROM (
  SELECT text, entity, label, score, start, end FROM ner WHERE text IN (SELECT body FROM docs)
  EXCEPT SELECT d.body, e.entity, e.label, e.score, e.start, e.end FROM docs AS d, ner(d.body) AS e);
SELECT text, entity FROM ner WHERE text IN ('I live in Berlin .', NULL, 'I live in Berlin .', '', 'In Paris .') AND label = 'LOC' ORDER BY start;
SELECT count(*) FROM ner WHERE text IN (SELECT body FROM docs WHERE 0);
SELECT typeof(text) FROM ner WHERE text IN (1234, 'I live in Berlin .') AND entity = 'Berlin';
SELECT entity FROM ner WHERE text IN ('I live in Berlin .', x'00');
SELECT e.entity FROM ner('I live in Berlin .') AS e WHERE e.text IN ('I live in Berlin .', 'other');
SELECT count(*) FROM ner WHERE text IN ('I live in Berlin .', 'In Paris .') AND model IN ('bundled', 'bundled') AND label = 'LOC';
