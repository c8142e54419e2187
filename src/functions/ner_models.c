/*
** ner_models.c - the table ner_models: the models of this process.
**
**     SELECT name, architecture, precision, bytes FROM ner_models WHERE is_default;
**
** Asking opens the default model if nobody has yet, so that there is always
** something to see. `labels` is a JSON array. Not part of the safe entry point: paths
** are nobody's business there.
*/
#include "sql/sql.h"

#include "engine/registry.h"

enum {
  COL_NAME,
  COL_PATH,
  COL_ARCHITECTURE,
  COL_LAYERS,
  COL_HIDDEN,
  COL_HEADS,
  COL_PARAMETERS,
  COL_PRECISION,
  COL_BYTES,
  COL_LABELS,
  COL_IS_DEFAULT,
};

static const struct ner_sql_shape shape = {
    .name = "ner_models",
    .schema = "CREATE TABLE x(name TEXT, path TEXT, architecture TEXT, layers INTEGER,"
              " \"hidden\" INTEGER, heads INTEGER, parameters INTEGER, precision TEXT,"
              " bytes INTEGER, labels TEXT, is_default INTEGER)",
};

struct cursor {
  sqlite3_vtab_cursor base;
  struct ner_registry_entry *list; /* [n] */
  size_t n, at;
};

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  info->estimatedCost = 10;
  info->estimatedRows = 3;
  return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  struct cursor *c = ner_calloc(1, sizeof *c);
  if( !c ) return SQLITE_NOMEM;
  *out = &c->base;
  return SQLITE_OK;
}

static void reset(struct cursor *c) {
  ner_registry_list_free(c->list, c->n);
  c->list = NULL;
  c->n = c->at = 0;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  reset(c);
  NER_FREE(c);
  return SQLITE_OK;
}

static int filter(sqlite3_vtab_cursor *cursor, int plan, const char *unused, int argc,
                  sqlite3_value **argv) {
  struct cursor *c = (struct cursor *)cursor;
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  int rc = ner_registry_get(NULL, NULL, &model, &err);
  ner_model_unref(model);
  reset(c);
  if( rc == NER_OK ) rc = ner_registry_list(&c->list, &c->n, &err);
  return rc == NER_OK ? SQLITE_OK : ner_sql_table_error(cursor->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *cursor) {
  ((struct cursor *)cursor)->at++;
  return SQLITE_OK;
}

static int eof(sqlite3_vtab_cursor *cursor) {
  struct cursor *c = (struct cursor *)cursor;
  return c->at >= c->n;
}

static int column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int i) {
  struct cursor *c = (struct cursor *)cursor;
  const struct ner_registry_entry *entry = &c->list[c->at];
  const struct ner_model *model = entry->model;
  const struct ner_config *config = &model->config;
  const char *text = NULL;
  sqlite3_int64 number = 0;
  switch( i ) {
  case COL_NAME: text = entry->name; break;
  case COL_PATH: text = model->path; break;
  case COL_ARCHITECTURE: text = ner_architecture_name(config->architecture); break;
  case COL_PRECISION: text = ner_precision_name(model->precision); break;
  case COL_LABELS: text = model->labels_json; break;
  case COL_LAYERS: number = config->layers; break;
  case COL_HIDDEN: number = config->hidden; break;
  case COL_HEADS: number = config->heads; break;
  case COL_PARAMETERS: number = model->parameters; break;
  case COL_BYTES: number = (sqlite3_int64)model->n_bytes; break;
  case COL_IS_DEFAULT: number = entry->is_default; break;
  }
  if( text )
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
  else
    sqlite3_result_int64(context, number);
  if( i == COL_LABELS ) sqlite3_result_subtype(context, NER_SQL_JSON_SUBTYPE);
  return SQLITE_OK;
}

static int rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out) {
  *out = (sqlite3_int64)((struct cursor *)cursor)->at + 1;
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

int ner_sql_register_models(sqlite3 *db) {
  return ner_sql_table_register(db, &module, &shape);
}
