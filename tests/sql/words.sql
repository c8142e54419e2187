-- ner_words: text that is already split
.mode list
SELECT idx, word, label FROM ner_words('["I","live","in","Berlin","."]');
-- scores: every label of the model, adding up to 1, the best of them is `score`
SELECT min(abs((SELECT sum(value) FROM json_each(scores)) - 1) < 1e-4),
       min(abs((SELECT max(value) FROM json_each(scores)) - score) < 1e-12),
       min(json_extract(scores, '$."' || label || '"') = (SELECT max(value) FROM json_each(scores))),
       min((SELECT group_concat(key) FROM json_each(scores)) = (SELECT group_concat(value) FROM ner_models m, json_each(m.labels) WHERE is_default)),
       min(json_type(json_array(json(scores)), '$[0]') = 'object')
  FROM ner_words('["I","live","in","Berlin","."]');
-- one row an element, also where the model sees nothing
SELECT idx, word, label, score IS NULL, scores IS NULL FROM ner_words('["","Berlin"," ","\u200b",12,-1.5,1e3,"a b"]') WHERE idx <> 1;
SELECT count(*) FROM ner_words('[]');
SELECT count(*) FROM ner_words(' [ ] ');
SELECT count(*), count(score) FROM ner_words('["","",""]');
-- a word is a word, however many pieces it has
SELECT count(*), max(idx) FROM ner_words('["Donaudampfschifffahrtsgesellschaft","U.S.","(x)","O''Neill"]');
SELECT word FROM ner_words('["é\n\"\\","\u00e9","\ud83d\ude00"]');
-- the array may come from anywhere
CREATE TABLE conll(sentence, position, word);
INSERT INTO conll VALUES (1,1,'London'),(1,2,'is'),(1,3,'big'),(2,1,'So'),(2,2,'is'),(2,3,'Paris'),(2,4,'.');
SELECT s.sentence, w.idx, w.word, w.label
  FROM (SELECT sentence, json_group_array(word) AS words FROM (SELECT * FROM conll ORDER BY sentence, position) GROUP BY sentence) s,
       ner_words(s.words) w WHERE w.label LIKE '%LOC' ORDER BY 1, 2;
SELECT w.idx, w.word FROM ner_words w WHERE json_array = '["Paris"]';
SELECT DISTINCT json_array, model FROM ner_words('["Paris"]', 'bundled');
-- a very long sentence loses nothing
SELECT count(*), count(score) FROM ner_words((SELECT json_group_array('word') FROM generate_series(1, 1200)));
-- not an array of strings
SELECT * FROM ner_words('["a",null]');
SELECT * FROM ner_words('["a",["b"]]');
SELECT * FROM ner_words('["a","b",{"c":1}]');
SELECT * FROM ner_words('[true]');
SELECT * FROM ner_words('{"a":"b"}');
SELECT * FROM ner_words('"a"');
SELECT * FROM ner_words('Angela Merkel');
SELECT * FROM ner_words('["a"');
SELECT * FROM ner_words('');
SELECT * FROM ner_words(7);
