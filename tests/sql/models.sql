-- models by name, and the functions about the process
.mode list
-- the bundled model opens itself and is the default
SELECT name, path, is_default, layers > 0, hidden > 0, heads > 0, parameters > 0, bytes > 0,
       architecture IN ('distilbert','bert'), precision IN ('f32','int8'), json_type(labels) FROM ner_models;
SELECT ner_load('mine', 'models/ner-small.safetensors');
SELECT name, path, is_default FROM ner_models ORDER BY name;
SELECT count(*) FROM ner('I live in Berlin .', 'mine') WHERE entity = 'Berlin';
SELECT ner_default('mine');
SELECT name FROM ner_models WHERE is_default;
SELECT ner_json('I live in Berlin .') = ner_json('I live in Berlin .', 'bundled');
SELECT ner_unload('mine');
SELECT ner_default('bundled'), ner_unload('mine');
SELECT ner_json('x', 'mine');
SELECT ner_unload('mine');
SELECT ner_unload('bundled');
SELECT name FROM ner_models;
-- a model may go while a query is using it
SELECT ner_load('mine', 'models/ner-small.safetensors', NULL);
SELECT DISTINCT entity, ner_unload('mine') FROM ner('I live in Berlin .', 'mine') WHERE entity = 'Berlin';
SELECT count(*) FROM ner_models WHERE name = 'mine';

-- what cannot be
SELECT ner_load('a b', 'models/ner-small.safetensors');
SELECT ner_load('', 'models/ner-small.safetensors');
SELECT ner_load(NULL, 'models/ner-small.safetensors');
SELECT ner_load('bundled', 'models/ner-small.safetensors');
SELECT ner_load('a', NULL);
SELECT ner_load('a', '');
SELECT ner_load('a', x'2f');
SELECT ner_load('a', 'models/ner-small.safetensors', 'f64');
SELECT ner_load('a', 'models/ner-small.safetensors', x'00');
SELECT ner_load('a');
SELECT ner_unload(NULL);
SELECT ner_unload('nobody');
SELECT ner_default('nobody');
SELECT ner_default(NULL);
SELECT ner_convert(NULL, 'x', 'int8');
SELECT ner_convert('models', NULL, 'int8');
SELECT ner_convert('models', 'x', 'int4');
SELECT count(*) FROM ner_models WHERE name = 'a';

SELECT ner_threads() >= 1, ner_threads(2), ner_threads(), ner_threads('3'), ner_threads(1);
SELECT ner_threads(0);
SELECT ner_threads(-1);
SELECT ner_threads(NULL);
SELECT ner_threads(1.5);
SELECT ner_threads('many');
SELECT ner_threads(x'31');
SELECT ner_threads(100000);
SELECT ner_threads();
SELECT ner_version() GLOB '[0-9]*.[0-9]*.[0-9]*';
SELECT json_valid(ner_debug()), json_extract(ner_debug(), '$.version') = ner_version(), json_extract(ner_debug(), '$.threads'),
       json_type(ner_debug(), '$.simd'), json_type(ner_debug(), '$.build'), json_extract(ner_debug(), '$.models[0].name');

-- nothing of this in a view, whatever the schema is trusted with
CREATE VIEW bad AS SELECT ner_load('a', 'models/ner-small.safetensors') AS x;
SELECT x FROM bad;
CREATE TABLE log(x);
CREATE TRIGGER bad2 AFTER INSERT ON log BEGIN SELECT ner_default('bundled'); END;
INSERT INTO log VALUES (1);
