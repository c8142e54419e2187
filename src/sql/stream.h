/*
** stream.h - any number of rows of a connection, and the entities in their texts.
**
** ner_query() and ner(text IN (SELECT ...)) say where the rows come from; the entities come back
** in the order in which the rows were read:
**
**     ner_sql_stream_begin(&stream, db, model, &options, &pushdown, feed, arg);
**     for( rc = ner_sql_stream_next(&stream, &err); rc == NER_OK && stream.row;
**          rc = ner_sql_stream_next(&stream, &err) )
**       ... *stream.row, and *stream.entity or, where that is NULL, stream.error ...
**     ner_sql_stream_end(&stream);
**
** Memory is bounded whatever the number of rows: there are two batches at most (sql/batch.h). While
** the rows of one are handed out the other is labelled in the background (sql/prefetch.h); when they
** are out, the one after is read before that has come to its end.
*/
#ifndef NER_SQL_STREAM_H
#define NER_SQL_STREAM_H

#include "sql/prefetch.h"

#pragma GCC visibility push(hidden)

struct ner_sql_stream {
  const struct ner_sql_row *row;   /* where it stands; NULL: at the end */
  const struct ner_entity *entity; /* of the row; NULL: the row has an error */
  const char *error;               /* the row's; NULL: none */
  sqlite3_int64 row_number;        /* of the row, from 0 on, rows without text not counted */
  sqlite3_int64 row_result; /* of the result among its row's, from 0 on, whatever the pushdown */
  sqlite3_int64 result;     /* of the result among all rows', likewise */

  /* What follows is sql/stream.c's. */
  struct ner_sql_cancel cancel; /* of the whole stream, so that there is one probe */
  struct ner_model *model;      /* borrowed, as is all that follows */
  struct ner_options options;
  const struct ner_sql_pushdown *pushdown; /* of an entity, to be given out */
  ner_sql_feed *feed;
  void *arg;
  struct ner_sql_batch batch[2];
  int out;                           /* which of the two is handed out; the other comes after it */
  size_t at_row, at_entity;          /* what comes next of it */
  sqlite3_int64 n_given;             /* results given out */
  sqlite3_int64 n_before;            /* results of the rows before at_row */
  struct ner_sql_prefetch *prefetch; /* the other is being labelled */
  size_t max_bytes;                  /* of the next batch */
  bool begun;                        /* there has been a batch */
  bool ended;                        /* the feed has no more rows */
  struct ner_err later;              /* it failed; told once the rows before are out */
};

void ner_sql_stream_begin(struct ner_sql_stream *stream, sqlite3 *db, struct ner_model *model,
                          const struct ner_options *options,
                          const struct ner_sql_pushdown *pushdown, ner_sql_feed *feed, void *arg);
void ner_sql_stream_end(struct ner_sql_stream *stream); /* does no harm to {0} */
int ner_sql_stream_next(struct ner_sql_stream *stream, struct ner_err *err);

#pragma GCC visibility pop
#endif
