/*
** ner_query.c - the table-valued function ner_query(): the entities of whole tables, at full speed.
**
**     SELECT q.key, q.entity, q.label
**     FROM ner_query('SELECT rowid, body FROM docs WHERE lang = ''en''') AS q;
**
** The SQL is one SELECT of two columns, a key and a text, that only reads. It runs on the same
** connection and is read up to two batches ahead (sql/stream.h), so that memory is bounded
** whatever the table's size; the rows come in its order. When it fails half way, the rows before
** the failure are given first. Because it runs SQL text it is for top-level SQL only: not for
** views or triggers.
*/
#include "sql/stream.h"

#include <string.h>

enum {
  QUERY_KEY,    /* the first column of the SELECT, as it is */
  QUERY_ENTITY, /* this and the next four: as in ner(), of the second column */
  QUERY_LABEL,
  QUERY_SCORE,
  QUERY_START,
  QUERY_END,
  QUERY_ERROR, /* NULL, or why this row's text could not be labelled (then the others are NULL) */
  QUERY_SQL,   /* hidden: the arguments */
  QUERY_MODEL,
  QUERY_AGGREGATION,
  QUERY_THRESHOLD,
};
static const char query_schema[] =
    "CREATE TABLE x(key, entity TEXT, label TEXT, score REAL, start INTEGER, \"end\" INTEGER,"
    " error TEXT, sql BLOB HIDDEN, model BLOB HIDDEN, aggregation BLOB HIDDEN,"
    " threshold BLOB HIDDEN)";

struct query_cursor {
  struct ner_sql_cursor base;
  struct ner_model *model; /* owns the labels */
  sqlite3_stmt *statement;
  struct ner_sql_pushdown pushdown;
  struct ner_sql_stream stream;
};

static void query_plan(sqlite3_index_info *info, int *n_argv) {
  info->estimatedRows = 100000;
  ner_sql_pushdown_plan(info, "sql", QUERY_LABEL, QUERY_SCORE, n_argv);
}

static void query_clear(struct ner_sql_cursor *cursor) {
  struct query_cursor *c = (struct query_cursor *)cursor;
  ner_sql_stream_end(&c->stream);
  ner_sql_pushdown_free(&c->pushdown);
  sqlite3_finalize(c->statement);
  ner_model_unref(c->model);
}

/* ner_sql_feed over the query. */
static int query_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err) {
  struct query_cursor *c = arg;
  int rc = sqlite3_step(c->statement);
  if( rc == SQLITE_DONE ) return NER_OK;
  if( rc != SQLITE_ROW )
    return ner_sql_select_failed(sqlite3_db_handle(c->statement), "ner_query()", "the query failed",
                                 err);
  *key = sqlite3_value_dup(sqlite3_column_value(c->statement, 0));
  *text = sqlite3_value_dup(sqlite3_column_value(c->statement, 1));
  if( *key && *text ) return NER_OK;
  sqlite3_value_free(*text);
  *text = NULL;
  return ner_fail_nomem(err);
}

static int query_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct query_cursor *c = (struct query_cursor *)cursor;
  int rc = ner_sql_stream_next(&c->stream, err);
  cursor->eof = !c->stream.row;
  cursor->position = c->stream.result;
  return rc;
}

static int query_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                       struct ner_err *err) {
  struct query_cursor *c = (struct query_cursor *)cursor;
  sqlite3 *db = ner_sql_table_of(cursor)->db;
  struct ner_options options;
  const char *sql;
  int rc = ner_sql_pushdown_read(&c->pushdown, plan, rest, err);
  if( rc == NER_OK ) rc = ner_sql_name(cursor->arg[0], "ner_query()'s SQL", &sql, err);
  if( rc == NER_OK )
    rc = ner_sql_select(db, "ner_query()", sql, "a key and a text", &c->statement, err);
  if( rc == NER_OK ) rc = ner_sql_model(db, cursor->arg[1], &c->model, err);
  if( rc == NER_OK ) rc = ner_sql_options(cursor->arg[2], cursor->arg[3], &options, err);
  if( rc != NER_OK ) return rc;
  ner_sql_stream_begin(&c->stream, db, c->model, &options, &c->pushdown, 1, query_feed, c);
  return query_next(cursor, err);
}

static void query_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  const struct ner_sql_stream *s = &((struct query_cursor *)cursor)->stream;
  if( column == QUERY_KEY )
    sqlite3_result_value(context, s->key[0]);
  else if( column == QUERY_ERROR && s->error )
    sqlite3_result_text(context, s->error, -1, SQLITE_TRANSIENT);
  else if( column != QUERY_ERROR && s->entity )
    ner_sql_result_entity(context, s->row->utf8, s->entity,
                          (enum ner_sql_field)(column - QUERY_ENTITY));
}

static const struct ner_sql_shape query_shape = {
    .name = "ner_query",
    .schema = query_schema,
    .first_arg = QUERY_SQL,
    .n_args = 4,
    .direct_only = true,
    .cursor_bytes = sizeof(struct query_cursor),
    .plan = query_plan,
    .start = query_start,
    .next = query_next,
    .column = query_column,
    .clear = query_clear,
};

int ner_sql_register_query(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &query_shape);
}
