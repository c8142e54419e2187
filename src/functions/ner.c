/*
** ner.c - the table-valued function ner(): a row per entity of a text.
**
**     SELECT entity, label, score, start, end FROM ner('Wolfgang lives in Berlin');
**     SELECT d.id, n.* FROM docs d, ner(d.body, 'mymodel', 'average', 0.9) n;
**     SELECT text, entity FROM ner WHERE text IN (SELECT body FROM docs);
**
**     entity      the verbatim slice: substr(text, start+1, end-start)
**     label       'PER', 'ORG', ...: what the model's labels are called without B- and I-
**     score       0..1
**     start, end  code points, half open
**     hidden: text, model, aggregation, threshold (as given); start_byte, end_byte (of UTF-8)
**
** A call runs the model over the whole text, since an entity may reach over the windows of a
** long one; so a LIMIT has nothing to gain inside a text, and between texts SQLite itself
** stops calling us. text IN (...) is taken whole: its texts are labelled in batches over all threads
** (sql/stream.h). Constraints on label and score are used (sql/pushdown.c); so is ORDER BY start,
** start_byte or rowid ascending: that is how the rows of a text come.
*/
#include "sql/stream.h"

#include <string.h>

enum {
  COL_ENTITY,
  COL_LABEL,
  COL_SCORE,
  COL_START,
  COL_END,
  COL_TEXT, /* the arguments: the first of the hidden columns, as SQLite wants them */
  COL_MODEL,
  COL_AGGREGATION,
  COL_THRESHOLD,
  COL_START_BYTE,
  COL_END_BYTE,
};

static const struct ner_sql_shape shape = {
    .name = "ner",
    .schema =
        "CREATE TABLE x(entity TEXT, label TEXT, score REAL, start INTEGER, \"end\" INTEGER,"
        " text BLOB HIDDEN, model BLOB HIDDEN, aggregation BLOB HIDDEN, threshold BLOB HIDDEN,"
        " start_byte INTEGER HIDDEN, end_byte INTEGER HIDDEN)",
    .first_arg = COL_TEXT,
    .n_args = 4,
    .innocuous = true,
};

/* idxNum, beyond the arguments' bits and the wishes': text IN (...) */
#define PLAN_IN (1 << (NER_SQL_PUSHDOWN_BIT + NER_SQL_PUSHDOWN_BITS))

struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS]; /* as given, NULL: not given */
  struct ner_model *model;              /* owns the labels */
  struct ner_sql_pushdown pushdown;
  /* One text: */
  struct ner_slice text; /* inside arg[0] */
  struct ner_entities found;
  size_t at;
  /* Or text IN (...): */
  bool many;
  sqlite3_value **value; /* [n_values] what the list holds */
  size_t n_values, cap_values, next_value;
  struct ner_sql_stream stream;
};

static bool ordered_by_position(const sqlite3_index_info *info) {
  int column;
  if( info->nOrderBy != 1 || info->aOrderBy[0].desc ) return false;
  column = info->aOrderBy[0].iColumn;
  return column == COL_START || column == COL_START_BYTE || column == -1;
}

/* Constraint that the first argument is taken from, -1: none. */
static int text_constraint(const sqlite3_index_info *info) {
  for( int i = 0; i < info->nConstraint; i++ )
    if( (info->idxNum & 1) && info->aConstraintUsage[i].argvIndex == 1 ) return i;
  return -1;
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int n_argv, text;
  bool many;
  int rc = ner_sql_table_plan(table, info, &n_argv);
  if( rc != SQLITE_OK ) return rc;
  text = text_constraint(info);
  many = text >= 0 && sqlite3_vtab_in(info, text, 1);
  if( many ) info->estimatedRows = 1000;
  ner_sql_pushdown_plan(info, many ? "text IN" : "text=", COL_LABEL, COL_SCORE, &n_argv);
  if( many ) info->idxNum |= PLAN_IN;
  /* Positions start anew with each text. */
  info->orderByConsumed = !many && ordered_by_position(info);
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct cursor *c = ner_calloc(1, sizeof *c);
  if( !c ) return SQLITE_NOMEM;
  *out = &c->base;
  return SQLITE_OK;
}

static void reset(struct cursor *c) {
  sqlite3_vtab_cursor base = c->base;
  ner_sql_stream_end(&c->stream);
  for( size_t i = c->next_value; i < c->n_values; i++ ) sqlite3_value_free(c->value[i]);
  NER_FREE(c->value);
  ner_entities_free(&c->found);
  ner_sql_pushdown_free(&c->pushdown);
  ner_sql_table_args_free(c->arg);
  ner_model_unref(c->model);
  memset(c, 0, sizeof *c);
  c->base = base;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  reset(c);
  NER_FREE(c);
  return SQLITE_OK;
}

/* The list can only be read inside xFilter, so its values are put aside. */
static int take_values(struct cursor *c, sqlite3 *db, sqlite3_value *list, struct ner_err *err) {
  struct ner_sql_cancel cancel;
  sqlite3_value *value = NULL;
  int rc = sqlite3_vtab_in_first(list, &value);
  ner_sql_cancel_open(&cancel, db);
  for( ; rc == SQLITE_OK && value; rc = sqlite3_vtab_in_next(list, &value) ) {
    if( ner_cancelled(&cancel.base) ) {
      rc = SQLITE_INTERRUPT;
      break;
    }
    if( ner_grow((void **)&c->value, &c->cap_values, c->n_values + 1, sizeof *c->value) == NER_OK )
      c->value[c->n_values] = sqlite3_value_dup(value);
    if( c->n_values == c->cap_values || !c->value[c->n_values] ) {
      rc = SQLITE_NOMEM;
      break;
    }
    c->n_values++;
  }
  ner_sql_cancel_close(&cancel);
  switch( rc ) {
  case SQLITE_OK:
  case SQLITE_DONE: return NER_OK;
  case SQLITE_NOMEM: return ner_fail_nomem(err);
  case SQLITE_INTERRUPT: return ner_fail_interrupted(err);
  default:
    return ner_fail(err, NER_ERROR, "the list of text IN (...) cannot be read: %s",
                    sqlite3_errstr(rc));
  }
}

/* ner_sql_feed over the values. */
static int feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err) {
  struct cursor *c = arg;
  *key = NULL;
  *text = c->next_value < c->n_values ? c->value[c->next_value++] : NULL;
  return NER_OK;
}

/* Goes on to the next entity that is wanted, from c->at itself on where there is one text. */
static int settle(struct cursor *c, struct ner_err *err) {
  int rc;
  if( !c->many ) {
    while( c->at < c->found.n && !ner_sql_pushdown_matches(&c->pushdown, &c->found.entity[c->at]) )
      c->at++;
    return NER_OK;
  }
  rc = ner_sql_stream_next(&c->stream, err);
  if( rc == NER_OK && c->stream.row && !c->stream.entity ) {
    *err = c->stream.row->err;
    rc = err->code;
  }
  return rc;
}

static int run(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  struct ner_sql_table *table = (struct ner_sql_table *)c->base.pVtab;
  struct ner_options options;
  int n_args;
  int rc = ner_sql_table_args(&table->base, plan, argv, c->arg, &n_args, err);
  if( rc == NER_OK ) rc = ner_sql_pushdown_read(&c->pushdown, plan, argv + n_args, err);
  if( rc == NER_OK ) rc = ner_sql_options(c->arg[2], c->arg[3], &options, err);
  if( rc == NER_OK && (plan & PLAN_IN) ) {
    c->many = true;
    rc = take_values(c, table->db, argv[0], err);
    if( c->n_values == 0 ) return rc;
  }
  if( rc != NER_OK || (!c->many && ner_sql_is_null(c->arg[0])) ) return rc;
  if( !c->many ) rc = ner_sql_text(c->arg[0], "the text", &c->text, err);
  if( rc == NER_OK ) rc = ner_sql_model(c->arg[1], &c->model, err);
  if( rc != NER_OK ) return rc;
  if( c->many )
    ner_sql_stream_begin(&c->stream, table->db, c->model, &options, &c->pushdown, feed, c);
  else if( ner_sql_pushdown_possible(&c->pushdown, c->model) )
    rc = ner_sql_extract(table->db, c->model, c->text, &options, &c->found, err);
  return rc == NER_OK ? settle(c, err) : rc;
}

static int filter(sqlite3_vtab_cursor *cursor, int plan, const char *unused, int argc,
                  sqlite3_value **argv) {
  struct cursor *c = (struct cursor *)cursor;
  struct ner_err err = {0};
  reset(c);
  if( run(c, plan, argv, &err) == NER_OK ) return SQLITE_OK;
  reset(c);
  return ner_sql_table_error(cursor->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  struct ner_err err = {0};
  c->at++;
  if( settle(c, &err) == NER_OK ) return SQLITE_OK;
  return ner_sql_table_error(cursor->pVtab, &err);
}

static int eof(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  return c->many ? !c->stream.row : c->at >= c->found.n;
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  const struct ner_entity *e = c->many ? c->stream.entity : &c->found.entity[c->at];
  switch( i ) {
  case COL_START_BYTE: sqlite3_result_int64(context, e->start_byte); break;
  case COL_END_BYTE: sqlite3_result_int64(context, e->end_byte); break;
  case COL_TEXT: sqlite3_result_value(context, c->many ? c->stream.row->text : c->arg[0]); break;
  case COL_MODEL:
  case COL_AGGREGATION:
  case COL_THRESHOLD:
    if( c->arg[i - COL_TEXT] ) sqlite3_result_value(context, c->arg[i - COL_TEXT]);
    break;
  default:
    ner_sql_result_entity(context, c->many ? c->stream.row->utf8 : c->text, e,
                          (enum ner_sql_field)i);
  }
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out) {
  struct cursor *c = (struct cursor *)cursor;
  *out = c->many ? c->stream.n_given : (sqlite3_int64)c->at + 1;
  return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = ner_sql_table_connect,
    .xDisconnect = ner_sql_table_disconnect,
    .xBestIndex = best_index,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid,
};

int ner_sql_register_ner(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
