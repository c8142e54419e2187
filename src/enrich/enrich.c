/*
** enrich.c - the table-valued function ner_enrich(): keeps a table of the entities of a text
** column, and shows how it gets on.
**
**     SELECT * FROM ner_enrich('docs', 'body');
**     SELECT * FROM ner_enrich('docs', 'body', 'mymodel', 'average', 0.8);
**     SELECT d.title, n.entity FROM docs d JOIN docs_body_ner n ON n.docs_rowid = d.rowid;
**
**     done             rows done since the call began
**     total            rows that were due then, and have become so since
**     entities         found in them
**     errors           rows that could not be done: they are in docs_body_ner_error
**     rows_per_second  on the average
**     eta_seconds      until all is done, at that rate
**     hidden: table, column, model, aggregation, threshold (the arguments)
**
** The first call makes ordinary tables and triggers next to the table (enrich/target.c lists
** them), notes all rows as due, and does them batch by batch, each in a transaction of its own and
** each followed by a row of the result. The triggers note what is changed later, by whatever
** program, and the next call does only that. Killed at any moment it goes on where it
** was. With another model, aggregation or threshold all rows are due again.
** sql/enrich-undo.sql takes it all away.
**
** Each step of the statement does one batch: with LIMIT 1 it is one.
**
** What no trigger sees: a row that REPLACE deletes because of a UNIQUE column other than its key
** (unless PRAGMA recursive_triggers is on). The row that is put in its place is due, and when all
** is done that was, such rows are looked for. (Only UPDATE OR REPLACE of nothing but that column
** makes nothing due; then it happens the next time that something is.) And rowids that VACUUM gives out anew, as it may in a table that has neither
** an INTEGER PRIMARY KEY nor any index.
*/
#include "sql/batch.h"
#include "enrich/enrich.h"

#include <math.h>
#include <string.h>

enum {
  COL_DONE,
  COL_TOTAL,
  COL_ENTITIES,
  COL_ERRORS,
  COL_ROWS_PER_SECOND,
  COL_ETA_SECONDS,
  COL_TABLE, /* the arguments */
  COL_COLUMN,
  COL_MODEL,
  COL_AGGREGATION,
  COL_THRESHOLD,
};
#define N_ARGS 5

static const char enrich_schema[] =
    "CREATE TABLE x(done INTEGER, total INTEGER, entities INTEGER, errors INTEGER,"
    " rows_per_second REAL, eta_seconds REAL, \"table\" BLOB HIDDEN, \"column\" BLOB HIDDEN,"
    " model BLOB HIDDEN, aggregation BLOB HIDDEN, threshold BLOB HIDDEN)";

#define FIRST_BYTES (8 * 1024) /* of text in the first batch: a row of the result comes soon */

struct cursor {
  struct ner_sql_cursor base;
  struct ner_model *model;
  struct ner_options options;
  char *settings;
  struct ner_enrich_work work;
  struct ner_enrich_target target;
  struct ner_enrich_batcher *batcher;

  struct ner_enrich_counts sum; /* since the call began */
  sqlite3_int64 total;
  double seconds; /* spent on batches, not between them */
  size_t max_bytes;
};

static void end_work(struct cursor *c) {
  ner_sql_cancel_close(&c->work.cancel);
  ner_enrich_batcher_free(c->batcher);
  c->batcher = NULL;
  ner_enrich_target_reset(&c->target);
  ner_enrich_work_close(&c->work);
}

static void clear(struct ner_sql_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  end_work(c);
  sqlite3_free(c->settings);
  ner_model_unref(c->model);
}

/* ---- where to work ---- */

/* What the arguments say is to be enriched. */
struct place {
  sqlite3 *db;
  char *schema, *table;
  const char *column;
};

/* Inside a statement that writes no transaction can be ended, and none of its own be undone. */
static int refuse_to_write_for_writers(sqlite3 *db, struct ner_err *err) {
  for( sqlite3_stmt *s = sqlite3_next_stmt(db, NULL); s; s = sqlite3_next_stmt(db, s) )
    if( sqlite3_stmt_busy(s) && !sqlite3_stmt_readonly(s) )
      return ner_fail(
          err, NER_ERROR,
          "ner_enrich cannot run while a statement that writes is under way; SELECT from"
          " it by itself, not within INSERT or CREATE TABLE ... AS");
  return NER_OK;
}

/* A statement that uses ner_enrich reads, in SQLite's eyes, from the database main, and
** without WAL its lock would stop every writer for as long as it runs, our own second connection
** too. A table of that name in temp, which SQLite looks for first, makes it a statement that reads
** from temp. So it is made when it is first needed, and the statement, which must not have given
** any row yet, is told to prepare itself anew: SQLITE_SCHEMA does that. */
static bool move_to_temp(sqlite3 *db, const char *schema) {
  const sqlite3_stmt *running = NULL;
  sqlite3_stmt *s;
  if( sqlite3_stricmp(schema, "main") != 0 || sqlite3_txn_state(db, "main") != SQLITE_TXN_READ )
    return false;
  if( sqlite3_table_column_metadata(db, "temp", "ner_enrich", NULL, NULL, NULL, NULL, NULL, NULL) ==
      SQLITE_OK )
    return false;
  for( s = sqlite3_next_stmt(db, NULL); s; s = sqlite3_next_stmt(db, s) ) {
    if( !sqlite3_stmt_busy(s) ) continue;
    /* Steps are counted when a row is given: none so far. */
    if( running || sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 0) != 0 ) return false;
    running = s;
  }
  return sqlite3_exec(db, "CREATE VIRTUAL TABLE temp.ner_enrich USING ner_enrich", NULL, NULL,
                      NULL) == SQLITE_OK;
}

static int prepare_work(struct cursor *c, const struct place *place, bool beside,
                        struct ner_err *err) {
  const char *model = "(default)";
  int rc = ner_enrich_work_open(&c->work, place->db, place->schema, beside, err);
  if( !ner_sql_is_null(c->base.arg[2]) ) model = (const char *)sqlite3_value_text(c->base.arg[2]);
  if( rc == NER_OK )
    rc = ner_enrich_target_init(&c->target, &c->work, place->table, place->column, err);
  if( rc == NER_OK ) rc = ner_enrich_target_authorize(&c->target, &c->work, err);
  if( rc == NER_OK ) rc = ner_enrich_setup(&c->target, &c->work, model, c->settings, err);
  if( rc == NER_OK )
    rc = ner_enrich_batcher_new(&c->target, &c->work, c->model, &c->options, c->settings,
                                &c->batcher, err);
  return rc;
}

/* ---- one batch ---- */

static int count_due(struct cursor *c, struct ner_err *err) {
  sqlite3_int64 due;
  char *sql = ner_enrich_sql(&c->target, "SELECT count(*) FROM $S.\"$N_queue\"");
  int rc = ner_enrich_ask(&c->work, sql, &due, err);
  c->total = c->sum.rows + due;
  return rc;
}

/* The next row of the result. */
static int advance(struct cursor *c, struct ner_err *err) {
  struct ner_enrich_counts counts;
  double start = ner_sql_seconds();
  bool found = false;
  size_t n_read = 0;
  int rc = ner_enrich_batcher_run(c->batcher, c->max_bytes, &n_read, &counts, err);
  if( rc == NER_OK && n_read == 0 && c->target.replaceable ) {
    rc = ner_enrich_sweep(&c->target, &c->work, &found, err);
    if( rc == NER_OK && found )
      rc = ner_enrich_batcher_run(c->batcher, c->max_bytes, &n_read, &counts, err);
  }
  if( rc != NER_OK ) return rc;
  c->sum.rows += counts.rows;
  c->sum.entities += counts.entities;
  c->sum.errors += counts.errors;
  c->seconds += ner_sql_seconds() - start;
  /* Nothing was due: the first row of the result says so, a later one is not called for. */
  if( n_read == 0 ) {
    c->base.eof = c->base.position > 0;
  } else {
    c->max_bytes = ner_sql_batch_resize(c->max_bytes, ner_sql_seconds() - start);
    if( c->sum.rows >= c->total ) rc = count_due(c, err);
  }
  c->base.position++;
  return rc;
}

/* ---- the table-valued function ---- */

/* Finds the place; the caller frees its schema and table. */
static int find_place(struct cursor *c, struct place *place, struct ner_err *err) {
  const char *name;
  int rc = ner_sql_name(c->base.arg[0], "the table's name", &name, err);
  if( rc == NER_OK ) rc = ner_sql_name(c->base.arg[1], "the column's name", &place->column, err);
  if( rc == NER_OK ) rc = refuse_to_write_for_writers(place->db, err);
  if( rc == NER_OK ) rc = ner_enrich_resolve(place->db, name, &place->schema, &place->table, err);
  if( rc == NER_OK && sqlite3_db_readonly(place->db, place->schema) == 1 )
    rc = ner_fail(err, NER_ERROR,
                  "the database '%.100s' is open for reading only; ner_enrich needs to write",
                  place->schema);
  return rc;
}

static int begin(struct cursor *c, const struct place *place, bool beside, struct ner_err *err) {
  int rc = prepare_work(c, place, beside, err);
  /* Perhaps only the host's connection has the functions and collations that the table uses. */
  if( rc != NER_OK && c->work.lost ) {
    end_work(c);
    *err = (struct ner_err){0};
    rc = prepare_work(c, place, false, err);
  }
  if( rc == NER_OK ) rc = count_due(c, err);
  return rc == NER_OK ? advance(c, err) : rc;
}

static int start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                 struct ner_err *err) {
  struct cursor *c = (struct cursor *)cursor;
  struct place place = {.db = ner_sql_table_of(cursor)->db};
  bool beside = false, again = false;
  int rc = ner_sql_model(place.db, cursor->arg[2], &c->model, err);
  c->max_bytes = FIRST_BYTES;
  if( rc == NER_OK ) rc = ner_sql_options(cursor->arg[3], cursor->arg[4], &c->options, err);
  if( rc == NER_OK ) {
    c->settings = ner_enrich_settings(c->model, &c->options);
    if( !c->settings ) rc = ner_fail_nomem(err);
  }
  if( rc == NER_OK ) rc = find_place(c, &place, err);
  if( rc == NER_OK ) {
    beside = ner_enrich_work_can_be_beside(place.db, place.schema);
    again = beside && move_to_temp(place.db, place.schema);
  }
  if( rc == NER_OK && !again ) rc = begin(c, &place, beside, err);
  sqlite3_free(place.schema);
  sqlite3_free(place.table);
  ner_sql_cancel_close(&c->work.cancel);
  return again ? NER_SQL_AGAIN : rc;
}

static int next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct cursor *c = (struct cursor *)cursor;
  int rc = advance(c, err);
  ner_sql_cancel_close(&c->work.cancel);
  if( rc == NER_OK && !cursor->eof ) return NER_OK;
  end_work(c); /* our connection is closed as soon as there is no more to do */
  cursor->eof = true;
  return rc;
}

/* Figures to read, not to reckon with. */
static double rounded(double number) {
  return number < 100 ? floor(number * 10 + 0.5) / 10 : floor(number + 0.5);
}

static void column(struct ner_sql_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  double rate = c->sum.rows > 0 && c->seconds > 0 ? (double)c->sum.rows / c->seconds : 0;
  sqlite3_int64 left = c->total - c->sum.rows;
  switch( i ) {
  case COL_DONE: sqlite3_result_int64(context, c->sum.rows); break;
  case COL_TOTAL: sqlite3_result_int64(context, c->total); break;
  case COL_ENTITIES: sqlite3_result_int64(context, c->sum.entities); break;
  case COL_ERRORS: sqlite3_result_int64(context, c->sum.errors); break;
  case COL_ROWS_PER_SECOND:
    if( rate > 0 ) sqlite3_result_double(context, rounded(rate));
    break;
  case COL_ETA_SECONDS:
    if( left <= 0 )
      sqlite3_result_double(context, 0);
    else if( rate > 0 )
      sqlite3_result_double(context, rounded((double)left / rate));
    break;
  }
}

/* It reads and writes tables: not for the views and triggers of a database. The table that
** move_to_temp() makes needs can_create. */
static const struct ner_sql_shape enrich_shape = {
    .name = "ner_enrich",
    .schema = enrich_schema,
    .first_arg = COL_TABLE,
    .n_args = N_ARGS,
    .direct_only = true,
    .can_create = true,
    .cursor_bytes = sizeof(struct cursor),
    .start = start,
    .next = next,
    .column = column,
    .clear = clear,
};

int ner_sql_register_enrich(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &enrich_shape);
}
