-- every kind of value as every argument
.mode list
CREATE TABLE v(id INTEGER PRIMARY KEY, x);
INSERT INTO v(x) VALUES (NULL), (0), (-1), (9223372036854775807), (2.5), (''), (' '), ('12'), (char(9, 10, 13, 0)), ('[1]');

SELECT 'text', id, count(n.entity) FROM v LEFT JOIN ner(x) n GROUP BY id;
SELECT 'json', id, ner_json(x), typeof(ner_json(x)) FROM v;
SELECT 'tokens', count(DISTINCT id) FROM v, ner_tokens(x);
SELECT 'number', group_concat(substr(text, start + 1, end - start), '') FROM ner_tokens(1234.5);
SELECT 'null', count(*) FROM ner(NULL);
SELECT 'null', count(*) FROM ner_tokens(NULL);
SELECT 'null', count(*) FROM ner_words(NULL);
SELECT 'null', ner_json(NULL) IS NULL, ner_json(NULL, NULL) IS NULL;
SELECT 'defaults', count(*) FROM ner('I live in Berlin .', NULL, NULL, NULL) WHERE entity = 'Berlin';

-- no text at all
SELECT * FROM ner;
SELECT * FROM ner_tokens;
SELECT * FROM ner_words;
SELECT * FROM ner WHERE model = 'bundled';
SELECT ner_json();
SELECT * FROM ner(1,2,3,4,5,6,7);

-- BLOBs
SELECT * FROM ner(x'00');
SELECT * FROM ner(zeroblob(0));
SELECT * FROM ner_tokens(x'41');
SELECT * FROM ner_words(x'5b5d');
SELECT ner_json(zeroblob(100000));
SELECT * FROM ner('x', x'62');
SELECT * FROM ner('x', NULL, x'62');
SELECT * FROM ner('x', NULL, NULL, x'62');
SELECT count(*) FROM ner(CAST(x'49206c69766520696e204265726c696e202e' AS TEXT)) WHERE entity = 'Berlin';

-- model
SELECT * FROM ner('x', 'nobody');
SELECT * FROM ner('x', '');
SELECT * FROM ner('x', 0.9);
SELECT * FROM ner('x', '/etc/passwd');
SELECT * FROM ner('x', 'bundled' || char(0) || 'x');
SELECT * FROM ner('x', 'Bundled');
SELECT * FROM ner_tokens('x', 'nobody');
SELECT * FROM ner_words('["x"]', 'nobody');
SELECT ner_json('x', 'nobody');
SELECT ner_json('x', 5);

-- aggregation
SELECT * FROM ner('x', NULL, 'none');
SELECT * FROM ner('x', NULL, '');
SELECT * FROM ner('x', NULL, 1);

-- threshold
SELECT * FROM ner('x', NULL, NULL, 'high');
SELECT * FROM ner('x', NULL, NULL, '');
SELECT * FROM ner('x', NULL, NULL, '0.5x');
SELECT * FROM ner('x', NULL, NULL, 90);
SELECT * FROM ner('x', NULL, NULL, -0.1);
SELECT * FROM ner('x', NULL, NULL, 9e999);
SELECT count(*) FROM ner('I live in Berlin .', NULL, NULL, '0.5') WHERE entity = 'Berlin';

-- a bad row does not spoil the statement before or after it
SELECT count(*) FROM ner('I live in Berlin .') WHERE entity = 'Berlin';

-- odd texts
SELECT 'spaces', count(*) FROM ner(printf('%1000000s', ''));
SELECT 'one word', count(*) <= 1 FROM ner(printf('%.*c', 1000000, 'x'));
SELECT 'marks', count(*) FROM ner(char(0x301, 0x301, 0x200d, 0xfe0f));
SELECT 'long', count(*) > 140, min(entity = substr(text, start + 1, end - start))
  FROM ner((SELECT group_concat('I live in Berlin .', ' ') FROM generate_series(1, 150)));
