/* sql/batch.c - some rows of a connection, read and labelled together; see sql/batch.h. */
#include "sql/batch.h"

#include <string.h>

void ner_sql_batch_clear(struct ner_sql_batch *batch) {
  for( size_t i = 0; i < batch->n_rows; i++ ) {
    sqlite3_value_free(batch->row[i].text);
    NER_FREE(batch->row[i].error);
  }
  for( size_t i = 0; i < batch->n_rows * (size_t)batch->n_keys; i++ )
    sqlite3_value_free(batch->key[i]);
  for( size_t i = 0; i < batch->n_texts; i++ ) ner_output_free(&batch->output[i]);
  batch->n_rows = batch->n_texts = 0;
  if( batch->slot ) memset(batch->slot, 0, batch->n_slots * sizeof *batch->slot);
}

void ner_sql_batch_free(struct ner_sql_batch *batch) {
  ner_sql_batch_clear(batch);
  NER_FREE(batch->row);
  NER_FREE(batch->key);
  NER_FREE(batch->input);
  NER_FREE(batch->output);
  NER_FREE(batch->slot);
  *batch = (struct ner_sql_batch){0};
}

/* The slot of this text, or the free one where it would go. */
static uint32_t *batch_find_slot(const struct ner_sql_batch *batch, const char *utf8,
                                 size_t n_bytes) {
  size_t mask = batch->n_slots - 1, at = ner_sql_hash(utf8, n_bytes) & mask;
  for( ; batch->slot[at]; at = (at + 1) & mask ) {
    const struct ner_input *known = &batch->input[batch->slot[at] - 1];
    if( known->n_bytes == n_bytes && !memcmp(known->utf8, utf8, n_bytes) ) break;
  }
  return &batch->slot[at];
}

/* Never more than half full; n_slots is a power of two. */
static int batch_make_room(struct ner_sql_batch *batch, struct ner_err *err) {
  size_t n_slots = batch->n_slots ? batch->n_slots * 2 : 64;
  uint32_t *slot;
  if( 2 * (batch->n_texts + 1) <= batch->n_slots ) return NER_OK;
  slot = ner_calloc(n_slots, sizeof *slot);
  if( !slot ) return ner_fail_nomem(err);
  NER_FREE(batch->slot);
  batch->slot = slot;
  batch->n_slots = n_slots;
  for( size_t i = 0; i < batch->n_texts; i++ )
    *batch_find_slot(batch, batch->input[i].utf8, batch->input[i].n_bytes) = (uint32_t)i + 1;
  return NER_OK;
}

/* Enters the row's text among the different ones. */
static int batch_place_text(struct ner_sql_batch *batch, struct ner_sql_row *row,
                            struct ner_err *err) {
  uint32_t *slot;
  int rc = batch_make_room(batch, err);
  if( rc != NER_OK ) return rc;
  slot = batch_find_slot(batch, row->utf8.utf8, row->utf8.n_bytes);
  if( !*slot ) {
    if( ner_grow((void **)&batch->input, &batch->cap_inputs, batch->n_texts + 1,
                 sizeof *batch->input) ||
        ner_grow((void **)&batch->output, &batch->cap_outputs, batch->n_texts + 1,
                 sizeof *batch->output) )
      return ner_fail_nomem(err);
    batch->input[batch->n_texts] =
        (struct ner_input){.utf8 = row->utf8.utf8, .n_bytes = row->utf8.n_bytes};
    batch->output[batch->n_texts] = (struct ner_output){0};
    *slot = (uint32_t)++batch->n_texts;
  }
  row->output = *slot - 1;
  return NER_OK;
}

/* Reads the row's text. A BLOB is that row's error. */
static int batch_read_text(struct ner_sql_batch *batch, struct ner_sql_row *row,
                           struct ner_err *err) {
  struct ner_err why = {0};
  if( ner_sql_text(row->text, "the text", &row->utf8, &why) == NER_OK )
    return batch_place_text(batch, row, err);
  if( why.code != NER_NOMEM ) row->error = ner_strndup(why.msg, strlen(why.msg));
  return row->error ? NER_OK : ner_fail_nomem(err);
}

static int batch_grow(struct ner_sql_batch *batch, struct ner_err *err) {
  size_t n_keys = (size_t)batch->n_keys;
  if( ner_grow((void **)&batch->row, &batch->cap_rows, batch->n_rows + 1, sizeof *batch->row) ||
      ner_grow((void **)&batch->key, &batch->cap_keys, (batch->n_rows + 1) * n_keys,
               sizeof *batch->key) )
    return ner_fail_nomem(err);
  for( size_t i = 0; i < n_keys; i++ ) batch->key[batch->n_rows * n_keys + i] = NULL;
  return NER_OK;
}

/* Reads one row into the place after the last; *is_row: it counts. */
static int batch_read_row(struct ner_sql_batch *batch, ner_sql_feed *feed, void *arg, bool *ended,
                          bool *is_row, struct ner_err *err) {
  struct ner_sql_row row = {.output = NER_SQL_NO_OUTPUT};
  sqlite3_value **key;
  int rc = batch_grow(batch, err);
  *is_row = false;
  *ended = true;
  if( rc != NER_OK ) return rc;
  key = batch->n_keys > 0 ? batch->key + batch->n_rows * (size_t)batch->n_keys : NULL;
  rc = feed(arg, key, &row.text, err);
  *ended = rc != NER_OK || !row.text;
  if( !*ended && sqlite3_value_type(row.text) != SQLITE_NULL ) {
    rc = batch_read_text(batch, &row, err);
    *is_row = rc == NER_OK;
    *ended = !*is_row;
  } else if( !*ended ) {
    *is_row = batch->keep_nulls;
  }
  if( *is_row ) {
    batch->row[batch->n_rows++] = row;
    return NER_OK;
  }
  sqlite3_value_free(row.text);
  for( int i = 0; i < batch->n_keys; i++ ) sqlite3_value_free(key[i]);
  return rc;
}

int ner_sql_batch_read(struct ner_sql_batch *batch, size_t max_bytes, ner_sql_feed *feed, void *arg,
                       bool *ended, struct ner_err *err) {
  size_t n_bytes = 0;
  int rc = NER_OK;
  *ended = false;
  while( n_bytes < max_bytes && !*ended ) {
    bool is_row;
    rc = batch_read_row(batch, feed, arg, ended, &is_row, err);
    if( is_row ) n_bytes += batch->row[batch->n_rows - 1].utf8.n_bytes + NER_SQL_BATCH_ROW_BYTES;
  }
  return rc;
}

int ner_sql_batch_label(struct ner_sql_batch *batch, struct ner_model *model,
                        const struct ner_options *options, const struct ner_cancel *cancel,
                        struct ner_err *err) {
  if( batch->n_texts == 0 ) return NER_OK;
  return ner_pipeline_run(model, batch->input, batch->n_texts, options, false, batch->output,
                          cancel, err);
}

const char *ner_sql_batch_error(const struct ner_sql_batch *batch, size_t i) {
  const struct ner_sql_row *row = &batch->row[i];
  if( row->output == NER_SQL_NO_OUTPUT ) return row->error;
  return batch->output[row->output].error;
}

const struct ner_entities *ner_sql_batch_found(const struct ner_sql_batch *batch, size_t i) {
  static const struct ner_entities none;
  const struct ner_sql_row *row = &batch->row[i];
  return row->output == NER_SQL_NO_OUTPUT ? &none : &batch->output[row->output].found;
}

#define BATCH_S         0.5
#define BATCH_MIN_BYTES 1024

size_t ner_sql_batch_resize(size_t max_bytes, double seconds) {
  double factor = BATCH_S / (seconds > 1e-4 ? seconds : 1e-4), bytes;
  if( factor > 8 ) factor = 8;
  if( factor < 0.25 ) factor = 0.25;
  bytes = (double)max_bytes * factor;
  return bytes > NER_SQL_BATCH_MAX_BYTES ? NER_SQL_BATCH_MAX_BYTES
         : bytes < BATCH_MIN_BYTES       ? BATCH_MIN_BYTES
                                         : (size_t)bytes;
}
