-- sample.sql - a small table to try things on; the recipes in this folder read it.
CREATE TABLE docs(id INTEGER PRIMARY KEY, day TEXT, body TEXT);
INSERT INTO docs(day, body) VALUES
  ('2024-01-09', 'Marie Curie moved from Warsaw to Paris and worked at the Sorbonne.'),
  ('2024-01-21', 'Google opened an office in Berlin, said its chief Sundar Pichai.'),
  ('2024-02-03', 'The German team of Angela Merkel met Emmanuel Macron in Paris.'),
  ('2024-02-17', 'Nothing of note happened on that quiet day.'),
  ('2024-03-02', 'Sundar Pichai told Reuters that Google will grow in Poland.'),
  ('2024-03-30', 'Satya Nadella of Microsoft flew to London to see Keir Starmer.'),
  ('2024-03-31', NULL);
