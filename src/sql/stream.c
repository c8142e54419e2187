/* sql/stream.c - any number of rows, labelled batch by batch; see sql/stream.h. */
#include "sql/stream.h"

/* Some twenty sentences. */
#define STREAM_FIRST_BYTES (2 * 1024)

void ner_sql_stream_begin(struct ner_sql_stream *s, sqlite3 *db, struct ner_model *model,
                          const struct ner_options *options,
                          const struct ner_sql_pushdown *pushdown, ner_sql_feed *feed, void *arg) {
  *s = (struct ner_sql_stream){.model = model,
                               .options = *options,
                               .pushdown = pushdown,
                               .feed = feed,
                               .arg = arg,
                               .max_bytes = STREAM_FIRST_BYTES};
  ner_sql_cancel_open(&s->cancel, db);
  s->ended = !ner_sql_pushdown_possible(pushdown, model);
}

void ner_sql_stream_end(struct ner_sql_stream *s) {
  ner_sql_prefetch_abandon(s->prefetch);
  ner_sql_cancel_close(&s->cancel);
  for( int i = 0; i < 2; i++ ) ner_sql_batch_free(&s->batch[i]);
  *s = (struct ner_sql_stream){0};
}

static void stream_read(struct ner_sql_stream *s, struct ner_sql_batch *batch) {
  if( !s->ended )
    (void)ner_sql_batch_read(batch, s->max_bytes, s->feed, s->arg, &s->ended, &s->later);
}

static int stream_label(struct ner_sql_stream *s, struct ner_sql_batch *batch, double *seconds,
                        struct ner_err *err) {
  double start = ner_sql_seconds();
  int rc = ner_sql_batch_label(batch, s->model, &s->options, &s->cancel.base, err);
  *seconds = ner_sql_seconds() - start;
  return rc;
}

/* Will rows be asked for beyond this batch's? With a LIMIT perhaps not, and then nothing should be
** done for them; a text gives about one. */
static bool stream_wants_more(const struct ner_sql_stream *s, const struct ner_sql_batch *batch) {
  sqlite3_int64 limit = s->pushdown->limit;
  return limit < 0 || limit - s->n_given > (sqlite3_int64)batch->n_rows;
}

/* All of one batch is out: the other takes its place. The first is labelled here, so that a
** query that wants no more than that has not begun with another. */
static int stream_turn(struct ner_sql_stream *s, struct ner_err *err) {
  struct ner_sql_batch *after = &s->batch[s->out], *now = &s->batch[!s->out];
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
  s->out = !s->out;
  s->at_row = s->at_entity = 0;
  return NER_OK;
}

/* The next result in the batch that is handed out; false: there is none. */
static bool stream_find_next(struct ner_sql_stream *s) {
  const struct ner_sql_batch *batch = &s->batch[s->out];
  for( ; s->at_row < batch->n_rows; s->at_row++, s->row_number++, s->at_entity = 0 ) {
    const struct ner_entities *found = ner_sql_batch_found(batch, s->at_row);
    bool failed = ner_sql_batch_error(batch, s->at_row) != NULL;
    size_t n_results = failed ? 1 : found->n;
    s->row = &batch->row[s->at_row];
    while( s->at_entity < n_results ) {
      s->row_result = (sqlite3_int64)s->at_entity;
      s->result = s->n_before + s->row_result;
      s->entity = failed ? NULL : &found->entity[s->at_entity];
      s->error = ner_sql_batch_error(batch, s->at_row);
      s->at_entity++;
      if( failed || ner_sql_pushdown_matches(s->pushdown, s->entity) ) return true;
    }
    s->n_before += (sqlite3_int64)n_results;
  }
  return false;
}

int ner_sql_stream_next(struct ner_sql_stream *s, struct ner_err *err) {
  int rc = NER_OK;
  while( rc == NER_OK ) {
    if( stream_find_next(s) ) {
      s->n_given++;
      return NER_OK;
    }
    s->row = NULL;
    rc = stream_turn(s, err);
    if( rc == NER_OK && s->batch[s->out].n_rows == 0 ) {
      if( s->later.code != NER_OK ) *err = s->later;
      return s->later.code;
    }
  }
  return rc;
}
