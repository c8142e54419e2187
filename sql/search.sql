-- search.sql - full-text search joined with entities: of the texts that match, who is named?
.read sql/sample.sql

SELECT count(*) || ' steps' AS enriched FROM ner_enrich('docs', 'body');

CREATE VIRTUAL TABLE docs_fts USING fts5(body, content=docs, content_rowid=id);
INSERT INTO docs_fts(docs_fts) VALUES('rebuild');

SELECT e.entity, e.label, count(*) AS texts
FROM docs_fts JOIN docs_body_ner AS e ON e.docs_rowid = docs_fts.rowid
WHERE docs_fts MATCH 'paris OR office' AND e.label <> 'LOC'
GROUP BY 1, 2 ORDER BY texts DESC, 1;

-- And the other way: texts that name an organisation, found by what is around it.
SELECT docs.id, snippet(docs_fts, 0, '>', '<', '…', 5) AS hit
FROM docs_fts JOIN docs ON docs.id = docs_fts.rowid
WHERE docs_fts MATCH 'office OR grow'
  AND docs.id IN (SELECT docs_rowid FROM docs_body_ner WHERE label = 'ORG' AND entity = 'Google')
ORDER BY docs.id;
