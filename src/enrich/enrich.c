/*
** enrich.c - the table-valued function ner_enrich(): keeps a table of the entities of a text
** column, and shows its progress.
**
**     SELECT * FROM ner_enrich('docs', 'body');
**     SELECT * FROM ner_enrich('docs', 'body', 'mymodel', 'average', 0.8);
**     SELECT d.title, n.entity FROM docs d JOIN docs_body_ner n ON n.docs_rowid = d.rowid;
**
**     done             rows done since the call began
**     total            rows that were pending then, and have become so since
**     entities         found in them
**     errors           rows that could not be done: they are in docs_body_ner_error
**     rows_per_second  on the average
**     eta_seconds      until all is done, at that rate
**     hidden: table, column, model, aggregation, threshold (the arguments)
**
** The first call makes ordinary tables and triggers next to the table (enrich/target.c lists them),
** notes all rows as pending, and does them batch by batch. Each batch has a transaction of its own
** and gives a row of the result: with LIMIT 1 the statement does one batch. The triggers note what
** any program changes later, and the next call does only that. Killed at any moment it continues
** where it stopped. With another model, aggregation or threshold all rows are pending again.
** After ALTER TABLE ... RENAME the results follow the table or column (enrich/rename.c).
** sql/enrich-undo.sql removes everything.
**
** What no trigger sees:
**   - a row that REPLACE deletes because of a UNIQUE column other than its key (unless PRAGMA
**     recursive_triggers is on). The row that replaces it is pending, and once all pending rows are
**     done, such rows are looked for. (Only UPDATE OR REPLACE of nothing but that column makes
**     nothing pending; it is then noticed the next time that something is.)
**   - new rowids, which VACUUM or a restored dump may give to a table without an INTEGER PRIMARY
**     KEY: enrich/rowids.c notices them.
*/
#include "enrich/enrich.h"

#include <math.h>
#include <string.h>
#include "base/os.h"

enum {
  ENRICH_DONE,
  ENRICH_TOTAL,
  ENRICH_ENTITIES,
  ENRICH_ERRORS,
  ENRICH_ROWS_PER_SECOND,
  ENRICH_ETA_SECONDS,
  ENRICH_TABLE, /* the arguments */
  ENRICH_COLUMN,
  ENRICH_MODEL,
  ENRICH_AGGREGATION,
  ENRICH_THRESHOLD,
  ENRICH_COLUMNS,
};

static const char enrich_schema[] =
    "CREATE TABLE x(done INTEGER, total INTEGER, entities INTEGER, errors INTEGER,"
    " rows_per_second REAL, eta_seconds REAL, \"table\" BLOB HIDDEN, \"column\" BLOB HIDDEN,"
    " model BLOB HIDDEN, aggregation BLOB HIDDEN, threshold BLOB HIDDEN)";

struct enrich_cursor {
  struct ner_sql_cursor base;
  struct ner_model *model;
  struct ner_options options;
  char *settings;
  struct ner_enrich_connection conn;
  struct ner_enrich_target target;
  struct ner_enrich_batcher *batcher;

  struct ner_enrich_counts sum; /* since the call began */
  sqlite3_int64 total;
  double seconds; /* spent on batches, not between them */
};

static void enrich_end(struct enrich_cursor *c) {
  ner_sql_cancel_close(&c->conn.cancel);
  ner_enrich_batcher_free(c->batcher);
  c->batcher = NULL;
  ner_enrich_target_reset(&c->target);
  ner_enrich_connection_close(&c->conn);
}

static void enrich_clear(struct ner_sql_cursor *cursor) {
  struct enrich_cursor *c = (struct enrich_cursor *)cursor;
  enrich_end(c);
  sqlite3_free(c->settings);
  ner_model_unref(c->model);
}

/* ---- the table and the connection ---- */

/* What the arguments name. */
struct enrich_place {
  sqlite3 *db;
  char *schema, *table;
  const char *column;
};

/* While a statement writes, no transaction can end, and none of ours be rolled back by itself. */
static int enrich_refuse_writers(sqlite3 *db, struct ner_err *err) {
  for( sqlite3_stmt *s = sqlite3_next_stmt(db, NULL); s; s = sqlite3_next_stmt(db, s) )
    if( sqlite3_stmt_busy(s) && !sqlite3_stmt_readonly(s) )
      return ner_fail(err, NER_ERROR,
                      "ner_enrich cannot run while a statement that writes is running; SELECT from"
                      " it by itself, not within INSERT or CREATE TABLE ... AS");
  return NER_OK;
}

/* Whether the statement has given no row yet. SQLite counts a run's opcodes when it returns: at a
** row, or early, because the schema has changed and the statement must be prepared again. Such a run
** executes two at the least, Init and Transaction. Where the earlier runs account for all that was
** counted, the present one has not returned. */
static bool enrich_has_no_row(sqlite3_stmt *s) {
  int runs = sqlite3_stmt_status(s, SQLITE_STMTSTATUS_RUN, 0);
  return sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 0) <= 2 * (runs - 1);
}

/* To SQLite, a statement that uses ner_enrich reads from the database main. Without WAL its lock
** would stop every writer, our own connection included, for as long as it runs. A table of that
** name in temp, which SQLite looks up first, makes it a statement that reads from temp. The table
** is made when it is first needed, and SQLite is told to prepare the statement again, which must
** not have given a row yet: true. */
static bool enrich_move_to_temp(sqlite3 *db, const char *schema) {
  const sqlite3_stmt *running = NULL;
  sqlite3_stmt *s;
  if( sqlite3_stricmp(schema, "main") != 0 || sqlite3_txn_state(db, "main") != SQLITE_TXN_READ )
    return false;
  if( sqlite3_table_column_metadata(db, "temp", "ner_enrich", NULL, NULL, NULL, NULL, NULL, NULL) ==
      SQLITE_OK )
    return false;
  for( s = sqlite3_next_stmt(db, NULL); s; s = sqlite3_next_stmt(db, s) ) {
    if( !sqlite3_stmt_busy(s) ) continue;
    if( running || !enrich_has_no_row(s) ) return false;
    running = s;
  }
  return sqlite3_exec(db, "CREATE VIRTUAL TABLE temp.ner_enrich USING ner_enrich", NULL, NULL,
                      NULL) == SQLITE_OK;
}

/* Finds the table; the caller frees its schema and name. */
static int enrich_find(struct enrich_cursor *c, struct enrich_place *place, struct ner_err *err) {
  const char *name;
  int rc = ner_sql_name(c->base.arg[0], "the table's name", &name, err);
  if( rc == NER_OK ) rc = ner_sql_name(c->base.arg[1], "the column's name", &place->column, err);
  if( rc == NER_OK ) rc = enrich_refuse_writers(place->db, err);
  if( rc == NER_OK )
    rc = ner_enrich_resolve(place->db, name, place->column, &place->schema, &place->table, err);
  if( rc == NER_OK && sqlite3_db_readonly(place->db, place->schema) == 1 )
    rc = ner_fail(err, NER_ERROR,
                  "the database '%.100s' is open for reading only; ner_enrich needs to write",
                  place->schema);
  return rc;
}

static int enrich_open(struct enrich_cursor *c, const struct enrich_place *place, bool own,
                       struct ner_err *err) {
  const char *model = "(default)";
  int rc = ner_enrich_connection_open(&c->conn, place->db, place->schema, own, err);
  if( !ner_sql_is_null(c->base.arg[2]) ) model = (const char *)sqlite3_value_text(c->base.arg[2]);
  if( rc == NER_OK )
    rc = ner_enrich_target_init(&c->target, &c->conn, place->table, place->column, err);
  if( rc == NER_OK ) rc = ner_enrich_target_authorize(&c->target, &c->conn, err);
  if( rc == NER_OK ) rc = ner_enrich_setup(&c->target, &c->conn, model, c->settings, err);
  if( rc == NER_OK )
    rc = ner_enrich_batcher_new(&c->target, &c->conn, c->model, &c->options, c->settings,
                                &c->batcher, err);
  return rc;
}

/* ---- one batch ---- */

static int enrich_count_pending(struct enrich_cursor *c, struct ner_err *err) {
  sqlite3_int64 pending;
  char *sql = ner_enrich_sql(&c->target, "SELECT count(*) FROM $S.\"$N_queue\"");
  int rc = ner_enrich_read_int64(&c->conn, sql, &pending, err);
  c->total = c->sum.rows + pending;
  return rc;
}

static int enrich_run_batch(struct enrich_cursor *c, size_t *n_read,
                            struct ner_enrich_counts *counts, struct ner_err *err) {
  bool kept = false;
  int rc = NER_OK;
  while( rc == NER_OK && !kept ) {
    rc = ner_enrich_batcher_run(c->batcher, n_read, &kept, counts, err);
    if( rc == NER_OK && !kept ) rc = ner_enrich_rowids_compare(&c->target, &c->conn, err);
  }
  return rc;
}

/* The next row of the result. */
static int enrich_advance(struct enrich_cursor *c, struct ner_err *err) {
  struct ner_enrich_counts counts;
  double start = ner_seconds();
  bool found = false;
  size_t n_read = 0;
  int rc = enrich_run_batch(c, &n_read, &counts, err);
  if( rc == NER_OK && n_read == 0 && c->target.replaceable ) {
    rc = ner_enrich_scan_orphans(&c->target, &c->conn, &found, err);
    if( rc == NER_OK && found ) rc = enrich_run_batch(c, &n_read, &counts, err);
  }
  if( rc != NER_OK ) return rc;
  c->sum.rows += counts.rows;
  c->sum.entities += counts.entities;
  c->sum.errors += counts.errors;
  c->seconds += ner_seconds() - start;
  /* Where nothing was pending, the first row of the result says so; a later one is not needed. */
  if( n_read == 0 )
    c->base.eof = c->base.position > 0;
  else if( c->sum.rows >= c->total )
    rc = enrich_count_pending(c, err);
  c->base.position++;
  return rc;
}

/* ---- the table-valued function ---- */

static int enrich_begin(struct enrich_cursor *c, const struct enrich_place *place, bool own,
                        struct ner_err *err) {
  int rc = enrich_open(c, place, own, err);
  /* The host's connection may have functions and collations that the table uses. */
  if( rc != NER_OK && c->conn.needs_host ) {
    enrich_end(c);
    *err = (struct ner_err){0};
    rc = enrich_open(c, place, false, err);
  }
  if( rc == NER_OK ) rc = enrich_count_pending(c, err);
  return rc == NER_OK ? enrich_advance(c, err) : rc;
}

static int enrich_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                        struct ner_err *err) {
  struct enrich_cursor *c = (struct enrich_cursor *)cursor;
  struct enrich_place place = {.db = ner_sql_table_of(cursor)->db};
  bool own = false, again = false;
  int rc = ner_sql_model(place.db, cursor->arg[2], &c->model, err);
  if( rc == NER_OK ) rc = ner_sql_options(cursor->arg[3], cursor->arg[4], &c->options, err);
  if( rc == NER_OK ) {
    c->settings = ner_enrich_settings(c->model, &c->options);
    if( !c->settings ) rc = ner_fail_nomem(err);
  }
  if( rc == NER_OK ) rc = enrich_find(c, &place, err);
  if( rc == NER_OK ) {
    own = ner_enrich_can_open_own(place.db, place.schema);
    again = own && enrich_move_to_temp(place.db, place.schema);
  }
  if( rc == NER_OK && !again ) rc = enrich_begin(c, &place, own, err);
  sqlite3_free(place.schema);
  sqlite3_free(place.table);
  ner_sql_cancel_close(&c->conn.cancel);
  return again ? NER_SQL_AGAIN : rc;
}

static int enrich_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct enrich_cursor *c = (struct enrich_cursor *)cursor;
  int rc = enrich_advance(c, err);
  ner_sql_cancel_close(&c->conn.cancel);
  if( rc == NER_OK && !cursor->eof ) return NER_OK;
  enrich_end(c); /* our own connection is closed as soon as all is done */
  cursor->eof = true;
  return rc;
}

/* For reading, not for computing. */
static double enrich_rounded(double number) {
  return number < 100 ? floor(number * 10 + 0.5) / 10 : floor(number + 0.5);
}

static void enrich_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int i) {
  struct enrich_cursor *c = (struct enrich_cursor *)cursor;
  double rate = c->sum.rows > 0 && c->seconds > 0 ? (double)c->sum.rows / c->seconds : 0;
  sqlite3_int64 left = c->total - c->sum.rows;
  switch( i ) {
  case ENRICH_DONE: sqlite3_result_int64(context, c->sum.rows); break;
  case ENRICH_TOTAL: sqlite3_result_int64(context, c->total); break;
  case ENRICH_ENTITIES: sqlite3_result_int64(context, c->sum.entities); break;
  case ENRICH_ERRORS: sqlite3_result_int64(context, c->sum.errors); break;
  case ENRICH_ROWS_PER_SECOND:
    if( rate > 0 ) sqlite3_result_double(context, enrich_rounded(rate));
    break;
  case ENRICH_ETA_SECONDS:
    if( left <= 0 )
      sqlite3_result_double(context, 0);
    else if( rate > 0 )
      sqlite3_result_double(context, enrich_rounded((double)left / rate));
    break;
  }
}

/* It reads and writes tables: not for the views and triggers of a database. The table that
** enrich_move_to_temp() makes needs can_create. */
static const struct ner_sql_shape enrich_shape = {
    .name = "ner_enrich",
    .schema = enrich_schema,
    .first_arg = ENRICH_TABLE,
    .n_args = ENRICH_COLUMNS - ENRICH_TABLE,
    .direct_only = true,
    .can_create = true,
    .cursor_bytes = sizeof(struct enrich_cursor),
    .start = enrich_start,
    .next = enrich_next,
    .column = enrich_column,
    .clear = enrich_clear,
};

int ner_sql_register_enrich(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &enrich_shape);
}
