-- by-month.sql - how often is who named, month by month?
.read sql/sample.sql

SELECT substr(docs.day, 1, 7) AS month, q.entity, count(*) AS times
FROM ner_query('SELECT id, body FROM docs ORDER BY day') AS q JOIN docs ON docs.id = q.key
WHERE q.label IN ('PER', 'ORG')
GROUP BY 1, 2 ORDER BY 1, times DESC, 2;
