-- co-occurrence.sql - which people are named together with which organisations?
-- The model runs once per row: the entities are put aside first.
.read sql/sample.sql

CREATE TEMP TABLE found AS
SELECT key AS id, entity, label FROM ner_query('SELECT id, body FROM docs') WHERE error IS NULL;

SELECT person.entity AS person, organisation.entity AS organisation, count(*) AS texts
FROM found AS person JOIN found AS organisation USING (id)
WHERE person.label = 'PER' AND organisation.label = 'ORG'
GROUP BY 1, 2 ORDER BY texts DESC, 1, 2;
