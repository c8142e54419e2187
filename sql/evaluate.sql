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

-- Labels to entities. A label is a tag (its first character) and a type (behind the first '-').
-- A chunk begins at B and S, at I and E after O, E or S, and wherever the type changes; sentences
-- are apart as if an O stood between them. What follows until the next beginning or O belongs to it.
CREATE TEMP TABLE eval_entity AS
WITH label(side, pos, sentence, label) AS (
  SELECT 'gold', pos, sentence, gold FROM eval_both
  UNION ALL
  SELECT 'predicted', pos, sentence, predicted FROM eval_both),
split AS (
  SELECT side, pos, sentence, substr(label, 1, 1) AS tag,
    CASE WHEN instr(substr(label, 2), '-') > 0
      THEN substr(label, instr(substr(label, 2), '-') + 2) ELSE '_' END AS type
  FROM label),
before AS (
  SELECT *,
    coalesce(lag(tag) OVER (PARTITION BY side, sentence ORDER BY pos), 'O') AS last_tag,
    coalesce(lag(type) OVER (PARTITION BY side, sentence ORDER BY pos), '') AS last_type
  FROM split),
chunk AS (
  SELECT *, sum(tag IN ('B', 'S')
      OR (last_tag IN ('E', 'S', 'O') AND tag IN ('E', 'I'))
      OR (tag NOT IN ('O', '.') AND type <> last_type)) OVER (PARTITION BY side ORDER BY pos) AS number
  FROM before)
SELECT side, type, min(pos) AS first, max(pos) AS last
FROM chunk WHERE tag <> 'O' GROUP BY side, number;

CREATE TEMP TABLE eval_count AS
WITH hit AS (
  SELECT g.type FROM eval_entity AS g JOIN eval_entity AS p USING (type, first, last)
  WHERE g.side = 'gold' AND p.side = 'predicted'),
type AS (SELECT DISTINCT type FROM eval_entity)
SELECT type,
  (SELECT count(*) FROM hit WHERE hit.type = t.type) AS correct,
  (SELECT count(*) FROM eval_entity AS e WHERE side = 'predicted' AND e.type = t.type) AS found,
  (SELECT count(*) FROM eval_entity AS e WHERE side = 'gold' AND e.type = t.type) AS number
FROM type AS t;

.mode column
.headers on
WITH row AS (
  SELECT 0 AS place, type, correct, found, number FROM eval_count
  UNION ALL
  SELECT 1, 'overall', sum(correct), sum(found), sum(number) FROM eval_count)
SELECT type,
  printf('%.2f', 100.0 * coalesce(1.0 * correct / nullif(found, 0), 0)) AS precision,
  printf('%.2f', 100.0 * coalesce(1.0 * correct / nullif(number, 0), 0)) AS recall,
  printf('%.2f', 100.0 * coalesce(2.0 * correct / nullif(found + number, 0), 0)) AS f1,
  number, found, correct
FROM row ORDER BY place, type;

SELECT printf('%.2f', 100.0 * avg(gold = predicted)) AS accuracy,
  printf('%.4f', avg(CASE WHEN p_gold IS NOT NULL THEN -ln(max(p_gold, 1e-30)) END)) AS loss,
  count(DISTINCT sentence) AS sentences, count(*) AS words, sum(vanished) AS without_prediction
FROM eval_both;
