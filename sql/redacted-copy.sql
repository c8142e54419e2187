-- redacted-copy.sql - a copy of a table that can be handed on: people are taken out.
-- ner_redact() fails closed: were a text not to be read, the statement fails and copies nothing.
.read sql/sample.sql

CREATE TABLE docs_public AS
SELECT id, day, ner_redact(body, 'PER') AS body FROM docs;

SELECT id, body FROM docs_public;
