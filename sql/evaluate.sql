-- evaluate.sql - precision, recall and F1 of a model on a CoNLL file, as seqeval's default mode
-- (and conlleval) counts them.
--
--   make eval FILE=valid.txt [MODEL=name] [LOAD=path]
--   sqlite3 -cmd '.load build/ner' -cmd '.parameter set :file valid.txt' < sql/evaluate.sql
--
-- The file: a word a line, its label in the last column (IOB2), a blank line after a sentence;
-- -DOCSTART- lines are skipped. Each sentence goes through ner_words() as it stands, so no word is
-- cut off. A word that yields no piece (only invisible characters) has no prediction: it counts as
-- O and is reported.

-- One row per line. JSON is the quickest way to split a large text in plain SQL.
CREATE TEMP TABLE eval_line AS
WITH file(text) AS (SELECT replace(replace(CAST(readfile(:file) AS TEXT), char(13), ''), char(9), ' '))
SELECT key AS line, rtrim(value) AS text
FROM file, json_each('["' || replace(replace(replace(text, '\', '\\'), '"', '\"'), char(10), '","') || '"]');

-- The words, each with the number of its sentence and its place in it. A line's label is what
-- stands behind its last blank: rtrim() by all the other characters leaves the part before it.
CREATE TEMP TABLE eval_word AS
WITH numbered AS (
  SELECT line, text, sum(text = '') OVER (ORDER BY line) AS sentence FROM eval_line)
SELECT line AS pos, sentence,
  row_number() OVER (PARTITION BY sentence ORDER BY line) - 1 AS idx,
  substr(text, 1, instr(text || ' ', ' ') - 1) AS word,
  substr(text, length(rtrim(text, replace(text, ' ', ''))) + 1) AS gold
FROM numbered WHERE text <> '' AND text NOT LIKE '-DOCSTART-%';

CREATE TEMP TABLE eval_label AS
WITH sentences AS (
  SELECT sentence, json_group_array(word) AS words
  FROM (SELECT sentence, word FROM eval_word ORDER BY pos) GROUP BY sentence)
SELECT s.sentence, w.idx, w.label, w.score, w.scores
FROM sentences AS s, ner_words(s.words, :model) AS w;
CREATE INDEX temp.eval_label_by_word ON eval_label(sentence, idx);

CREATE TEMP TABLE eval_both AS
SELECT w.pos, w.sentence, w.gold, coalesce(l.label, 'O') AS predicted, l.score IS NULL AS vanished,
  json_extract(l.scores, '$."' || w.gold || '"') AS p_gold
FROM eval_word AS w LEFT JOIN eval_label AS l USING (sentence, idx);

.read sql/seqeval.sql

SELECT printf('%.2f', 100.0 * avg(gold = predicted)) AS accuracy,
  printf('%.4f', avg(CASE WHEN p_gold IS NOT NULL THEN -ln(max(p_gold, 1e-30)) END)) AS loss,
  count(DISTINCT sentence) AS sentences, count(*) AS words, sum(vanished) AS without_prediction
FROM eval_both;
