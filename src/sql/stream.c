/* sql/stream.c - any number of rows, labelled batch by batch; see sql/stream.h. */
#include "sql/stream.h"

#include "base/os.h"

#define STREAM_FIRST_BYTES (2 * 1024) /* some twenty sentences: the first rows come soon */

void ner_sql_stream_begin(struct ner_sql_stream *s, sqlite3 *db, struct ner_model *model,
                          const struct ner_options *options,
                          const struct ner_sql_pushdown *pushdown, int n_keys, ner_sql_feed *feed,
                          void *arg) {
  *s = (struct ner_sql_stream){.model = model,
                               .options = *options,
                               .pushdown = pushdown,
                               .feed = feed,
                               .arg = arg,
                               .batch = {{.n_keys = n_keys}, {.n_keys = n_keys}},
                               .max_bytes = STREAM_FIRST_BYTES};
  ner_sql_cancel_open(&s->cancel, db);
  s->ended = !ner_sql_pushdown_possible(pushdown, model);
}

void ner_sql_stream_by_batch(struct ner_sql_stream *s, size_t max_bytes, ner_sql_pause *pause) {
  s->batch[0].keep_nulls = s->batch[1].keep_nulls = true;
  s->max_bytes = max_bytes;
  s->pause = pause;
}

void ner_sql_stream_end(struct ner_sql_stream *s) {
  ner_sql_prefetch_abandon(s->prefetch);
  ner_sql_cancel_close(&s->cancel);
  for( int i = 0; i < 2; i++ ) ner_sql_batch_free(&s->batch[i]);
  *s = (struct ner_sql_stream){0};
}

static void stream_read(struct ner_sql_stream *s, struct ner_sql_batch *batch) {
  if( s->ended ) return;
  (void)ner_sql_batch_read(batch, s->max_bytes, s->feed, s->arg, &s->ended, &s->feed_err);
  if( s->pause ) s->pause(s->arg, batch);
}

static int stream_label(struct ner_sql_stream *s, struct ner_sql_batch *batch, double *seconds,
                        struct ner_err *err) {
  double start = ner_seconds();
  int rc = ner_sql_batch_label(batch, s->model, &s->options, &s->cancel.base, err);
  *seconds = ner_seconds() - start;
  return rc;
}

/* Will more rows be asked for than those of this batch? With a LIMIT perhaps not, and then nothing
** should be done for them; a text gives about one. */
static bool stream_wants_more(const struct ner_sql_stream *s, const struct ner_sql_batch *batch) {
  sqlite3_int64 limit = s->pushdown->limit;
  return limit < 0 || limit - s->n_given > (sqlite3_int64)batch->n_rows;
}

/* The current batch is given out: the other takes its place. The first one is labelled on this
** thread, so that a query that wants no more than that has begun no other. */
static int stream_turn(struct ner_sql_stream *s, struct ner_err *err) {
  struct ner_sql_batch *after = &s->batch[s->current], *now = &s->batch[!s->current];
  double seconds = 0;
  int rc;
  ner_sql_batch_clear(after);
  if( now->n_rows == 0 ) stream_read(s, now);
  if( !s->prefetch && s->begun && now->n_texts > 0 )
    s->prefetch = ner_sql_prefetch_start(now, s->model, &s->options);
  if( s->prefetch ) {
    if( stream_wants_more(s, now) ) stream_read(s, after);
    rc = ner_sql_prefetch_finish(s->prefetch, &s->cancel.base, &seconds, err);
    s->prefetch = NULL;
  } else {
    rc = stream_label(s, now, &seconds, err);
  }
  if( rc != NER_OK ) return rc;
  s->max_bytes = ner_sql_batch_resize(s->max_bytes, seconds);
  if( after->n_texts > 0 ) s->prefetch = ner_sql_prefetch_start(after, s->model, &s->options);
  s->begun = true;
  s->current = !s->current;
  s->at_row = s->at_entity = 0;
  return NER_OK;
}

/* Finds the next result in the current batch; false: there is none. */
static bool stream_find_next(struct ner_sql_stream *s) {
  const struct ner_sql_batch *batch = &s->batch[s->current];
  for( ; s->at_row < batch->n_rows; s->at_row++, s->row_number++, s->at_entity = 0 ) {
    const struct ner_entities *found = ner_sql_batch_found(batch, s->at_row);
    size_t n_results;
    s->error = ner_sql_batch_error(batch, s->at_row);
    n_results = s->error ? 1 : found->n;
    s->row = &batch->row[s->at_row];
    s->key = batch->n_keys > 0 ? batch->key + s->at_row * (size_t)batch->n_keys : NULL;
    while( s->at_entity < n_results ) {
      s->row_result = (sqlite3_int64)s->at_entity;
      s->result = s->n_before + s->row_result;
      s->entity = s->error ? NULL : &found->entity[s->at_entity];
      s->at_entity++;
      if( s->error || ner_sql_pushdown_matches(s->pushdown, s->entity) ) return true;
    }
    s->n_before += (sqlite3_int64)n_results;
  }
  s->row = NULL;
  return false;
}

int ner_sql_stream_next_batch(struct ner_sql_stream *s, const struct ner_sql_batch **batch,
                              struct ner_err *err) {
  int rc = stream_turn(s, err);
  *batch = &s->batch[s->current];
  if( rc != NER_OK || (*batch)->n_rows > 0 || s->feed_err.code == NER_OK ) return rc;
  *err = s->feed_err;
  return s->feed_err.code;
}

int ner_sql_stream_next(struct ner_sql_stream *s, struct ner_err *err) {
  while( !stream_find_next(s) ) {
    int rc = stream_turn(s, err);
    if( rc != NER_OK ) return rc;
    if( s->batch[s->current].n_rows > 0 ) continue;
    if( s->feed_err.code != NER_OK ) *err = s->feed_err;
    return s->feed_err.code;
  }
  s->n_given++;
  return NER_OK;
}
