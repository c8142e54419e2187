/*
** batch.c - one batch of ner_enrich(): some due rows are read, labelled and written.
**
** Reading and labelling, which takes nearly all the time, is done outside any transaction. Then, in
** one short transaction, each row's entry is taken out of the queue, but only if it is still the
** one that was read: an entry that has another `change` by now means that the row was changed
** meanwhile, and it stays due. What was there of the row before is replaced by what was
** found. So a kill at any moment leaves each row either due or done, never both, never neither.
*/
#include "sql/batch.h"
#include "enrich/enrich.h"

#include <string.h>

#define MAX_ROWS 8192

#define NO_INPUT SIZE_MAX

struct row {
  bool is_blob;
  int64_t hash;
  size_t input;          /* in batcher.input; NO_INPUT: gone, NULL or a BLOB */
  size_t begin, n_bytes; /* in batcher.text */
};

struct ner_enrich_batcher {
  const struct ner_enrich_target *target;
  struct ner_enrich_connection *conn;
  struct ner_model *model;
  const struct ner_options *options;
  const char *settings;

  sqlite3_stmt *due;          /* rows of the queue with their texts */
  sqlite3_stmt *settings_are; /* the settings still are ours */
  sqlite3_stmt *take;         /* an entry out of the queue */
  sqlite3_stmt *drop_entities, *drop_error;
  sqlite3_stmt *add_entity, *add_error;
  sqlite3_stmt *set_hash, *drop_hash; /* NULL: rowids do not change */
  sqlite3_stmt *request_orphan_scan;  /* NULL: no row can go unseen */

  struct row *row; /* [n_rows] */
  size_t n_rows, cap_rows;
  sqlite3_value **key; /* [n_rows, n_keys + 1] of the queue: keys and change */
  size_t n_values, cap_values;
  char *text; /* all texts, end to end */
  size_t n_text, cap_text;
  struct ner_input *input;   /* [n_inputs] */
  struct ner_output *output; /* [n_inputs] */
  size_t n_inputs;
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
  b->target = target;
  b->conn = conn;
  b->model = model;
  b->options = options;
  b->settings = settings;
  /* Of the parameters, the keys come first, then the rest. */
  const struct {
    sqlite3_stmt **statement;
    const char *sql;
  } statements[] = {
      {&b->due, "SELECT $(q.$o$|, $), q.change, d.$C FROM $S.\"$N_queue\" AS q LEFT JOIN $S.$T AS d"
                " ON $(q.$o = d.$k$| AND $) ORDER BY $(q.$o$|, $) LIMIT ?"},
      {&b->settings_are, "SELECT 1 FROM $S.\"$N_state\" WHERE key = 'settings' AND value = ?"},
      {&b->take, "DELETE FROM $S.\"$N_queue\" WHERE $($o = ?$i$| AND $) AND change = ?"},
      {&b->drop_entities, "DELETE FROM $S.\"$N\" WHERE $($o = ?$i$| AND $)"},
      {&b->drop_error, "DELETE FROM $S.\"$N_error\" WHERE $($o = ?$i$| AND $)"},
      {&b->add_entity, "INSERT INTO $S.\"$N\"($($o$|, $), entity, label, score, start, \"end\")"
                       " VALUES($(?$i$|, $), ?, ?, ?, ?, ?)"},
      {&b->add_error, "INSERT INTO $S.\"$N_error\"($($o$|, $), error) VALUES($(?$i$|, $), ?)"},
  };
  for( size_t i = 0; i < sizeof statements / sizeof *statements && rc == NER_OK; i++ ) {
    char *sql = ner_enrich_sql(target, statements[i].sql);
    rc = ner_enrich_prepare(conn, sql, statements[i].statement, err);
    sqlite3_free(sql);
  }
  if( rc == NER_OK && target->rowids_may_change ) {
    char *set = ner_enrich_sql(target, "REPLACE INTO $S.\"$N_hash\"($($o$|, $), hash)"
                                       " VALUES($(?$i$|, $), ?)");
    char *drop = ner_enrich_sql(target, "DELETE FROM $S.\"$N_hash\" WHERE $($o = ?$i$| AND $)");
    rc = ner_enrich_prepare(conn, set, &b->set_hash, err);
    if( rc == NER_OK ) rc = ner_enrich_prepare(conn, drop, &b->drop_hash, err);
    sqlite3_free(set);
    sqlite3_free(drop);
  }
  if( rc == NER_OK && target->replaceable ) {
    char *sql = ner_enrich_sql(
        target, "REPLACE INTO $S.\"$N_state\"(key, value) VALUES('orphan_scan', random())");
    rc = ner_enrich_prepare(conn, sql, &b->request_orphan_scan, err);
    sqlite3_free(sql);
  }
  return rc;
}

static void forget_rows(struct ner_enrich_batcher *b) {
  for( size_t i = 0; i < b->n_values; i++ ) sqlite3_value_free(b->key[i]);
  for( size_t i = 0; i < b->n_inputs; i++ ) ner_output_free(&b->output[i]);
  NER_FREE(b->input);
  NER_FREE(b->output);
  b->input = NULL;
  b->output = NULL;
  b->n_values = b->n_inputs = b->n_rows = b->n_text = 0;
}

void ner_enrich_batcher_free(struct ner_enrich_batcher *b) {
  if( !b ) return;
  forget_rows(b);
  sqlite3_finalize(b->due);
  sqlite3_finalize(b->settings_are);
  sqlite3_finalize(b->take);
  sqlite3_finalize(b->drop_entities);
  sqlite3_finalize(b->drop_error);
  sqlite3_finalize(b->add_entity);
  sqlite3_finalize(b->add_error);
  sqlite3_finalize(b->set_hash);
  sqlite3_finalize(b->drop_hash);
  sqlite3_finalize(b->request_orphan_scan);
  NER_FREE(b->row);
  NER_FREE(b->key);
  NER_FREE(b->text);
  NER_FREE(b);
}

/* ---- reading ---- */

static int read_row(struct ner_enrich_batcher *b, struct ner_err *err) {
  int n_keys = b->target->n_keys, type = sqlite3_column_type(b->due, n_keys + 1);
  size_t n_values = b->n_values + (size_t)n_keys + 1;
  struct row *row;
  if( ner_grow((void **)&b->row, &b->cap_rows, b->n_rows + 1, sizeof *b->row) != NER_OK ||
      ner_grow((void **)&b->key, &b->cap_values, n_values, sizeof *b->key) != NER_OK )
    return ner_fail_nomem(err);
  for( int i = 0; i <= n_keys; i++ ) {
    b->key[b->n_values] = sqlite3_value_dup(sqlite3_column_value(b->due, i));
    if( !b->key[b->n_values++] ) return ner_fail_nomem(err);
  }
  row = &b->row[b->n_rows++];
  *row = (struct row){.input = NO_INPUT};
  row->is_blob = type == SQLITE_BLOB;
  if( row->is_blob ) {
    const void *blob = sqlite3_column_blob(b->due, n_keys + 1);
    size_t n_bytes = (size_t)sqlite3_column_bytes(b->due, n_keys + 1);
    if( !blob && n_bytes > 0 ) return ner_fail_nomem(err);
    row->hash = ner_enrich_hash(blob, n_bytes, true);
  }
  if( type != SQLITE_BLOB && type != SQLITE_NULL ) {
    const unsigned char *text = sqlite3_column_text(b->due, n_keys + 1);
    size_t n_bytes = (size_t)sqlite3_column_bytes(b->due, n_keys + 1);
    if( !text || ner_grow((void **)&b->text, &b->cap_text, b->n_text + n_bytes, 1) != NER_OK )
      return ner_fail_nomem(err);
    if( n_bytes ) memcpy(b->text + b->n_text, text, n_bytes);
    row->hash = ner_enrich_hash(text, n_bytes, false);
    row->input = b->n_inputs++;
    row->begin = b->n_text;
    row->n_bytes = n_bytes;
    b->n_text += n_bytes;
  }
  return NER_OK;
}

static int read_rows(struct ner_enrich_batcher *b, size_t max_bytes, struct ner_err *err) {
  size_t cost_bytes = 0, n_inputs;
  bool row = true;
  int rc = NER_OK;
  sqlite3_bind_int(b->due, 1, MAX_ROWS);
  while( cost_bytes < max_bytes ) {
    rc = ner_enrich_step(b->conn, b->due, &row, err);
    if( rc != NER_OK || !row ) break;
    rc = read_row(b, err);
    if( rc != NER_OK ) break;
    cost_bytes += b->row[b->n_rows - 1].n_bytes + NER_SQL_BATCH_ROW_BYTES;
  }
  sqlite3_reset(b->due);
  n_inputs = b->n_inputs;
  b->n_inputs = 0; /* there are no outputs yet */
  if( rc != NER_OK || n_inputs == 0 ) return rc;
  b->input = ner_calloc(n_inputs, sizeof *b->input);
  b->output = ner_calloc(n_inputs, sizeof *b->output);
  if( !b->input || !b->output ) return ner_fail_nomem(err);
  b->n_inputs = n_inputs;
  for( size_t i = 0; i < b->n_rows; i++ )
    if( b->row[i].input != NO_INPUT ) {
      b->input[b->row[i].input].utf8 = b->text ? b->text + b->row[i].begin : "";
      b->input[b->row[i].input].n_bytes = b->row[i].n_bytes;
    }
  return NER_OK;
}

/* ---- labelling ---- */

static int label(struct ner_enrich_batcher *b, struct ner_err *err) {
  int rc = NER_OK;
  if( b->n_inputs > 0 )
    rc = ner_pipeline_run(b->model, b->input, b->n_inputs, b->options, false, b->output,
                          &b->conn->cancel.base, err);
  /* A small batch may not have asked at all. */
  if( rc == NER_OK && ner_cancelled(&b->conn->cancel.base) ) rc = ner_fail_interrupted(err);
  return rc;
}

/* ---- writing ---- */

static int run(struct ner_enrich_batcher *b, sqlite3_stmt *statement, struct ner_err *err) {
  bool row;
  return ner_enrich_step(b->conn, statement, &row, err);
}

/* Binds row i's keys; the next parameter's number. */
static int bind_keys(struct ner_enrich_batcher *b, sqlite3_stmt *statement, size_t i) {
  int n_keys = b->target->n_keys;
  for( int k = 0; k < n_keys; k++ )
    ner_enrich_bind_value(b->conn, statement, k + 1, b->key[i * (size_t)(n_keys + 1) + (size_t)k]);
  return n_keys + 1;
}

static int add_error(struct ner_enrich_batcher *b, size_t i, const char *message,
                     struct ner_err *err) {
  int at = bind_keys(b, b->add_error, i);
  ner_enrich_bind_text(b->conn, b->add_error, at, message, strlen(message));
  return run(b, b->add_error, err);
}

static int add_entities(struct ner_enrich_batcher *b, size_t i, const struct ner_entities *found,
                        struct ner_err *err) {
  int at = bind_keys(b, b->add_entity, i), rc = NER_OK;
  const char *text = b->text + b->row[i].begin;
  for( size_t k = 0; k < found->n && rc == NER_OK; k++ ) {
    const struct ner_entity *e = &found->entity[k];
    ner_enrich_bind_text(b->conn, b->add_entity, at, text + e->start_byte,
                         e->end_byte - e->start_byte);
    ner_enrich_bind_text(b->conn, b->add_entity, at + 1, e->label, strlen(e->label));
    sqlite3_bind_double(b->add_entity, at + 2, e->score);
    sqlite3_bind_int64(b->add_entity, at + 3, e->start);
    sqlite3_bind_int64(b->add_entity, at + 4, e->end);
    rc = run(b, b->add_entity, err);
  }
  return rc;
}

static int write_row(struct ner_enrich_batcher *b, size_t i, struct ner_enrich_counts *counts,
                     struct ner_err *err) {
  const struct row *row = &b->row[i];
  const struct ner_output *output = row->input == NO_INPUT ? NULL : &b->output[row->input];
  int n_keys = b->target->n_keys, rc;
  /* As it stands there, number or not: an entry that cannot be taken would be read for ever. */
  ner_enrich_bind_value(b->conn, b->take, bind_keys(b, b->take, i),
                        b->key[i * (size_t)(n_keys + 1) + (size_t)n_keys]);
  rc = run(b, b->take, err);
  if( rc != NER_OK || sqlite3_changes(b->conn->db) == 0 ) return rc;
  bind_keys(b, b->drop_entities, i);
  bind_keys(b, b->drop_error, i);
  rc = run(b, b->drop_entities, err);
  if( rc == NER_OK ) rc = run(b, b->drop_error, err);
  if( rc == NER_OK && b->set_hash ) {
    bool gone = row->input == NO_INPUT && !row->is_blob;
    int at = bind_keys(b, gone ? b->drop_hash : b->set_hash, i);
    if( !gone ) sqlite3_bind_int64(b->set_hash, at, row->hash);
    rc = run(b, gone ? b->drop_hash : b->set_hash, err);
  }
  if( rc != NER_OK ) return rc;
  counts->rows++;
  if( row->is_blob ) {
    counts->errors++;
    return add_error(b, i, "the text is a BLOB; store it as text, CAST(... AS TEXT)", err);
  }
  if( !output ) return NER_OK;
  if( output->error ) {
    counts->errors++;
    return add_error(b, i, output->error, err);
  }
  counts->entities += (sqlite3_int64)output->found.n;
  return add_entities(b, i, &output->found, err);
}

/* Somebody else may be enriching the same column with another model. */
static int check_settings(struct ner_enrich_batcher *b, struct ner_err *err) {
  bool row;
  int rc;
  ner_enrich_bind_text(b->conn, b->settings_are, 1, b->settings, strlen(b->settings));
  rc = ner_enrich_step(b->conn, b->settings_are, &row, err);
  sqlite3_reset(b->settings_are);
  if( rc == NER_OK && !row )
    rc = ner_fail(err, NER_ERROR,
                  "another ner_enrich of '%.150s' has begun with another model, aggregation or"
                  " threshold; this one stops",
                  b->target->table);
  return rc;
}

static int write_rows(struct ner_enrich_batcher *b, bool *kept, struct ner_enrich_counts *counts,
                      struct ner_err *err) {
  int rc = ner_enrich_begin(b->conn, true, err);
  if( rc == NER_OK ) rc = check_settings(b, err);
  if( rc == NER_OK ) rc = ner_enrich_rowids_kept(b->target, b->conn, kept, err);
  for( size_t i = 0; i < b->n_rows && rc == NER_OK && *kept; i++ )
    rc = write_row(b, i, counts, err);
  if( rc == NER_OK && b->request_orphan_scan ) rc = run(b, b->request_orphan_scan, err);
  if( rc == NER_OK ) rc = ner_enrich_commit(b->conn, err);
  if( rc != NER_OK ) ner_enrich_rollback(b->conn);
  return rc;
}

int ner_enrich_batcher_run(struct ner_enrich_batcher *b, size_t max_bytes, size_t *n_read,
                           bool *kept, struct ner_enrich_counts *counts, struct ner_err *err) {
  int rc = read_rows(b, max_bytes, err);
  *kept = true;
  *n_read = b->n_rows;
  *counts = (struct ner_enrich_counts){0};
  if( rc == NER_OK && b->n_rows > 0 ) {
    rc = label(b, err);
    if( rc == NER_OK ) rc = write_rows(b, kept, counts, err);
  }
  forget_rows(b);
  return rc;
}
