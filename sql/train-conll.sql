-- train-conll.sql - fine-tunes a model on CoNLL files, as the bundled model's first version was.
--
--   make train FILE=train.txt VALID=valid.txt [TARGET=mine.safetensors] [OPTIONS='{"epochs":3}']
--   make eval FILE=valid.txt LOAD=mine.safetensors
--   sqlite3 -cmd '.load build/ner' -cmd '.parameter set :file train.txt' -cmd '.parameter set :valid valid.txt'
--     -cmd '.parameter set :target mine.safetensors' < sql/train-conll.sql
--
-- The files: a word a line, its label in the last column (IOB2), a blank line after a sentence;
-- -DOCSTART- lines are skipped. :options is a JSON object of ner_train()'s options, if it is set; its
-- "valid" is always the second file.
CREATE TEMP TABLE conll_file AS SELECT 'train' AS part, :file AS path UNION ALL SELECT 'valid', :valid;
CREATE TEMP TABLE conll_line AS
WITH file(part, text) AS (
  SELECT part, replace(replace(CAST(readfile(path) AS TEXT), char(13), ''), char(9), ' ') FROM conll_file)
SELECT part, key AS line, rtrim(value) AS text
FROM file, json_each('["' || replace(replace(replace(text, '\', '\\'), '"', '\"'), char(10), '","') || '"]');

-- A row for each sentence: its words and their labels. What stands behind a line's last blank is the
-- label: rtrim() by all the other characters leaves the part before it.
CREATE TEMP TABLE conll AS
WITH numbered AS (
  SELECT part, line, text, sum(text = '') OVER (PARTITION BY part ORDER BY line) AS sentence FROM conll_line)
SELECT part, sentence, json_group_array(word) AS words, json_group_array(label) AS labels
FROM (
  SELECT part, sentence, substr(text, 1, instr(text || ' ', ' ') - 1) AS word,
    substr(text, length(rtrim(text, replace(text, ' ', ''))) + 1) AS label
  FROM numbered WHERE text <> '' AND text NOT LIKE '-DOCSTART-%' ORDER BY part, line)
GROUP BY part, sentence;

.mode list
.headers on
SELECT epoch, step, steps, round(loss, 4) AS loss, round(100 * precision, 2) AS precision,
  round(100 * recall, 2) AS recall, round(100 * f1, 2) AS f1, CAST(tokens_per_second AS INTEGER) AS tokens_s,
  CAST(eta_seconds AS INTEGER) AS eta_s, note
FROM ner_train('SELECT words, labels FROM conll WHERE part = ''train''', :target,
  json_patch(coalesce(:options, '{}'), '{"valid":"SELECT words, labels FROM conll WHERE part = ''valid''"}'))
WHERE f1 IS NOT NULL OR note IS NOT NULL;
