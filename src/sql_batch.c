/* sql_batch.c - texts read from a feed and labelled together; see sql_batch.h. */
#include "sql_batch.h"

#include <string.h>

/* The first batch is small so that the first rows come soon and a LIMIT costs little; then they
** grow to where the pool's threads are busy for some tens of packed batches each. */
#define FIRST_ROWS 16
#define MAX_ROWS   1024
#define MAX_BYTES  (512 * 1024)

void ner_sql_batch_init(struct ner_sql_batch *batch, sqlite3 *db, struct ner_model *model,
                        const struct ner_options *options) {
  *batch = (struct ner_sql_batch){
      .db = db, .model = model, .options = *options, .max_rows = FIRST_ROWS};
}

static void clear(struct ner_sql_batch *batch) {
  for( size_t i = 0; i < batch->n_rows; i++ ) {
    sqlite3_value_free(batch->row[i].key);
    sqlite3_value_free(batch->row[i].text);
  }
  for( size_t i = 0; i < batch->n_texts; i++ ) ner_output_free(&batch->output[i]);
  batch->n_rows = batch->n_texts = 0;
  if( batch->slot ) memset(batch->slot, 0, batch->n_slots * sizeof *batch->slot);
}

void ner_sql_batch_reset(struct ner_sql_batch *batch) {
  clear(batch);
  NER_FREE(batch->row);
  NER_FREE(batch->input);
  NER_FREE(batch->output);
  NER_FREE(batch->slot);
  ner_sql_batch_init(batch, batch->db, batch->model, &batch->options);
}

/* FNV-1a; the texts are the connection's own, nobody gains by making them collide but itself. */
static uint64_t hash(struct ner_slice text) {
  uint64_t h = 14695981039346656037u;
  for( size_t i = 0; i < text.n_bytes; i++ ) h = (h ^ (unsigned char)text.utf8[i]) * 1099511628211u;
  return h;
}

/* Enters the row's text among the different ones. */
static int place_text(struct ner_sql_batch *batch, struct ner_sql_row *row, struct ner_err *err) {
  size_t mask, at;
  if( !batch->slot ) {
    batch->n_slots = MAX_ROWS * 2; /* a power of two, never more than half full */
    batch->slot = ner_calloc(batch->n_slots, sizeof *batch->slot);
    if( !batch->slot ) return ner_fail_nomem(err);
  }
  mask = batch->n_slots - 1;
  for( at = hash(row->utf8) & mask; batch->slot[at]; at = (at + 1) & mask ) {
    const struct ner_input *known = &batch->input[batch->slot[at] - 1];
    if( known->n_bytes == row->utf8.n_bytes &&
        !memcmp(known->utf8, row->utf8.utf8, known->n_bytes) ) {
      row->output = batch->slot[at] - 1;
      return NER_OK;
    }
  }
  if( ner_grow((void **)&batch->input, &batch->cap_inputs, batch->n_texts + 1,
               sizeof *batch->input) ||
      ner_grow((void **)&batch->output, &batch->cap_outputs, batch->n_texts + 1,
               sizeof *batch->output) )
    return ner_fail_nomem(err);
  batch->input[batch->n_texts] =
      (struct ner_input){.utf8 = row->utf8.utf8, .n_bytes = row->utf8.n_bytes};
  batch->output[batch->n_texts] = (struct ner_output){0};
  row->output = (uint32_t)batch->n_texts;
  batch->slot[at] = (uint32_t)++batch->n_texts;
  return NER_OK;
}

/* Takes over key and text. A text that is a BLOB is that row's error. */
static int add_row(struct ner_sql_batch *batch, sqlite3_value *key, sqlite3_value *text,
                   struct ner_err *err) {
  struct ner_sql_row *row;
  if( ner_grow((void **)&batch->row, &batch->cap_rows, batch->n_rows + 1, sizeof *batch->row) ) {
    sqlite3_value_free(key);
    sqlite3_value_free(text);
    return ner_fail_nomem(err);
  }
  row = &batch->row[batch->n_rows++];
  *row = (struct ner_sql_row){.key = key, .text = text};
  if( ner_sql_text(text, "the text", &row->utf8, &row->err) != NER_OK )
    return row->err.code == NER_NOMEM ? ner_fail_nomem(err) : NER_OK;
  return place_text(batch, row, err);
}

static int label(struct ner_sql_batch *batch, struct ner_err *err) {
  struct ner_sql_stop stop;
  int rc;
  if( batch->n_texts == 0 ) return NER_OK;
  ner_sql_stop_open(&stop, batch->db);
  rc = ner_pipeline_run(batch->model, batch->input, batch->n_texts, &batch->options, false,
                        batch->output, &stop.stop, err);
  ner_sql_stop_close(&stop);
  if( rc != NER_OK ) return rc;
  for( size_t i = 0; i < batch->n_rows; i++ ) {
    struct ner_sql_row *row = &batch->row[i];
    if( row->err.code == NER_OK ) row->err = batch->output[row->output].err;
    if( row->err.code == NER_NOMEM ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

int ner_sql_batch_fill(struct ner_sql_batch *batch, ner_sql_feed *feed, void *arg, bool *ended,
                       struct ner_err *err) {
  size_t n_bytes = 0;
  int feed_rc = NER_OK, rc = NER_OK;
  clear(batch);
  *ended = false;
  while( batch->n_rows < batch->max_rows && n_bytes < MAX_BYTES ) {
    sqlite3_value *key = NULL, *text = NULL;
    feed_rc = feed(arg, &key, &text, err);
    if( feed_rc != NER_OK || !text ) {
      *ended = true;
      break;
    }
    if( sqlite3_value_type(text) == SQLITE_NULL ) {
      sqlite3_value_free(key);
      sqlite3_value_free(text);
      continue;
    }
    rc = add_row(batch, key, text, err);
    if( rc != NER_OK ) break;
    n_bytes += batch->row[batch->n_rows - 1].utf8.n_bytes;
  }
  if( batch->max_rows < MAX_ROWS ) batch->max_rows *= 4;
  if( rc == NER_OK ) {
    struct ner_err label_err = {0};
    rc = label(batch, &label_err);
    if( rc != NER_OK && feed_rc == NER_OK ) ner_fail(err, rc, "%s", label_err.msg);
  }
  if( rc != NER_OK ) { /* nothing of this batch is to be used */
    clear(batch);
    *ended = true;
  }
  return feed_rc != NER_OK ? feed_rc : rc;
}

const struct ner_entities *ner_sql_batch_found(const struct ner_sql_batch *batch, size_t i) {
  static const struct ner_entities none;
  const struct ner_sql_row *row = &batch->row[i];
  return row->err.code == NER_OK ? &batch->output[row->output].found : &none;
}
