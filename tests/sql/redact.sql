-- ner_redact and ner_html
.mode list
SELECT ner_redact('I live in Berlin .');
SELECT ner_redact('I live in Berlin .', 'LOC'), ner_redact('I live in Berlin .', 'PER'), ner_redact('I live in Berlin .', ' per , loc ');
SELECT ner_redact('I live in Berlin .', NULL, 'bundled');
SELECT ner_redact('nothing at all'), ner_redact(''), ner_redact(NULL) IS NULL, ner_redact(12.5);
-- nothing of an entity is left, everything else is
SELECT replace(ner_redact('é — 😀 I live in Berlin , ü'), '[LOC]', 'Berlin') = 'é — 😀 I live in Berlin , ü';
SELECT length(ner_redact(replace(hex(zeroblob(300)), '00', 'I live in Berlin . '))) = 300 * length('I live in [LOC] . ');
SELECT hex(ner_redact(CAST(x'496e204265726c696e202cff41' AS TEXT))) LIKE '%2CFF41';
-- fail closed
SELECT ner_redact('I live in Berlin .', 'LOK');
SELECT ner_redact('I live in Berlin .', 'LOC,');
SELECT ner_redact('I live in Berlin .', '');
SELECT ner_redact('I live in Berlin .', 'O');
SELECT ner_redact('I live in Berlin .', 'LOC', 'nosuch');
SELECT ner_redact(x'4265726c696e');
SELECT ner_redact('a', x'00');

SELECT ner_html('<b>&"''</b>');
SELECT ner_html('nothing at all'), ner_html(''), ner_html(NULL) IS NULL, ner_html(7);
SELECT ner_html('a' || char(1, 13, 10, 9, 13, 0x85, 0xe9, 0x1F600, 0xFEFF) || 'z');
SELECT ner_html(CAST(x'31ff32' AS TEXT));
-- one mark for each entity, its text inside
WITH t(x) AS (VALUES ('I live in Berlin , not in Paris .'))
SELECT (length(ner_html(x)) - length(replace(ner_html(x), '<mark class="ner-loc" style="', ''))) / length('<mark class="ner-loc" style="') = (SELECT count(*) FROM ner(x) WHERE label = 'LOC'),
  instr(ner_html(x), '">Berlin<small ') > 0, instr(ner_html(x), '">Paris<small ') > 0 FROM t;
SELECT ner_html(x'00');
SELECT ner_html('a', 'nosuch');
-- usable in views and triggers; the cache never mixes texts up
CREATE TABLE t(x);
INSERT INTO t VALUES ('I live in Berlin .'), ('I live in Paris .'), ('I live in Berlin .');
CREATE VIEW v AS SELECT x, ner_redact(x) AS r, ner_json(x) AS j, EXISTS (SELECT 1 FROM ner(x) WHERE label = 'LOC') AS e FROM t;
SELECT x, r, json_extract(j, '$[0].entity'), e FROM v;
