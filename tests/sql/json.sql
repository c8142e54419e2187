-- ner_json: what ner() gives, as one value
.mode list
SELECT json_extract(ner_json('I live in Berlin .'), '$[0].entity', '$[0].label', '$[0].start', '$[0].end');
SELECT (SELECT group_concat(key) FROM json_each(ner_json('I live in Berlin .'), '$[0]'));
SELECT ner_json(''), ner_json('the'), ner_json(NULL) IS NULL, ner_json(12);
-- the same entities as ner(), to the 15 digits that SQLite itself gives a number in JSON
CREATE TABLE t(x);
INSERT INTO t VALUES ('Angela Merkel met Barack Obama in Berlin , Germany .'), ('no one'), ('London " Paris \ Rome'), (42);
WITH one(n) AS (SELECT count(*) FROM t, ner(x)), other(n) AS (SELECT sum(json_array_length(ner_json(x))) FROM t),
  both(n) AS (SELECT count(*) FROM t, json_each(ner_json(x)), ner(x) AS e
    WHERE json_extract(value, '$.start') = e.start AND json_extract(value, '$.end') = e."end"
      AND json_extract(value, '$.entity') = e.entity AND json_extract(value, '$.label') = e.label
      AND abs(json_extract(value, '$.score') - e.score) < 1e-14)
SELECT one.n = other.n AND one.n = both.n AND one.n > 3 FROM one, other, both;
-- it is JSON to SQLite, not a string
SELECT json_type(json_object('found', ner_json('I live in Berlin .')), '$.found');
SELECT json_array_length(ner_json('I live in Berlin .', 'bundled')) >= 1;
SELECT min(json_valid(ner_json('in Berlin ' || char(value) || ' London'))) FROM generate_series(1, 200);
SELECT json_valid(ner_json(CAST(x'496e204265726c696eff206f72204c6f6e646f6ec3' AS TEXT)));
