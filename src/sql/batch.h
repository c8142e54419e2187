/*
** batch.h - some rows of a connection, read and labelled together. Texts that are equal are
** labelled once.
**
**     struct ner_sql_batch batch = {.n_keys = 2};
**     rc = ner_sql_batch_read(&batch, max_bytes, feed, arg, &ended, &err);
**     rc = ner_sql_batch_label(&batch, model, &options, &cancel, &err);
**     for( size_t i = 0; i < batch.n_rows; i++ )
**       ... ner_sql_batch_key(&batch, i, 0), ner_sql_batch_error(&batch, i), ..._found(&batch, i)
**     ner_sql_batch_clear(&batch);    and read again, or
**     ner_sql_batch_free(&batch);
**
** sql/prefetch.h labels a batch in the background; sql/stream.h makes any number of rows of
** batches, one entity after the other.
*/
#ifndef NER_SQL_BATCH_H
#define NER_SQL_BATCH_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

struct ner_sql_row {
  sqlite3_value *text;   /* as read */
  struct ner_slice utf8; /* inside `text` */
  uint32_t output; /* index into batch.output, which equal texts share; or NER_SQL_NO_OUTPUT */
  char *error;     /* why the row has no text to label; NULL: it has one, or NULL is its text */
};
#define NER_SQL_NO_OUTPUT UINT32_MAX

struct ner_sql_batch {
  /* Set by the user, before the first row is read. */
  int n_keys;      /* values that come with each text, such as its row's key */
  bool keep_nulls; /* rows whose text is NULL are rows too; otherwise they are left out */

  struct ner_sql_row *row; /* [n_rows] */
  sqlite3_value **key;     /* [n_rows, n_keys] */
  size_t n_rows, cap_rows, cap_keys;
  struct ner_input *input;   /* [n_texts] different texts */
  struct ner_output *output; /* [n_texts] */
  size_t n_texts, cap_inputs, cap_outputs;
  uint32_t *slot; /* [n_slots] hash of texts → 1 + index into input, 0: free */
  size_t n_slots;
};

/* Gives the next row as fresh copies (sqlite3_value_free): key[n_keys], and *text, which stays
** NULL at the end. On failure the copies already made are the reader's to free. */
typedef int ner_sql_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err);

void ner_sql_batch_clear(struct ner_sql_batch *batch); /* no rows; the arrays' memory stays */
void ner_sql_batch_free(struct ner_sql_batch *batch);  /* leaves {0} */
/* Reads about max_bytes of text into a clear batch; a row counts for NER_SQL_BATCH_ROW_BYTES more.
** A BLOB is an error of its row. *ended: the feed has no more, or has failed; then the rows before
** are there all the same. */
int ner_sql_batch_read(struct ner_sql_batch *batch, size_t max_bytes, ner_sql_feed *feed, void *arg,
                       bool *ended, struct ner_err *err);
/* Calls no function of SQLite, so that it may run on any thread while no other touches the batch.
** After a failure nothing of the batch may be used. */
int ner_sql_batch_label(struct ner_sql_batch *batch, struct ner_model *model,
                        const struct ner_options *options, const struct ner_cancel *cancel,
                        struct ner_err *err);
static inline sqlite3_value *ner_sql_batch_key(const struct ner_sql_batch *batch, size_t i,
                                               int key) {
  return batch->key[i * (size_t)batch->n_keys + (size_t)key];
}
/* Why row i could not be labelled; NULL: it was, or its text is NULL. */
const char *ner_sql_batch_error(const struct ner_sql_batch *batch, size_t i);
/* The entities of row i; none for a row with an error. */
const struct ner_entities *ner_sql_batch_found(const struct ner_sql_batch *batch, size_t i);

/* How much text the next batch takes, after one of max_bytes took so many seconds: as much as takes
** about half a second, within bounds that keep memory small and progress visible. A row counts by
** itself, too, so that many empty texts do not make an endless batch. */
#define NER_SQL_BATCH_MAX_BYTES ((size_t)512 * 1024)
#define NER_SQL_BATCH_ROW_BYTES 32
size_t ner_sql_batch_resize(size_t max_bytes, double seconds);

#pragma GCC visibility pop
#endif
