/*
** stream.h - any number of rows of a connection, and the entities in their texts, one after the
** other.
**
** ner_query() and ner(text IN (SELECT ...)) say where the rows come from; the entities come in the
** order in which the rows were read:
**
**     ner_sql_stream_begin(&stream, db, model, &options, &pushdown, n_keys, feed, arg);
**     for( rc = ner_sql_stream_next(&stream, &err); rc == NER_OK && stream.row;
**          rc = ner_sql_stream_next(&stream, &err) )
**       ... *stream.row, stream.key, and *stream.entity or, where that is NULL, stream.error ...
**     ner_sql_stream_end(&stream);
**
** ner_enrich() writes a batch's results in one transaction and takes them batch by batch:
**
**     ner_sql_stream_begin(&stream, db, model, &options, &pushdown, n_keys, feed, arg);
**     ner_sql_stream_by_batch(&stream, max_bytes, pause);
**     for( rc = ner_sql_stream_next_batch(&stream, &batch, &err); rc == NER_OK && batch->n_rows > 0;
**          rc = ner_sql_stream_next_batch(&stream, &batch, &err) )
**       ... the rows of *batch, those whose text is NULL included ...
**     ner_sql_stream_end(&stream);
**
** Memory is bounded whatever the number of rows: there are two batches at most (sql/batch.h). While
** the rows of one are given out, the other is labelled in the background (sql/prefetch.h); the
** batch after that is read before it is finished.
*/
#ifndef NER_SQL_STREAM_H
#define NER_SQL_STREAM_H

#include "sql/prefetch.h"

#pragma GCC visibility push(hidden)

/* Called with the feed's argument after each batch is read: the feed is not called for a while. */
typedef void ner_sql_pause(void *arg, const struct ner_sql_batch *batch);

struct ner_sql_stream {
  /* The result: an entity or an error. */
  const struct ner_sql_row *row;   /* where it is; NULL: there is no more */
  sqlite3_value *const *key;       /* [n_keys] of the row */
  const struct ner_entity *entity; /* NULL: the row has an error */
  const char *error;               /* NULL: it has none */
  sqlite3_int64 row_number;        /* of the row, from 0 on; rows without text are not counted */
  sqlite3_int64
      row_result;       /* number of the result among its row's, whatever the pushdown, from 0 on */
  sqlite3_int64 result; /* and among those of all rows */

  /* What follows is sql/stream.c's. */
  struct ner_sql_cancel cancel; /* one for all batches, so that there is one probe */
  struct ner_model *model;      /* borrowed, as are pushdown and arg */
  struct ner_options options;
  const struct ner_sql_pushdown *pushdown;
  ner_sql_feed *feed;
  ner_sql_pause *pause; /* NULL: none */
  void *arg;
  struct ner_sql_batch batch[2];
  int current;                       /* the batch that is given out; the other comes after it */
  size_t at_row, at_entity;          /* of it, what comes next */
  sqlite3_int64 n_given;             /* results given out */
  sqlite3_int64 n_before;            /* results of the rows before at_row */
  struct ner_sql_prefetch *prefetch; /* the other batch is being labelled */
  size_t max_bytes;                  /* of the next batch */
  bool begun;                        /* there has been a batch */
  bool ended;                        /* the feed has no more rows */
  struct ner_err feed_err;           /* why it failed: reported after the rows before it */
};

void ner_sql_stream_begin(struct ner_sql_stream *stream, sqlite3 *db, struct ner_model *model,
                          const struct ner_options *options,
                          const struct ner_sql_pushdown *pushdown, int n_keys, ner_sql_feed *feed,
                          void *arg);
void ner_sql_stream_end(struct ner_sql_stream *stream); /* {0} is fine */
int ner_sql_stream_next(struct ner_sql_stream *stream, struct ner_err *err);
/* Before the first ner_sql_stream_next_batch(); the first batch has about max_bytes of text. */
void ner_sql_stream_by_batch(struct ner_sql_stream *stream, size_t max_bytes, ner_sql_pause *pause);
/* The next batch, labelled; without rows at the end. It stays until the next call. */
int ner_sql_stream_next_batch(struct ner_sql_stream *stream, const struct ner_sql_batch **batch,
                              struct ner_err *err);

#pragma GCC visibility pop
#endif
