-- demo.sql - what `make demo` shows: named entities out of a text column, in SQL alone.
--
--     sqlite3 -cmd '.load build/ner' < sql/demo.sql

CREATE TEMP TABLE mails(id INTEGER PRIMARY KEY, sent TEXT, body TEXT);
INSERT INTO mails(sent, body) VALUES
  ('2024-03-04', 'Angela Merkel will meet the board of Deutsche Bank in Frankfurt on Monday.'),
  ('2024-03-05', 'Please book two seats to Paris for Sarah Jones; she works for Reuters in London.'),
  ('2024-03-05', 'No news today.'),
  ('2024-04-11', 'Microsoft opened an office in Warsaw, and Anna Schmidt moves there from Berlin.'),
  ('2024-04-12', 'The German team beat Italy 2-1 in Madrid, said coach Peter Hansen.');

.print
.print "One text:  SELECT entity, label, round(score, 3) AS score, start, end"
.print "           FROM ner('My name is Wolfgang and I live in Berlin');"
.mode box
SELECT entity, label, round(score, 3) AS score, start, end
FROM ner('My name is Wolfgang and I live in Berlin');

.print
.print "A table:   SELECT id, entity, label, round(score, 2) AS score"
.print "           FROM mails, ner(mails.body);"
SELECT id, entity, label, round(score, 2) AS score
FROM mails, ner(mails.body);

.print
.print "Who and where, by month:"
SELECT strftime('%Y-%m', sent) AS month,
       group_concat(CASE label WHEN 'PER' THEN entity END, ', ') AS people,
       group_concat(CASE label WHEN 'LOC' THEN entity END, ', ') AS places
FROM mails, ner(mails.body)
GROUP BY month;

.print
.print "As JSON:   SELECT id, ner_json(body) FROM mails WHERE id = 4;"
.mode list
SELECT id, ner_json(body) FROM mails WHERE id = 4;
.print
