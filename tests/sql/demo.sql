-- make demo runs through, to its end
.output /dev/null
.read sql/demo.sql
.output stdout
.mode list
SELECT count(*) > 3 FROM texts, ner(texts.body);
