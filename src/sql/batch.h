/*
** batch.h - some rows of a connection, labelled together. sql/stream.h makes a whole table's
** out of them.
**
** Texts that are equal are labelled once.
*/
#ifndef NER_SQL_BATCH_H
#define NER_SQL_BATCH_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

struct ner_sql_row {
  sqlite3_value *key;    /* as read, NULL where the feed gives none */
  sqlite3_value *text;   /* as read */
  struct ner_slice utf8; /* inside `text` */
  uint32_t output;       /* index into batch.output, when error is NULL; equal texts share one */
  char *error;           /* why the row has no text to label; NULL: it has one */
};

struct ner_sql_batch {
  struct ner_sql_row *row; /* [n_rows] */
  size_t n_rows, cap_rows;
  struct ner_input *input;   /* [n_texts] different texts */
  struct ner_output *output; /* [n_texts] */
  size_t n_texts, cap_inputs, cap_outputs;
  uint32_t *slot; /* [n_slots] hash of texts → 1 + index into input, 0: free */
  size_t n_slots;
};

/* Gives the next row as fresh copies (sqlite3_value_free), *text NULL at the end. */
typedef int ner_sql_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err);

/* Begins as {0}. */
void ner_sql_batch_clear(struct ner_sql_batch *batch); /* keeps the memory of its arrays */
void ner_sql_batch_free(struct ner_sql_batch *batch);  /* leaves {0} */
/* Reads about max_bytes of text into a clear batch. Rows whose text is NULL are passed over. *ended:
** the feed has no more, or has failed: then the rows before are there all the same. */
int ner_sql_batch_read(struct ner_sql_batch *batch, size_t max_bytes, ner_sql_feed *feed, void *arg,
                       bool *ended, struct ner_err *err);
/* Calls nothing of SQLite's, so that it may run on any thread while nobody else touches the batch.
** When it fails, nothing of the batch is to be used. */
int ner_sql_batch_label(struct ner_sql_batch *batch, struct ner_model *model,
                        const struct ner_options *options, const struct ner_cancel *cancel,
                        struct ner_err *err);
/* Why row i could not be labelled; NULL: it was. */
const char *ner_sql_batch_error(const struct ner_sql_batch *batch, size_t i);
/* The entities of row i; none for a row with an error. */
const struct ner_entities *ner_sql_batch_found(const struct ner_sql_batch *batch, size_t i);

/* How much text to take: little at first, so that something is to be seen soon. Then, going by
** the seconds that the last batch took, as much as takes about half a second, within bounds that
** keep memory small and progress visible. A row counts for itself, too: many empty texts must not
** add up. */
#define NER_SQL_BATCH_MAX_BYTES ((size_t)512 * 1024)
#define NER_SQL_BATCH_ROW_BYTES 32
size_t ner_sql_batch_resize(size_t max_bytes, double seconds);

#pragma GCC visibility pop
#endif
