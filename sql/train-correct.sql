-- train-correct.sql - correct by hand what a model finds, train on that, and compare before and after.
--
--   sqlite3 -cmd '.load build/ner' < sql/train-correct.sql
--
-- Six texts are far too few to learn from, but show the way. With a table of yours, replace the sample,
-- and correct a few hundred rows.
.read sql/sample.sql

-- 1. What the model says, as a table to correct. Rows without a text are left out.
CREATE TABLE labelled AS
SELECT id, body AS text, ner_json(body) AS entities FROM docs WHERE body IS NOT NULL;

-- 2. Corrections, in any editor of tables, or in SQL: an entity is {"start","end","label"}, counted in
-- characters from 0, as instr() - 1 gives it.
-- Entities that are none are taken away:
UPDATE labelled SET entities = (
  SELECT json_group_array(json(value)) FROM json_each(entities) WHERE value ->> '$.entity' NOT IN ('chief', 'team', 'Nothing'));
-- one that was missed, or has another label, is put there anew:
CREATE TEMP TABLE correction(id, entity, label);
INSERT INTO correction VALUES (1, 'Sorbonne', 'ORG'), (3, 'German', 'MISC'), (5, 'Reuters', 'ORG');
UPDATE labelled SET entities = (
  SELECT json_group_array(json(entity)) FROM (
    SELECT value AS entity FROM json_each(entities)
    WHERE value ->> '$.entity' NOT IN (SELECT entity FROM correction AS c WHERE c.id = labelled.id)
    UNION ALL
    SELECT json_object('start', instr(text, c.entity) - 1, 'end', instr(text, c.entity) - 1 + length(c.entity), 'label', c.label)
    FROM correction AS c WHERE c.id = labelled.id));

-- 3. Training: a row after each epoch, and the file at last. Two rows are kept to compare with.
SELECT epoch, printf('%.2f', f1) AS f1, json_extract(note, '$.written') AS written
FROM ner_train('SELECT text, entities FROM labelled WHERE id NOT IN (2, 5)', 'build/corrected.safetensors',
  '{"epochs":2,"valid":"SELECT text, entities FROM labelled WHERE id IN (2, 5)"}')
WHERE f1 IS NOT NULL;
SELECT ner_load('corrected', 'build/corrected.safetensors');

-- 4. Before and after, entity by entity, on rows that were not trained on. For CoNLL files there is
-- sql/evaluate.sql (make eval).
CREATE TEMP TABLE gold AS
SELECT l.id, value ->> '$.start' AS start, value ->> '$.end' AS "end", value ->> '$.label' AS label
FROM labelled AS l, json_each(l.entities) WHERE l.id IN (2, 5);
.mode column
WITH model(name) AS (VALUES ('bundled'), ('corrected')), found AS (
  SELECT m.name, l.id, e.start, e."end", e.label
  FROM model AS m, labelled AS l, ner(l.text, m.name) AS e WHERE l.id IN (2, 5)
), counted AS (
  SELECT m.name, count(f.name) AS n_found, (SELECT count(*) FROM gold) AS n_gold,
    sum((f.id, f.start, f."end", f.label) IN (SELECT id, start, "end", label FROM gold)) AS n_right
  FROM model AS m LEFT JOIN found AS f USING (name)
  GROUP BY m.name)
SELECT name, n_gold, n_found, n_right FROM counted;
