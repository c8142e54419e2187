-- ner() in all places a table can stand. The sentences are plain ones that any usable model
-- gets right, and scores are only compared, so that the bundled model may change.
.mode list
.separator |

-- the sentence of the manual
SELECT entity, label, score BETWEEN 0 AND 1, start, end FROM ner('My name is Wolfgang and I live in Berlin');

CREATE TABLE docs(id INTEGER PRIMARY KEY, body);
INSERT INTO docs(body) VALUES
  ('They live in Berlin , Germany .'),
  ('Nothing to see here .'),
  (NULL),
  (''),
  ('London and Paris are cities in Europe .'),
  ('   '),
  (1234);

-- verbatim slices, spans in order and inside the text, bytes as well
SELECT 'slices', min(entity = substr(body, start + 1, end - start)), min(start < end AND end <= length(body)),
       min(start_byte <= end_byte AND label IN ('PER','ORG','LOC','MISC') AND score BETWEEN 0 AND 1), count(*) > 4
  FROM docs, ner(docs.body);
SELECT 'ordered', count(*) FROM
  (SELECT id, start, lag(end, 1, 0) OVER (PARTITION BY id ORDER BY n.rowid) AS last FROM docs, ner(body) n) WHERE start < last;
SELECT 'two bytes a letter', entity, start, end, start_byte, end_byte FROM ner('Zürich : Ärzte in Berlin .') WHERE entity = 'Berlin';

-- join, comma or not, named or not
SELECT id, entity, label FROM docs JOIN ner(docs.body) WHERE label = 'LOC' ORDER BY id, start;
SELECT id, n.entity FROM docs JOIN ner AS n ON n.text = docs.body WHERE n.label = 'LOC' ORDER BY id, start;
SELECT id, count(n.entity) > 0 FROM docs LEFT JOIN ner(docs.body) n GROUP BY id ORDER BY id;
SELECT count(DISTINCT a.entity) FROM docs, ner(docs.body) a, ner(a.entity) b WHERE b.entity = a.entity AND a.entity = 'Berlin';

-- subqueries, correlated or not
SELECT id, (SELECT group_concat(entity, ',') FROM ner(body) WHERE label = 'LOC') FROM docs WHERE id IN (1, 2, 5) ORDER BY id;
SELECT id FROM docs WHERE EXISTS (SELECT 1 FROM ner(docs.body) WHERE label = 'LOC') ORDER BY id;
SELECT id FROM docs WHERE 'Berlin' IN (SELECT entity FROM ner(docs.body));
SELECT entity FROM ner((SELECT body FROM docs WHERE id = 5)) WHERE label = 'LOC';

-- CTEs
WITH found AS (SELECT id, entity, label FROM docs, ner(body)) SELECT entity FROM found WHERE id = 5 AND label = 'LOC';
WITH RECURSIVE again(n, text) AS (
  VALUES (1, 'I live in Berlin .')
  UNION ALL SELECT n + 1, 'Now I live in ' || (SELECT entity FROM ner(again.text) WHERE label = 'LOC' LIMIT 1) || ' .' FROM again WHERE n < 3)
SELECT * FROM again;

-- views
CREATE VIEW places AS SELECT id, entity, start FROM docs, ner(docs.body) WHERE label = 'LOC';
SELECT * FROM places WHERE id = 1 ORDER BY start;
CREATE VIEW any_text AS SELECT entity, label, text FROM ner;
SELECT entity FROM any_text WHERE text = 'I live in Berlin .';

-- triggers
CREATE TABLE found(id, entity, label, start);
CREATE TRIGGER docs_found AFTER INSERT ON docs BEGIN
  INSERT INTO found SELECT new.id, entity, label, start FROM ner(new.body);
END;
INSERT INTO docs(id, body) VALUES (10, 'He flew from London to Paris .');
SELECT id, entity, label FROM found ORDER BY start;

-- INSERT SELECT, UPDATE, DELETE
CREATE TABLE copy AS SELECT id, n.* FROM docs, ner(docs.body) n;
SELECT name, type FROM pragma_table_info('copy');
SELECT count(*) = (SELECT count(*) FROM docs, ner(docs.body)) FROM copy;
ALTER TABLE docs ADD COLUMN n INTEGER;
UPDATE docs SET n = (SELECT count(*) FROM ner(body) WHERE label = 'LOC');
SELECT id, n FROM docs ORDER BY id;
DELETE FROM docs WHERE id = (SELECT 10 FROM ner('I live in Berlin .') WHERE entity = 'Berlin');
SELECT count(*) FROM docs;

-- what is asked of label and score changes nothing but the work done: with and without the unary +, which hides it
SELECT (SELECT count(*) FROM docs, ner(body) WHERE label = 'LOC')  = (SELECT count(*) FROM docs, ner(body) WHERE +label = 'LOC'),
       (SELECT count(*) FROM docs, ner(body) WHERE label = 'loc')  = 0,
       (SELECT count(*) FROM docs, ner(body) WHERE label = 'loc' COLLATE NOCASE) = (SELECT count(*) FROM docs, ner(body) WHERE label = 'LOC'),
       (SELECT count(*) FROM docs, ner(body) WHERE label = 'NONE') = 0,
       (SELECT count(*) FROM docs, ner(body) WHERE label = NULL)   = 0,
       (SELECT count(*) FROM docs, ner(body) WHERE label = 5)      = 0,
       (SELECT count(*) FROM docs, ner(body) WHERE label = x'4c4f43') = 0;
SELECT (SELECT count(*) FROM docs, ner(body) WHERE label IN ('LOC','PER')) = (SELECT count(*) FROM docs, ner(body) WHERE +label IN ('LOC','PER')),
       (SELECT count(*) FROM docs, ner(body) WHERE label IN (SELECT 'LOC')) = (SELECT count(*) FROM docs, ner(body) WHERE label = 'LOC'),
       (SELECT count(*) FROM docs, ner(body) WHERE label = 'LOC' OR label = 'PER') = (SELECT count(*) FROM docs, ner(body) WHERE +label IN ('LOC','PER')),
       (SELECT count(*) FROM docs, ner(body) WHERE (label, 1) IN (SELECT 'LOC', 1)) = (SELECT count(*) FROM docs, ner(body) WHERE label = 'LOC');
CREATE TEMP TABLE bounds(b);
INSERT INTO bounds VALUES (-1), (0), (0.5), (0.9), (0.99), (1), (2), (9e999), ('0.5'), ('x'), (x'00'), (NULL);
INSERT INTO bounds SELECT score FROM ner('London and Paris are cities in Europe .');
SELECT 'bounds', count(*) FROM bounds WHERE
     (SELECT count(*) FROM ner('London and Paris are cities in Europe .') WHERE score >  b)
  <> (SELECT count(*) FROM ner('London and Paris are cities in Europe .') WHERE max(score, 0) > b)
   AND typeof(b) IN ('integer','real');
SELECT 'bounds', typeof(b), b FROM bounds WHERE
     (SELECT count(*) FROM ner('London and Paris are cities in Europe .') WHERE score >= b)
  <> (SELECT count(*) FROM (SELECT score AS s FROM ner('London and Paris are cities in Europe .') LIMIT -1) WHERE s >= b);
SELECT (SELECT count(*) FROM docs, ner(body) WHERE score > 0.5 AND score >= 0.6 AND label = 'LOC')
     = (SELECT count(*) FROM docs, ner(body) WHERE +score > 0.5 AND +score >= 0.6 AND +label = 'LOC');

-- the threshold drops what is below it, and nothing else
SELECT min((SELECT count(*) FROM docs, ner(body, NULL, NULL, t.value)) = (SELECT count(*) FROM docs, ner(body) WHERE score >= t.value))
  FROM json_each('[0,0.5,0.8,0.9,0.99,1]') t;

-- order and limit
SELECT entity FROM ner('London and Paris are cities in Europe .') ORDER BY start LIMIT 1;
SELECT entity FROM ner('London and Paris are cities in Europe .') ORDER BY start DESC LIMIT 1 OFFSET 1;
SELECT entity FROM ner('London and Paris are cities in Europe .') WHERE label = 'LOC' LIMIT 1 OFFSET 1;
SELECT entity FROM ner('London and Paris are cities in Europe .') ORDER BY entity;
SELECT count(*) FROM (SELECT 1 FROM docs, ner(body) LIMIT 3);
SELECT count(*) FROM (SELECT * FROM ner('I live in Berlin .') LIMIT 0);
SELECT group_concat(entity) FROM (SELECT entity FROM ner WHERE text IN ('in Paris .', 'in London .') ORDER BY text, start);
EXPLAIN QUERY PLAN SELECT entity FROM ner('x') ORDER BY start;
EXPLAIN QUERY PLAN SELECT entity FROM docs, ner(docs.body) WHERE label = 'LOC';

-- one by one
SELECT entity FROM ner WHERE text IN (SELECT body FROM docs WHERE id IN (2, 5)) AND label = 'LOC' ORDER BY entity;
SELECT entity FROM ner WHERE (text = 'in Paris .' OR text = 'in London .') ORDER BY entity;

-- the arguments can be read back
SELECT DISTINCT text, model, aggregation, threshold FROM ner('I live in Berlin .', 'bundled', 'MAX', '0.25') WHERE entity = 'Berlin';
SELECT DISTINCT typeof(text), typeof(model), typeof(aggregation), typeof(threshold) FROM ner('I live in Berlin .') WHERE entity = 'Berlin';

-- every aggregation; NULL is the default
SELECT a.value, (SELECT group_concat(entity || ' ' || label) FROM ner('I live in Berlin .', NULL, a.value))
  FROM json_each('["first","simple","average","max","strict","FIRST",null]') a;
-- NULL has no entities, whatever the model
SELECT count(*) FROM ner(NULL, 'nosuch');
