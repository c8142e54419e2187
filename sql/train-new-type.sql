-- train-new-type.sql - a type of your own from 100 examples, beside the types that the model knows.
--
--   sqlite3 -cmd '.load build/ner' < sql/train-new-type.sql
--
-- "labels":"extend" keeps PER, ORG, LOC and MISC: words that the examples leave without a label learn
-- what the base says of them, and texts of random words rehearse what it knows.

-- 100 examples: here they are made up of parts; yours come out of a table that somebody labelled.
CREATE TABLE example AS
WITH RECURSIVE
  maker(m, a) AS (VALUES (0, 'Falcon'), (1, 'Marlin'), (2, 'Heron'), (3, 'Otter'), (4, 'Lynx'), (5, 'Raven'), (6, 'Ibex')),
  thing(t, b) AS (VALUES (0, 'Lamp'), (1, 'Desk'), (2, 'Chair'), (3, 'Shelf'), (4, 'Drill'), (5, 'Kettle')),
  frame(f, c, d) AS (VALUES (0, 'Please send two ', 's to Berlin.'), (1, 'The new ', ' arrived in London on Monday.'),
    (2, 'Anna Schmidt asked what the ', ' costs.'), (3, 'We cannot deliver the ', ' before May.'),
    (4, 'Is the ', ' still made by Siemens?'), (5, 'John Miller returned his ', ' yesterday.')),
  n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
SELECT c || a || ' ' || b || d AS text,
  json_array(json_object('start', length(c), 'end', length(c || a || ' ' || b), 'label', 'PRODUCT')) AS entities
FROM n JOIN maker ON m = i % 7 JOIN thing ON t = i % 6 JOIN frame ON f = (i / 7 + i) % 6;

SELECT count(*) AS examples FROM example;

-- A row after each epoch, and a last one.
SELECT epoch, printf('%.2f', f1) AS f1, json_extract(note, '$.types.PRODUCT.f1') AS product
FROM ner_train('SELECT text, entities FROM example', 'build/products.safetensors',
  '{"labels":"extend"}')
WHERE f1 IS NOT NULL;

SELECT ner_load('products', 'build/products.safetensors');
SELECT entity, label FROM ner('Angela Merkel ordered a Bison Kettle for the office in Paris.', 'products');
