-- ner_train: what it takes, what it says, what it leaves. Numbers that a machine may round are only
-- compared.
CREATE TABLE labelled(text, entities);
INSERT INTO labelled VALUES
 ('We ordered two Falcon Lamps for 120 euros .', '[{"start":15,"end":27,"label":"PRODUCT"},{"start":32,"end":41,"label":"AMOUNT"}]'),
 ('The Marlin Desk costs 300 dollars .', '[{"start":4,"end":15,"label":"PRODUCT"},{"start":22,"end":33,"label":"AMOUNT","score":1}]'),
 ('Please send one Heron Chair to Berlin .', '[{"start":16,"end":27,"label":"PRODUCT"}]'),
 ('Anna paid 45 pounds for the Otter Shelf .', '[{"start":10,"end":19,"label":"AMOUNT"},{"start":28,"end":39,"label":"PRODUCT"}]'),
 ('Nothing was bought in Paris .', '[]');

-- The whole way: rows, the last one, a file that loads and knows the labels.
CREATE TABLE progress AS
  SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/train-test.safetensors',
    '{"epochs":3,"learning_rate":1e-3,"valid":0,"freeze":5,"dropout":0}');
SELECT min(epoch), max(epoch), max(step), max(steps), count(f1), count(precision) FROM progress;
SELECT replace(note, substr(note, instr(note, 'memory'), instr(note, ' MB') - instr(note, 'memory')), 'memory: N')
  FROM progress WHERE rowid = 1;
SELECT epoch, json_extract(note, '$.written'), json_extract(note, '$.precision'), json_extract(note, '$.epoch'),
  json_extract(note, '$.labels'), json_extract(note, '$.types') FROM progress ORDER BY rowid DESC LIMIT 1;
SELECT (SELECT loss FROM progress WHERE epoch = 1 AND loss IS NOT NULL LIMIT 1) >
       (SELECT loss FROM progress WHERE epoch = 3 AND loss IS NOT NULL LIMIT 1);
SELECT ner_load('trained', 'build/train-test.safetensors');
SELECT labels FROM ner_models WHERE name = 'trained';

-- The same again is the same, bit for bit; another seed is not.
SELECT count(*) > 2 FROM ner_train('SELECT text, entities FROM labelled', 'build/train-again.safetensors',
    '{"epochs":3,"learning_rate":1e-3,"valid":0,"freeze":5,"dropout":0}');
SELECT readfile('build/train-test.safetensors') = readfile('build/train-again.safetensors');
SELECT count(*) > 2 FROM ner_train('SELECT text, entities FROM labelled', 'build/train-again.safetensors',
    '{"epochs":3,"learning_rate":1e-3,"valid":0,"freeze":5,"dropout":0,"seed":1}');
SELECT readfile('build/train-test.safetensors') = readfile('build/train-again.safetensors');

-- Words and tags; validation rows of their own; f32; the base's labels kept.
SELECT epoch, f1 IS NOT NULL, json_extract(note, '$.precision'), json_extract(note, '$.labels'),
  json_extract(note, '$.types.PRODUCT.support'), json_extract(note, '$.types.LOC.support')
FROM ner_train('VALUES(''["The","Marlin","Desk","costs","300"]'', ''["O","B-PRODUCT","I-PRODUCT","O","O"]'')',
  'build/train-again.safetensors',
  '{"epochs":1,"labels":"extend","freeze":6,"precision":"f32","valid":"VALUES(''[\"He\",\"bought\",\"Lamps\",\"in\",\"Berlin\"]'', ''[\"O\",\"O\",\"B-PRODUCT\",\"O\",\"O\"]'')"}')
WHERE json_valid(note);
SELECT ner_load('trained', 'build/train-again.safetensors');
SELECT entity, label FROM ner('Angela Merkel lives in Berlin.', 'trained') WHERE label IN ('PER', 'LOC');

-- Data as people have them: each oddity is counted, with the first row it occurred in.
CREATE TABLE odd(text, entities);
INSERT INTO odd VALUES
 (NULL, '[]'), ('text', NULL), ('text', 'no JSON'), ('text', '{"start":0}'), ('text', '[{"start":0,"end":4}]'), ('text', '[1]'),
 ('', '[]'), ('  ', '[]'), (x'00', '[]'),
 ('The Marlin Desk', '[{"start":4,"end":16,"label":"PRODUCT"},{"start":-1,"end":3,"label":"PRODUCT"},{"start":90,"end":95,"label":"PRODUCT"}]'),
 ('A Heron Chair', '[{"start":2,"end":2,"label":"PRODUCT"},{"start":9,"end":4,"label":"PRODUCT"},{"start":1,"end":2,"label":"PRODUCT"}]'),
 ('An Otter Shelf here', '[{"start":4,"end":12,"label":"PRODUCT"}]'),
 ('The Falcon Lamp', '[{"start":4,"end":15,"label":"PRODUCT"},{"start":4,"end":10,"label":"COLOUR"},{"start":8,"end":15,"label":"PRODUCT"}]'),
 ('The Falcon Desk', '[{"start":4,"end":15,"label":"PRODUCT"},{"start":4,"end":15,"label":"AMOUNT"},{"start":4,"end":15,"label":"PRODUCT"}]'),
 ('The Heron Lamp', '[{"start":4,"end":14,"label":"Product"},{"start":0,"end":3,"label":"O"},{"start":0,"end":3,"label":""}]'),
 ('["a","b"]', '["O"]'), ('["Heron","Lamp","x"]', '["I-PRODUCT","L-PRODUCT","o"]'), ('["a",{}]', '["O","O"]'), ('["a"]', '["O",{}]'),
 ('Same text', '[{"start":0,"end":4,"label":"PRODUCT"}]'), ('Same text', '[]'), ('Same text', '[{"start":0,"end":4,"label":"PRODUCT"}]');
SELECT value FROM
  (SELECT note FROM ner_train('SELECT text, entities FROM odd', 'build/train-again.safetensors', '{"epochs":1,"freeze":6,"valid":0}') LIMIT 1),
  json_each('["' || replace(note, '; ', '","') || '"]') WHERE key > 4;

-- A text of many windows; one example; a valid set without entities.
SELECT max(steps) FROM ner_train('SELECT printf(''%.*c'', 1200, ''x'') || replace(printf(''%.*c'', 900, ''y''), ''y'', '' word'') || '' Falcon Lamp'', ''[{"start":5701,"end":5712,"label":"PRODUCT"}]''',
  'build/train-again.safetensors', '{"epochs":1,"freeze":6}');
SELECT epoch, f1, json_extract(note, '$.types') FROM ner_train('SELECT text, entities FROM labelled LIMIT 1', 'build/train-again.safetensors',
  '{"epochs":1,"freeze":6,"valid":"SELECT text, entities FROM labelled WHERE entities = ''[]''"}') WHERE epoch = 1;

-- What cannot be done is said before anything begins.
.bail off
SELECT * FROM ner_train();
SELECT * FROM ner_train('SELECT 1, 2');
SELECT * FROM ner_train('SELECT 1', 'build/t');
SELECT * FROM ner_train('DELETE FROM labelled', 'build/t');
SELECT * FROM ner_train('SELECT 1, 2; SELECT 3', 'build/t');
SELECT * FROM ner_train('SELECT nothing', 'build/t');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"epoch":1}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"epochs":0}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"epochs":1.5}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"learning_rate":"fast"}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"labels":"both"}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"precision":"f16"}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"resume":1}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"valid":1}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"valid":"DROP TABLE labelled"}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '[1]');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', 'epochs');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"base":"unknown"}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"freeze":7}');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/no/such/folder/t');
SELECT * FROM ner_train('SELECT text, ''[]'' FROM labelled', 'build/t');
SELECT * FROM ner_train('SELECT text, entities FROM labelled WHERE 0', 'build/t');
SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t', '{"learning_rate":1,"epochs":200,"freeze":5}') LIMIT 0;
CREATE VIEW hidden AS SELECT * FROM ner_train('SELECT text, entities FROM labelled', 'build/t');
SELECT * FROM hidden;
