/*
** ner_query.c - the table-valued function ner_query(): whole tables, at full speed.
**
**     SELECT q.key, q.entity, q.label
**     FROM ner_query('SELECT rowid, body FROM docs WHERE lang = ''en''') AS q;
**
**     key          the first column of the query given, as it is
**     entity, label, score, start, end    as in ner(), of the second column
**     error        NULL, or why this row's text could not be labelled (then the others are NULL)
**     hidden: sql, model, aggregation, threshold
**
** The query is one SELECT of two columns that only reads. It runs on the same connection, and is
** read up to two batches ahead (sql/stream.h), so memory is bounded whatever the table's size;
** rows come in its order. When it fails half way, what came before is given out first. Because it
** runs SQL text it is for top-level SQL alone: not for views or triggers.
*/
#include "sql/stream.h"

#include <string.h>

enum {
  COL_KEY,
  COL_ENTITY,
  COL_LABEL,
  COL_SCORE,
  COL_START,
  COL_END,
  COL_ERROR,
  COL_SQL, /* the arguments */
};

static const struct ner_sql_shape shape = {
    .name = "ner_query",
    .schema =
        "CREATE TABLE x(key, entity TEXT, label TEXT, score REAL, start INTEGER,"
        " \"end\" INTEGER, error TEXT,"
        " sql BLOB HIDDEN, model BLOB HIDDEN, aggregation BLOB HIDDEN, threshold BLOB HIDDEN)",
    .first_arg = COL_SQL,
    .n_args = 4,
    .direct_only = true,
};

struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arg[NER_SQL_MAX_ARGS];
  struct ner_model *model; /* owns the labels */
  sqlite3_stmt *query;
  struct ner_sql_pushdown pushdown;
  struct ner_sql_stream stream;
};

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int n_argv;
  int rc = ner_sql_table_plan(table, info, &n_argv);
  if( rc != SQLITE_OK ) return rc;
  info->estimatedRows = 100000;
  ner_sql_pushdown_plan(info, "sql", COL_LABEL, COL_SCORE, &n_argv);
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
  ner_sql_pushdown_free(&c->pushdown);
  sqlite3_finalize(c->query);
  ner_model_unref(c->model);
  ner_sql_table_args_free(c->arg);
  memset(c, 0, sizeof *c);
  c->base = base;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
  reset((struct cursor *)cursor);
  NER_FREE(cursor);
  return SQLITE_OK;
}

/* The first word behind blanks and comments. */
static const char *first_word(const char *sql) {
  for( ;; ) {
    sql += strspn(sql, " \t\n\f\r;");
    if( sql[0] == '-' && sql[1] == '-' ) {
      sql += strcspn(sql, "\n");
    } else if( sql[0] == '/' && sql[1] == '*' ) {
      const char *end = strstr(sql + 2, "*/");
      if( !end ) return "";
      sql = end + 2;
    } else {
      return sql;
    }
  }
}

static bool begins_with(const char *sql, const char *word) {
  size_t n = strlen(word);
  return !sqlite3_strnicmp(sql, word, (int)n) && !ner_ascii_alnum(sql[n]) && sql[n] != '_';
}

static int sqlite_failed(sqlite3 *db, const char *what, struct ner_err *err) {
  int rc = sqlite3_errcode(db);
  if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
  if( rc == SQLITE_INTERRUPT ) return ner_fail_interrupted(err);
  return ner_fail(err, NER_ERROR, "ner_query(): %s: %s", what, sqlite3_errmsg(db));
}

static int prepare(struct cursor *c, sqlite3 *db, struct ner_err *err) {
  const char *sql, *tail, *word;
  int n_columns, rc = ner_sql_name(c->arg[0], "ner_query()'s SQL", &sql, err);
  if( rc != NER_OK ) return rc;
  word = first_word(sql);
  if( !begins_with(word, "SELECT") && !begins_with(word, "WITH") && !begins_with(word, "VALUES") )
    return ner_fail(err, NER_ERROR, "ner_query() takes a SELECT of a key and a text, not '%.60s'",
                    word);
  if( sqlite3_prepare_v2(db, word, -1, &c->query, &tail) != SQLITE_OK )
    return sqlite_failed(db, "the query cannot be run", err);
  if( *first_word(tail) )
    return ner_fail(err, NER_ERROR,
                    "ner_query() takes one statement, but '%.60s' follows the first; leave it out",
                    first_word(tail));
  if( !sqlite3_stmt_readonly(c->query) )
    return ner_fail(err, NER_ERROR, "ner_query() takes a SELECT that only reads; '%.60s' writes",
                    word);
  n_columns = sqlite3_column_count(c->query);
  if( n_columns != 2 )
    return ner_fail(err, NER_ERROR,
                    "ner_query() takes a SELECT of two columns, a key and a text; this one has %d",
                    n_columns);
  return NER_OK;
}

/* ner_sql_feed over the query. */
static int feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err) {
  struct cursor *c = arg;
  int rc = sqlite3_step(c->query);
  if( rc == SQLITE_DONE ) return NER_OK;
  if( rc != SQLITE_ROW ) return sqlite_failed(sqlite3_db_handle(c->query), "the query failed", err);
  *key = sqlite3_value_dup(sqlite3_column_value(c->query, 0));
  *text = sqlite3_value_dup(sqlite3_column_value(c->query, 1));
  if( *key && *text ) return NER_OK;
  sqlite3_value_free(*key);
  sqlite3_value_free(*text);
  *key = *text = NULL;
  return ner_fail_nomem(err);
}

static int run(struct cursor *c, int plan, sqlite3_value **argv, struct ner_err *err) {
  struct ner_sql_table *table = (struct ner_sql_table *)c->base.pVtab;
  struct ner_options options;
  int n_args, rc = ner_sql_table_args(&table->base, plan, argv, c->arg, &n_args, err);
  if( rc == NER_OK ) rc = ner_sql_pushdown_read(&c->pushdown, plan, argv + n_args, err);
  if( rc == NER_OK ) rc = ner_sql_options(c->arg[2], c->arg[3], &options, err);
  if( rc == NER_OK ) rc = prepare(c, table->db, err);
  if( rc == NER_OK ) rc = ner_sql_model(c->arg[1], &c->model, err);
  if( rc != NER_OK ) return rc;
  ner_sql_stream_begin(&c->stream, table->db, c->model, &options, &c->pushdown, feed, c);
  return ner_sql_stream_next(&c->stream, err);
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
  if( ner_sql_stream_next(&c->stream, &err) == NER_OK ) return SQLITE_OK;
  return ner_sql_table_error(cursor->pVtab, &err);
}

static int eof(sqlite3_vtab_cursor *cursor) {
  return !((struct cursor *)cursor)->stream.row;
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  const struct ner_sql_row *row = c->stream.row;
  if( i == COL_KEY ) {
    sqlite3_result_value(context, row->key);
  } else if( i >= COL_SQL ) {
    if( c->arg[i - COL_SQL] ) sqlite3_result_value(context, c->arg[i - COL_SQL]);
  } else if( !c->stream.entity ) {
    if( i == COL_ERROR ) sqlite3_result_text(context, row->err.msg, -1, SQLITE_TRANSIENT);
  } else if( i != COL_ERROR ) {
    ner_sql_result_entity(context, row->utf8, c->stream.entity,
                          (enum ner_sql_field)(i - COL_ENTITY));
  }
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out) {
  *out = ((struct cursor *)cursor)->stream.n_given;
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

int ner_sql_register_query(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
