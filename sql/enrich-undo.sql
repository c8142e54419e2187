-- enrich-undo.sql - removes everything that SELECT * FROM ner_enrich('docs', 'body') has made: the
-- triggers, the entities, the queue. Table docs itself is as it was before.
--
-- As it stands it is for table docs and column body. For others, put their names in place of
-- docs_body, with double quotes in them doubled:
--
--   sed 's/docs_body/papers_abstract/g' sql/enrich-undo.sql | sqlite3 my.db
--
-- It needs neither the extension nor the table, and may be run twice. To keep the entities and
-- remove the rest, leave out the line that is marked. Run it before ALTER TABLE ... DROP COLUMN.

BEGIN;
DROP TRIGGER IF EXISTS "docs_body_ner_insert";
DROP TRIGGER IF EXISTS "docs_body_ner_update";
DROP TRIGGER IF EXISTS "docs_body_ner_delete";
DROP TABLE IF EXISTS "docs_body_ner_queue";
DROP TABLE IF EXISTS "docs_body_ner_error";
DROP TABLE IF EXISTS "docs_body_ner_state";
DROP TABLE IF EXISTS "docs_body_ner_hash";
DROP TABLE IF EXISTS "docs_body_ner_canary";
DROP TABLE IF EXISTS "docs_body_ner"; -- the entities
COMMIT;
