-- ner_tokens: the model's own view
.mode list
-- idx from 1 on without holes, rowids along with it, spans in order, labels of the model
SELECT min(idx), max(idx) = count(*), min(rowid - idx) = max(rowid - idx), min(start <= end AND end <= length(text)), min(score BETWEEN 0 AND 1),
       min(label IN (SELECT value FROM ner_models m, json_each(m.labels) WHERE is_default))
  FROM ner_tokens('Wolfgang Schäuble wohnt in Offenburg , Baden-Württemberg .');
-- pieces put together give the words, wherever the vocabulary cuts them
SELECT word_idx, group_concat(replace(token, '##', ''), ''), min(start), max(end)
  FROM ner_tokens('We met in Berlin .') GROUP BY word_idx;
-- a piece is shown as the vocabulary has it, what it does not know as in the text
SELECT token, word, start, end, start_byte, end_byte FROM ner_tokens('in 𒀀 .') WHERE start = 3;
SELECT label LIKE '%-LOC' FROM ner_tokens('I live in Berlin .') WHERE word = 'Berlin' OR word LIKE 'B%' LIMIT 1;
SELECT label FROM ner_tokens('I live in Berlin .') WHERE token = '.';
SELECT count(*) FROM ner_tokens('');
SELECT idx FROM ner_tokens('in the .') ORDER BY idx DESC;
EXPLAIN QUERY PLAN SELECT idx FROM ner_tokens('in the .') ORDER BY idx;
EXPLAIN QUERY PLAN SELECT idx FROM ner_tokens('in the .') ORDER BY idx DESC;
SELECT DISTINCT text, model FROM ner_tokens('in', 'bundled');
-- a long text loses nothing
SELECT count(*) = 5 * 250, count(DISTINCT start) = 5 * 250
  FROM ner_tokens((SELECT group_concat('we are in it .', ' ') FROM generate_series(1, 250)));
