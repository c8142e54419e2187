-- seqeval.sql - precision, recall and F1 of labelled words, as seqeval's default mode counts them.
--
-- Reads TEMP TABLE eval_both(pos, sentence, gold, predicted): a row a word, pos rising through the
-- whole text. evaluate.sql makes it from a file and a model; any other two labellings will do.

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
