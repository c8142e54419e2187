-- demo.sql - what `make demo` shows: named entities out of a text column, in SQL alone.
--
--     sqlite3 -cmd '.load build/ner' < sql/demo.sql

CREATE TEMP TABLE texts(id INTEGER PRIMARY KEY, source TEXT, sent TEXT, body TEXT);
INSERT INTO texts(source, sent, body) VALUES
  ('mail', '2024-03-04', 'Dear Ms. Lindgren, Tom Becker from Siemens will call you on Monday.'),
  ('mail', '2024-03-05', 'Please book two seats to Paris for Sarah Jones; she works for Reuters in London.'),
  ('mail', '2024-03-05', 'See attached invoice_0921.xlsx, and write to billing@shop.example if anything is missing.'),
  ('tweet', '2024-04-11', 'RT @citynews: Angela Merkel lands in Warsaw tonight #politics https://t.co/x7Qa91'),
  ('wiki', '2024-04-12', 'Marie Curie, born in Warsaw, Poland, won the Nobel Prize in Physics in 1903.'),
  ('news', '2024-04-12', 'The German team beat Italy 2-1 in Madrid, said coach Peter Hansen.');

.print
.print "One text:  SELECT entity, label, round(score, 3) AS score, start, end"
.print "           FROM ner('My name is Wolfgang and I live in Berlin');"
.mode box
SELECT entity, label, round(score, 3) AS score, start, end
FROM ner('My name is Wolfgang and I live in Berlin');

.print
.print "A table:   SELECT id, source, entity, label, round(score, 2) AS score"
.print "           FROM texts, ner(texts.body);"
SELECT id, source, entity, label, round(score, 2) AS score
FROM texts, ner(texts.body);

.print
.print "Who and where, by month:"
SELECT strftime('%Y-%m', sent) AS month,
       group_concat(CASE label WHEN 'PER' THEN entity END, ', ') AS people,
       group_concat(CASE label WHEN 'LOC' THEN entity END, ', ') AS places
FROM texts, ner(texts.body)
GROUP BY month;

.print
.print "As JSON:   SELECT id, ner_json(body) FROM texts WHERE id = 4;"
.mode list
SELECT id, ner_json(body) FROM texts WHERE id = 4;
.print
