/*
** pending.c - the pending rows, batch by batch: read, labelled and written.
**
** Rows are read and labelled, which takes nearly all the time, outside any transaction, by the
** reader that ner_query() uses (sql/stream.h): equal texts are labelled once, and while one batch
** is written and its row of the result is looked at, the next is labelled in the background. The
** queue is read in the order of its keys, each batch from behind the last one's keys on, because
** the rows of batches under way are still in it. A pass over the queue that finds nothing is the
** end.
**
** Then, in one short transaction, each row's entry is taken out of the queue, but only if it is
** still the one that was read: another `change` means that the row was changed since, and it stays
** pending. The results that the row had are replaced by the new ones. A kill at any moment leaves
** each row either pending or done.
*/
#include "sql/stream.h"
#include "enrich/enrich.h"

#include <math.h>
#include <string.h>

#define PENDING_FIRST_BYTES (8 * 1024) /* of text in the first batch: the first result comes soon */

struct ner_enrich_batcher {
  const struct ner_enrich_target *target;
  struct ner_enrich_connection *conn;
  struct ner_model *model;
  const struct ner_options *options;
  const char *settings;

  sqlite3_stmt *first, *after; /* rows of the queue with their texts: all, those after some keys */
  sqlite3_stmt *check_settings;
  sqlite3_stmt *take; /* an entry out of the queue */
  sqlite3_stmt *drop_entities, *drop_error;
  sqlite3_stmt *add_entity, *add_error;
  sqlite3_stmt *set_hash, *drop_hash; /* NULL: rowids do not change */
  sqlite3_stmt *request_orphan_scan;  /* NULL: no row can go unseen */

  struct ner_sql_stream stream; /* a pass over the queue */
  bool streaming;
  size_t n_passed; /* rows read in this pass */
  size_t max_bytes;
  sqlite3_stmt *reading; /* first or after, while a batch is read */
  sqlite3_value **last;  /* [n_keys] keys of the last row read, if has_last */
  bool has_last;
};

/* ---- life ---- */

int ner_enrich_batcher_new(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, struct ner_model *model,
                           const struct ner_options *options, const char *settings,
                           struct ner_enrich_batcher **out, struct ner_err *err) {
  struct ner_enrich_batcher *b = ner_calloc(1, sizeof *b);
  int rc = NER_OK;
  *out = b;
  if( !b ) return ner_fail_nomem(err);
  *b = (struct ner_enrich_batcher){.target = target,
                                   .conn = conn,
                                   .model = model,
                                   .options = options,
                                   .settings = settings,
                                   .max_bytes = PENDING_FIRST_BYTES};
  b->last = ner_calloc((size_t)target->n_keys, sizeof *b->last);
  if( !b->last ) return ner_fail_nomem(err);
    /* Of the parameters, the keys come first, then the rest. */
#define PENDING_ROWS                                                                               \
  "SELECT $(q.$o$|, $), q.change, d.$C FROM $S.\"$N_queue\" AS q LEFT JOIN $S.$T AS d"             \
  " ON $(q.$o = d.$k$| AND $)"
#define PENDING_ORDER " ORDER BY $(q.$o$|, $)"
  const struct {
    sqlite3_stmt **statement;
    bool needed;
    const char *sql;
  } statements[] = {
      {&b->first, true, PENDING_ROWS PENDING_ORDER},
      {&b->after, true, PENDING_ROWS " WHERE ($(q.$o$|, $)) > ($(?$i$|, $))" PENDING_ORDER},
      {&b->check_settings, true,
       "SELECT 1 FROM $S.\"$N_state\" WHERE key = 'settings' AND value = ?"},
      {&b->take, true, "DELETE FROM $S.\"$N_queue\" WHERE $($o = ?$i$| AND $) AND change = ?"},
      {&b->drop_entities, true, "DELETE FROM $S.\"$N\" WHERE $($o = ?$i$| AND $)"},
      {&b->drop_error, true, "DELETE FROM $S.\"$N_error\" WHERE $($o = ?$i$| AND $)"},
      {&b->add_entity, true,
       "INSERT INTO $S.\"$N\"($($o$|, $), entity, label, score, start, \"end\")"
       " VALUES($(?$i$|, $), ?, ?, ?, ?, ?)"},
      {&b->add_error, true,
       "INSERT INTO $S.\"$N_error\"($($o$|, $), error) VALUES($(?$i$|, $), ?)"},
      {&b->set_hash, target->rowids_may_change,
       "REPLACE INTO $S.\"$N_hash\"($($o$|, $), hash) VALUES($(?$i$|, $), ?)"},
      {&b->drop_hash, target->rowids_may_change,
       "DELETE FROM $S.\"$N_hash\" WHERE $($o = ?$i$| AND $)"},
      {&b->request_orphan_scan, target->replaceable,
       "REPLACE INTO $S.\"$N_state\"(key, value) VALUES('orphan_scan', random())"},
  };
  for( size_t i = 0; i < sizeof statements / sizeof *statements && rc == NER_OK; i++ ) {
    char *sql;
    if( !statements[i].needed ) continue;
    sql = ner_enrich_sql(target, statements[i].sql);
    rc = ner_enrich_prepare(conn, sql, statements[i].statement, err);
    sqlite3_free(sql);
  }
  return rc;
}

static void pending_free_last(struct ner_enrich_batcher *b) {
  for( int k = 0; k < b->target->n_keys && b->last; k++ ) {
    sqlite3_value_free(b->last[k]);
    b->last[k] = NULL;
  }
  b->has_last = false;
}

static void pending_end_pass(struct ner_enrich_batcher *b) {
  if( b->streaming ) {
    b->max_bytes = b->stream.max_bytes;
    ner_sql_stream_end(&b->stream);
  }
  sqlite3_reset(b->reading);
  b->reading = NULL;
  b->streaming = false;
  b->n_passed = 0;
  pending_free_last(b);
}

void ner_enrich_batcher_free(struct ner_enrich_batcher *b) {
  if( !b ) return;
  pending_end_pass(b);
  sqlite3_finalize(b->first);
  sqlite3_finalize(b->after);
  sqlite3_finalize(b->check_settings);
  sqlite3_finalize(b->take);
  sqlite3_finalize(b->drop_entities);
  sqlite3_finalize(b->drop_error);
  sqlite3_finalize(b->add_entity);
  sqlite3_finalize(b->add_error);
  sqlite3_finalize(b->set_hash);
  sqlite3_finalize(b->drop_hash);
  sqlite3_finalize(b->request_orphan_scan);
  NER_FREE(b->last);
  NER_FREE(b);
}

/* ---- reading ---- */

/* Copies n values; all or none, NULL, on failure. */
static int pending_copy(sqlite3_value **to, int n, sqlite3_value *(*value)(void *from, int i),
                        void *from, struct ner_err *err) {
  int i = 0;
  while( i < n && (to[i] = sqlite3_value_dup(value(from, i))) != NULL ) i++;
  if( i == n ) return NER_OK;
  while( i > 0 ) {
    sqlite3_value_free(to[--i]);
    to[i] = NULL;
  }
  return ner_fail_nomem(err);
}

static sqlite3_value *pending_column(void *statement, int i) {
  return sqlite3_column_value(statement, i);
}
static sqlite3_value *pending_key(void *keys, int i) {
  return ((sqlite3_value **)keys)[i];
}

/* A ner_sql_feed of the queue: keys and change, and the row's text. */
static int pending_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err) {
  struct ner_enrich_batcher *b = arg;
  int n_keys = b->target->n_keys, rc;
  bool row;
  if( !b->reading ) {
    b->reading = b->has_last ? b->after : b->first;
    for( int k = 0; k < n_keys && b->has_last; k++ )
      ner_enrich_bind_value(b->conn, b->after, k + 1, b->last[k]);
  }
  rc = ner_enrich_step(b->conn, b->reading, &row, err);
  if( rc != NER_OK || !row ) return rc;
  rc = pending_copy(key, n_keys + 1, pending_column, b->reading, err);
  if( rc != NER_OK ) return rc;
  *text = sqlite3_value_dup(sqlite3_column_value(b->reading, n_keys + 1));
  if( *text ) return NER_OK;
  for( int k = 0; k <= n_keys; k++ ) {
    sqlite3_value_free(key[k]);
    key[k] = NULL;
  }
  return ner_fail_nomem(err);
}

/* A ner_sql_pause: ends the statement, whose lock must not last, and notes how far it has come.
** Without memory for that the pass begins again, which costs time and no more. */
static void pending_pause(void *arg, const struct ner_sql_batch *batch) {
  struct ner_enrich_batcher *b = arg;
  size_t n_keys = (size_t)b->target->n_keys;
  sqlite3_reset(b->reading);
  b->reading = NULL;
  if( batch->n_rows == 0 ) return;
  pending_free_last(b);
  b->has_last = pending_copy(b->last, (int)n_keys, pending_key,
                             batch->key + (batch->n_rows - 1) * (n_keys + 1), NULL) == NER_OK;
}

/* The next batch of this pass, or of another one if this has found something. */
static int pending_next_batch(struct ner_enrich_batcher *b, const struct ner_sql_batch **batch,
                              struct ner_err *err) {
  static const struct ner_sql_pushdown everything = {
      .min_score = -INFINITY, .above_score = -INFINITY, .limit = -1};
  for( ;; ) {
    bool again;
    int rc;
    if( !b->streaming ) {
      ner_sql_stream_begin(&b->stream, b->conn->host, b->model, b->options, &everything,
                           b->target->n_keys + 1, pending_feed, b);
      ner_sql_stream_by_batch(&b->stream, b->max_bytes, pending_pause);
      b->streaming = true;
    }
    rc = ner_sql_stream_next_batch(&b->stream, batch, err);
    if( rc != NER_OK ) return rc;
    b->n_passed += (*batch)->n_rows;
    again = (*batch)->n_rows == 0 && b->n_passed > 0;
    if( (*batch)->n_rows > 0 ) return NER_OK;
    pending_end_pass(b);
    *batch = NULL;
    if( !again ) return NER_OK;
  }
}

/* ---- writing ---- */

static int pending_run(struct ner_enrich_batcher *b, sqlite3_stmt *statement, struct ner_err *err) {
  bool row;
  return ner_enrich_step(b->conn, statement, &row, err);
}

/* Binds a row's keys; the next parameter's number. */
static int pending_bind_keys(struct ner_enrich_batcher *b, sqlite3_stmt *statement,
                             sqlite3_value *const *key) {
  for( int k = 0; k < b->target->n_keys; k++ )
    ner_enrich_bind_value(b->conn, statement, k + 1, key[k]);
  return b->target->n_keys + 1;
}

static int pending_run_with_keys(struct ner_enrich_batcher *b, sqlite3_stmt *statement,
                                 sqlite3_value *const *key, struct ner_err *err) {
  pending_bind_keys(b, statement, key);
  return pending_run(b, statement, err);
}

static int pending_write_hash(struct ner_enrich_batcher *b, const struct ner_sql_row *row,
                              sqlite3_value *const *key, struct ner_err *err) {
  int type = sqlite3_value_type(row->text), at;
  size_t n_bytes = row->utf8.n_bytes;
  const void *bytes = row->utf8.utf8;
  if( !b->set_hash ) return NER_OK;
  if( type == SQLITE_NULL ) return pending_run_with_keys(b, b->drop_hash, key, err);
  if( type == SQLITE_BLOB ) {
    bytes = sqlite3_value_blob(row->text);
    n_bytes = (size_t)sqlite3_value_bytes(row->text);
  }
  at = pending_bind_keys(b, b->set_hash, key);
  sqlite3_bind_int64(b->set_hash, at, ner_enrich_hash(bytes, n_bytes, type == SQLITE_BLOB));
  return pending_run(b, b->set_hash, err);
}

static int pending_add_error(struct ner_enrich_batcher *b, const char *message,
                             sqlite3_value *const *key, struct ner_err *err) {
  int at = pending_bind_keys(b, b->add_error, key);
  ner_enrich_bind_text(b->conn, b->add_error, at, message, strlen(message));
  return pending_run(b, b->add_error, err);
}

static int pending_add_entities(struct ner_enrich_batcher *b, const struct ner_sql_row *row,
                                const struct ner_entities *found, sqlite3_value *const *key,
                                struct ner_err *err) {
  int at = pending_bind_keys(b, b->add_entity, key), rc = NER_OK;
  for( size_t i = 0; i < found->n && rc == NER_OK; i++ ) {
    const struct ner_entity *e = &found->entity[i];
    ner_enrich_bind_text(b->conn, b->add_entity, at, row->utf8.utf8 + e->start_byte,
                         e->end_byte - e->start_byte);
    ner_enrich_bind_text(b->conn, b->add_entity, at + 1, e->label, strlen(e->label));
    sqlite3_bind_double(b->add_entity, at + 2, e->score);
    sqlite3_bind_int64(b->add_entity, at + 3, e->start);
    sqlite3_bind_int64(b->add_entity, at + 4, e->end);
    rc = pending_run(b, b->add_entity, err);
  }
  return rc;
}

static int pending_write_row(struct ner_enrich_batcher *b, const struct ner_sql_batch *batch,
                             size_t i, struct ner_enrich_counts *counts, struct ner_err *err) {
  const struct ner_entities *found = ner_sql_batch_found(batch, i);
  const char *error = ner_sql_batch_error(batch, i);
  int n_keys = b->target->n_keys, rc;
  sqlite3_value *const *key = batch->key + i * (size_t)(n_keys + 1);
  /* `change` as it is there, number or not: an entry that cannot be taken would be read for ever.
  ** */
  ner_enrich_bind_value(b->conn, b->take, pending_bind_keys(b, b->take, key), key[n_keys]);
  rc = pending_run(b, b->take, err);
  if( rc != NER_OK || sqlite3_changes(b->conn->db) == 0 ) return rc;
  rc = pending_run_with_keys(b, b->drop_entities, key, err);
  if( rc == NER_OK ) rc = pending_run_with_keys(b, b->drop_error, key, err);
  if( rc == NER_OK ) rc = pending_write_hash(b, &batch->row[i], key, err);
  if( rc != NER_OK ) return rc;
  counts->rows++;
  if( error ) {
    counts->errors++;
    return pending_add_error(b, error, key, err);
  }
  counts->entities += (sqlite3_int64)found->n;
  return pending_add_entities(b, &batch->row[i], found, key, err);
}

/* Another connection may be enriching the same column with another model. */
static int pending_check_settings(struct ner_enrich_batcher *b, struct ner_err *err) {
  bool row;
  int rc;
  ner_enrich_bind_text(b->conn, b->check_settings, 1, b->settings, strlen(b->settings));
  rc = ner_enrich_step(b->conn, b->check_settings, &row, err);
  sqlite3_reset(b->check_settings);
  if( rc == NER_OK && !row )
    rc = ner_fail(err, NER_ERROR,
                  "another ner_enrich of '%.150s' has begun with another model, aggregation or"
                  " threshold; this one stops",
                  b->target->table);
  return rc;
}

static int pending_write(struct ner_enrich_batcher *b, const struct ner_sql_batch *batch,
                         bool *kept, struct ner_enrich_counts *counts, struct ner_err *err) {
  int rc = ner_enrich_begin(b->conn, true, err);
  if( rc == NER_OK ) rc = pending_check_settings(b, err);
  if( rc == NER_OK ) rc = ner_enrich_rowids_kept(b->target, b->conn, kept, err);
  for( size_t i = 0; i < batch->n_rows && rc == NER_OK && *kept; i++ )
    rc = pending_write_row(b, batch, i, counts, err);
  if( rc == NER_OK && b->request_orphan_scan ) rc = pending_run(b, b->request_orphan_scan, err);
  if( rc == NER_OK ) rc = ner_enrich_commit(b->conn, err);
  if( rc != NER_OK ) ner_enrich_rollback(b->conn);
  return rc;
}

int ner_enrich_batcher_run(struct ner_enrich_batcher *b, size_t *n_read, bool *kept,
                           struct ner_enrich_counts *counts, struct ner_err *err) {
  const struct ner_sql_batch *batch;
  int rc = pending_next_batch(b, &batch, err);
  *n_read = rc == NER_OK && batch ? batch->n_rows : 0;
  *kept = true;
  *counts = (struct ner_enrich_counts){0};
  /* Labelling a small batch may not have asked at all. */
  if( rc == NER_OK && ner_cancelled(&b->conn->cancel.base) ) rc = ner_fail_interrupted(err);
  if( rc == NER_OK && *n_read > 0 ) rc = pending_write(b, batch, kept, counts, err);
  /* Of what was read ahead, too, the keys may be of other rows now. */
  if( rc != NER_OK || !*kept ) pending_end_pass(b);
  return rc;
}
