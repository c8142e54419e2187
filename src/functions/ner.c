/*
** ner.c - the table-valued function ner(): a row for each entity of a text.
**
**     SELECT entity, label, score, start, end FROM ner('Wolfgang lives in Berlin');
**     SELECT d.id, n.* FROM docs d, ner(d.body, 'mymodel', 'average', 0.9) n;
**     SELECT text, entity FROM ner WHERE text IN (SELECT body FROM docs);
**
** A call runs the model over the whole text, because an entity may reach over the windows of a
** long one. A LIMIT therefore gains nothing inside a text; between texts SQLite itself stops
** calling. text IN (...) is read whole: its texts are labelled in batches over all threads
** (sql/stream.h). Constraints on label and score are used (sql/pushdown.c), and so is ORDER BY
** start, start_byte or rowid ascending, which is the order of a text's rows.
*/
#include "sql/stream.h"

enum {
  ENTITY_ENTITY, /* the verbatim slice: substr(text, start + 1, end - start), if the text is
                 ** well-formed UTF-8 without NUL; else the slice by bytes */
  ENTITY_LABEL,  /* 'PER', 'ORG', ...: the model's label without B- and I- */
  ENTITY_SCORE,  /* 0..1 */
  ENTITY_START,  /* code points, half open; an ill-formed sequence counts as one U+FFFD */
  ENTITY_END,
  ENTITY_TEXT, /* hidden, as are all that follow: the arguments, as given */
  ENTITY_MODEL,
  ENTITY_AGGREGATION,
  ENTITY_THRESHOLD,
  ENTITY_START_BYTE, /* bytes of UTF-8, half open */
  ENTITY_END_BYTE,
};
static const char entity_schema[] =
    "CREATE TABLE x(entity TEXT, label TEXT, score REAL, start INTEGER, \"end\" INTEGER,"
    " text BLOB HIDDEN, model BLOB HIDDEN, aggregation BLOB HIDDEN, threshold BLOB HIDDEN,"
    " start_byte INTEGER HIDDEN, end_byte INTEGER HIDDEN)";

struct entity_cursor {
  struct ner_sql_cursor base;
  struct ner_model *model; /* owns the labels */
  struct ner_sql_pushdown pushdown;
  /* One text: */
  struct ner_slice text; /* inside base.arg[0] */
  struct ner_entities found;
  size_t at;
  /* Or text IN (...): */
  bool many;
  sqlite3_value **value; /* [n_values] the list's values, those before next_value given away */
  size_t n_values, cap_values, next_value;
  sqlite3_int64 row_number; /* of the stream, from 1 on */
  struct ner_sql_stream stream;
};

static bool entity_is_ordered(const sqlite3_index_info *info) {
  int column;
  if( info->nOrderBy != 1 || info->aOrderBy[0].desc ) return false;
  column = info->aOrderBy[0].iColumn;
  return column == ENTITY_START || column == ENTITY_START_BYTE || column == -1;
}

/* The constraint that the first argument is taken from, -1: none. */
static int entity_text_constraint(const sqlite3_index_info *info) {
  for( int i = 0; i < info->nConstraint; i++ )
    if( (info->idxNum & 1) && info->aConstraintUsage[i].argvIndex == 1 ) return i;
  return -1;
}

static void entity_plan(sqlite3_index_info *info, int *n_argv) {
  int text = entity_text_constraint(info);
  bool many = text >= 0 && sqlite3_vtab_in(info, text, 1);
  if( many ) info->estimatedRows = 1000;
  ner_sql_pushdown_plan(info, many ? "text IN" : "text=", ENTITY_LABEL, ENTITY_SCORE, n_argv);
  if( many ) info->idxNum |= NER_SQL_PLAN_IN;
  /* Positions and rowids start anew with each text. */
  info->orderByConsumed = !many && entity_is_ordered(info);
}

static void entity_clear(struct ner_sql_cursor *cursor) {
  struct entity_cursor *c = (struct entity_cursor *)cursor;
  ner_sql_stream_end(&c->stream);
  for( size_t i = c->next_value; i < c->n_values; i++ ) sqlite3_value_free(c->value[i]);
  NER_FREE(c->value);
  ner_entities_free(&c->found);
  ner_sql_pushdown_free(&c->pushdown);
  ner_model_unref(c->model);
}

/* The list can only be read inside xFilter, so its values are copied first. */
static int entity_read_list(struct entity_cursor *c, sqlite3 *db, sqlite3_value *list,
                            struct ner_err *err) {
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

/* ner_sql_feed over the list's values. */
static int entity_feed(void *arg, sqlite3_value **key, sqlite3_value **text, struct ner_err *err) {
  struct entity_cursor *c = arg;
  *text = c->next_value < c->n_values ? c->value[c->next_value++] : NULL;
  return NER_OK;
}

/* One text: the next entity that matches, c->at included. */
static int entity_settle_one(struct entity_cursor *c) {
  while( c->at < c->found.n && !ner_sql_pushdown_matches(&c->pushdown, &c->found.entity[c->at]) )
    c->at++;
  c->base.position = (sqlite3_int64)c->at;
  c->base.eof = c->at >= c->found.n;
  return NER_OK;
}

static int entity_next_of_many(struct entity_cursor *c, struct ner_err *err) {
  const struct ner_sql_stream *s = &c->stream;
  int rc = ner_sql_stream_next(&c->stream, err);
  if( rc != NER_OK ) return rc;
  c->base.eof = !s->row;
  if( !s->row ) return NER_OK;
  if( s->error ) return ner_fail(err, NER_ERROR, "%s", s->error);
  c->base.item = s->row->text;
  c->base.position = s->row_result;
  if( c->row_number != s->row_number + 1 ) c->base.call_known = false;
  c->row_number = s->row_number + 1;
  return NER_OK;
}

static int entity_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct entity_cursor *c = (struct entity_cursor *)cursor;
  if( c->many ) return entity_next_of_many(c, err);
  c->at++;
  return entity_settle_one(c);
}

static int entity_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                        struct ner_err *err) {
  struct entity_cursor *c = (struct entity_cursor *)cursor;
  struct ner_sql_table *table = ner_sql_table_of(cursor);
  struct ner_options options;
  int rc = ner_sql_pushdown_read(&c->pushdown, plan, rest, err);
  if( rc == NER_OK ) rc = ner_sql_options(cursor->arg[2], cursor->arg[3], &options, err);
  c->many = (plan & NER_SQL_PLAN_IN) != 0;
  /* NULL has no entities, whatever the model: none is opened for it. */
  cursor->eof = !c->many && ner_sql_is_null(cursor->arg[0]);
  if( rc != NER_OK || cursor->eof ) return rc;
  rc = ner_sql_model(table->db, cursor->arg[1], &c->model, err);
  if( rc == NER_OK && c->many ) rc = entity_read_list(c, table->db, cursor->list, err);
  if( rc != NER_OK ) return rc;
  cursor->eof = c->many && c->n_values == 0;
  if( cursor->eof ) return NER_OK;
  if( !c->many ) rc = ner_sql_text(cursor->arg[0], "the text", &c->text, err);
  if( rc != NER_OK ) return rc;
  if( c->many ) {
    ner_sql_stream_begin(&c->stream, table->db, c->model, &options, &c->pushdown, 0, entity_feed,
                         c);
    return entity_next_of_many(c, err);
  }
  if( ner_sql_pushdown_possible(&c->pushdown, c->model) )
    rc = ner_sql_extract(table->db, table->cache, c->model, c->text, &options, &c->found, err);
  return rc == NER_OK ? entity_settle_one(c) : rc;
}

static void entity_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  struct entity_cursor *c = (struct entity_cursor *)cursor;
  const struct ner_entity *e = c->many ? c->stream.entity : &c->found.entity[c->at];
  switch( column ) {
  case ENTITY_START_BYTE: sqlite3_result_int64(context, e->start_byte); break;
  case ENTITY_END_BYTE: sqlite3_result_int64(context, e->end_byte); break;
  default:
    ner_sql_result_entity(context, c->many ? c->stream.row->utf8 : c->text, e,
                          (enum ner_sql_field)column);
  }
}

static const struct ner_sql_shape entity_shape = {
    .name = "ner",
    .schema = entity_schema,
    .first_arg = ENTITY_TEXT,
    .n_args = 4,
    .innocuous = true,
    .cursor_bytes = sizeof(struct entity_cursor),
    .plan = entity_plan,
    .start = entity_start,
    .next = entity_next,
    .column = entity_column,
    .clear = entity_clear,
};

int ner_sql_register_ner(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &entity_shape);
}
