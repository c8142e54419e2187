-- entities-view.sql - the entities of a column as a view: nothing is stored, always up to date.
.read sql/sample.sql

CREATE VIEW doc_entities AS
SELECT docs.id, e.entity, e.label, e.score, e.start, e.end
FROM docs, ner(docs.body) AS e;

-- Who is where? A view is used like a table.
SELECT id, entity, label FROM doc_entities WHERE label IN ('PER', 'LOC') AND id <= 3;

-- Rows that name a person at all. EXISTS stops at the first one.
SELECT id FROM docs WHERE EXISTS (SELECT 1 FROM ner(docs.body) WHERE label = 'PER');
