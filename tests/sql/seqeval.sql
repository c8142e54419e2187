-- sql/seqeval.sql counts as seqeval's default mode does
CREATE TEMP TABLE eval_both(pos INTEGER PRIMARY KEY, sentence, gold, predicted);
CREATE TEMP TABLE vector(name, labels, entities);
INSERT INTO vector VALUES
  ('plain', 'B-PER I-PER O B-LOC', 'PER 0-1, LOC 3-3'),
  ('no beginning', 'I-PER I-PER O I-PER', 'PER 0-1, PER 3-3'),
  ('beginning inside', 'O I-LOC I-LOC B-LOC I-LOC', 'LOC 1-2, LOC 3-4'),
  ('type changes', 'B-PER I-LOC I-LOC', 'PER 0-0, LOC 1-2'),
  ('side by side', 'B-PER B-PER', 'PER 0-0, PER 1-1'),
  ('begins again', 'I-PER B-PER I-PER', 'PER 0-0, PER 1-2'),
  ('apart', 'B-ORG O I-ORG', 'ORG 0-0, ORG 2-2'),
  ('end and single', 'B-PER I-PER E-PER E-PER S-LOC I-LOC', 'PER 0-2, PER 3-3, LOC 4-4, LOC 5-5'),
  ('two sentences', 'B-PER | I-PER', 'PER 0-0, PER 2-2');
-- Sentences stand apart through their number; the O between them keeps the vector's places.
INSERT INTO eval_both
SELECT v.rowid * 100 + key, v.rowid * 100 + sum(value = '|') OVER (PARTITION BY v.rowid ORDER BY key),
  CASE value WHEN '|' THEN 'O' ELSE value END, 'O'
FROM vector AS v, json_each('["' || replace(v.labels, ' ', '","') || '"]');
.output /dev/null
.read sql/seqeval.sql
.output stdout
.mode list
.headers off
SELECT name, CASE WHEN found = entities THEN 'ok' ELSE found END FROM (
  SELECT v.name, v.entities, (
    SELECT group_concat(type || ' ' || (first % 100) || '-' || (last % 100), ', ')
    FROM (SELECT * FROM eval_entity WHERE side = 'gold' AND first / 100 = v.rowid ORDER BY first)) AS found
  FROM vector AS v);

-- the example of its documentation: MISC .5, PER 1, together .67
DROP TABLE eval_entity;
DROP TABLE eval_count;
DELETE FROM eval_both;
INSERT INTO eval_both(sentence, gold, predicted) VALUES
  (1, 'O', 'O'), (1, 'O', 'O'), (1, 'B-MISC', 'B-MISC'), (1, 'I-MISC', 'I-MISC'), (1, 'B-MISC', 'B-MISC'), (1, 'O', 'I-MISC'), (1, 'O', 'O'),
  (2, 'B-PER', 'B-PER'), (2, 'I-PER', 'I-PER'), (2, 'O', 'O');
.read sql/seqeval.sql
