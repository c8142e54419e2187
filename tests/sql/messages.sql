-- what a user gets who takes one thing for another
.mode list
-- a table as a scalar; the table itself is not touched by that
SELECT ner('I live in Berlin .');
SELECT ner();
SELECT ner_tokens('x', NULL);
SELECT ner_words('[]');
SELECT ner_query('SELECT 1, 2');
SELECT ner_enrich('docs', 'body');
SELECT ner_models();
CREATE VIEW v AS SELECT ner('x') AS x;
SELECT x FROM v;
SELECT entity FROM ner('I live in Berlin .');
SELECT count(*) FROM ner_models;
-- labels: types of entities, or the model's own labels
SELECT ner_redact('I live in Berlin .', 'PERSON');
SELECT ner_redact('I live in Berlin .', 'loc') = ner_redact('I live in Berlin .', 'B-LOC'),
       ner_redact('I live in Berlin .', 'i-loc, PER') = ner_redact('I live in Berlin .', 'LOC'),
       ner_redact('I live in Berlin .', 'B-PER') = 'I live in Berlin .';
-- parameters of ner_query()
SELECT * FROM ner_query('SELECT 1, 2 WHERE 3 = ?');
SELECT * FROM ner_query('SELECT :id, ''Berlin'' WHERE ?2 = @x AND $y LIKE :id');
SELECT count(*) > 0 FROM ner_query(format('SELECT 1, %Q', 'I live in Berlin .'));
