/*
** sql_batch.h - many texts of one connection, labelled together.
**
** ner_query() and ner(text IN (SELECT ...)) read rows from a feed until a batch is full,
** label it over all threads, and hand its rows out in the order they were read:
**
**     ner_sql_batch_init(&batch, db, model, &options);
**     do {
**       rc = ner_sql_batch_fill(&batch, feed, arg, &ended, &err);
**       for(i < batch.n_rows) ... batch.row[i], ner_sql_batch_found(&batch, i) ...
**     } while( !ended );
**     ner_sql_batch_reset(&batch);
**
** Memory is bounded by the batch whatever the table's size. Equal texts inside a batch are
** labelled once.
*/
#ifndef NER_SQL_BATCH_H
#define NER_SQL_BATCH_H

#include "sql.h"

#pragma GCC visibility push(hidden)

struct ner_sql_row {
  sqlite3_value *key;     /* as read, NULL where the feed gives none */
  sqlite3_value *text;    /* as read */
  struct ner_slice utf8;  /* inside `text` */
  uint32_t output;        /* index into batch.output; equal texts share one */
  struct ner_err err;     /* this row cannot be labelled */
};

struct ner_sql_batch {
  sqlite3 *db;
  struct ner_model *model; /* borrowed */
  struct ner_options options;
  struct ner_sql_row *row; /* [n_rows] */
  size_t n_rows, cap_rows;
  struct ner_input *input;   /* [n_texts] different texts */
  struct ner_output *output; /* [n_texts] */
  size_t n_texts, cap_inputs, cap_outputs;
  uint32_t *slot; /* hash of texts → 1 + index into input, 0: free */
  size_t n_slots;
  size_t max_rows; /* of the next batch: the first is small, so that rows come soon */
};

/* Gives the next row as fresh copies (sqlite3_value_free), *text NULL at the end. */
typedef int ner_sql_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err);

void ner_sql_batch_init(struct ner_sql_batch *batch, sqlite3 *db, struct ner_model *model,
                        const struct ner_options *options);
/* Frees what the last fill made; init is not needed again. */
void ner_sql_batch_reset(struct ner_sql_batch *batch);
/* Replaces the batch by the next one. Rows whose text is NULL are passed over. *ended: the feed has no
** more. When the feed fails, what came before is labelled all the same: the rows are there, *ended is
** set, and the failure is what the function returns. */
int ner_sql_batch_fill(struct ner_sql_batch *batch, ner_sql_feed *feed, void *arg, bool *ended,
                       struct ner_err *err);
/* The entities of row i; none for a row with an error. */
const struct ner_entities *ner_sql_batch_found(const struct ner_sql_batch *batch, size_t i);

#pragma GCC visibility pop
#endif
