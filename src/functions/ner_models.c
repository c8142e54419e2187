/*
** ner_models.c - the table ner_models: the models of this process.
**
**     SELECT name, architecture, precision, bytes FROM ner_models WHERE is_default;
**
** Asking opens the default model if that has not happened yet, so that there is always something
** to see. If it cannot be opened, its row has the reason in `error` and NULL in the columns that
** only the model knows. Paths are the reason why no schema may read the table; the safe entry
** point does not register it.
*/
#include "sql/sql.h"

#include <string.h>
#include "engine/registry.h"

enum {
  MODELS_NAME,
  MODELS_PATH,
  MODELS_ARCHITECTURE,
  MODELS_LAYERS,
  MODELS_HIDDEN,
  MODELS_HEADS,
  MODELS_PARAMETERS,
  MODELS_PRECISION,
  MODELS_BYTES,  /* of memory that the weights take */
  MODELS_LABELS, /* a JSON array */
  MODELS_SCHEME, /* how they mark entities: BIO, BIOES ... */
  MODELS_IS_DEFAULT,
  MODELS_ERROR, /* why the model cannot be opened; NULL: it is open */
};
static const char models_schema[] =
    "CREATE TABLE x(name TEXT, path TEXT, architecture TEXT, layers INTEGER, \"hidden\" INTEGER,"
    " heads INTEGER, parameters INTEGER, precision TEXT, bytes INTEGER, labels TEXT,"
    " scheme TEXT, is_default INTEGER, error TEXT)";

struct models_cursor {
  struct ner_sql_cursor base;
  struct ner_registry_entry *list; /* [n] */
  size_t n, at;
  struct ner_err error; /* why the default model cannot be opened: one row more, after the list's */
  char unopened[NER_MODEL_NAME_BYTES]; /* its name */
};

static void models_clear(struct ner_sql_cursor *cursor) {
  struct models_cursor *c = (struct models_cursor *)cursor;
  ner_registry_list_free(c->list, c->n);
}

static const char *models_name(const struct models_cursor *c) {
  return c->at < c->n ? c->list[c->at].name : c->unopened;
}

/* The table has no arguments: a row is known by its model's name. */
static int models_settle(struct models_cursor *c) {
  const char *name = models_name(c);
  c->base.eof = c->at >= c->n + (c->error.code != NER_OK);
  if( !c->base.eof ) c->base.position = (sqlite3_int64)(ner_sql_hash(name, strlen(name)) >> 2);
  return NER_OK;
}

static int models_start(struct ner_sql_cursor *cursor, int plan, sqlite3_value **rest,
                        struct ner_err *err) {
  struct models_cursor *c = (struct models_cursor *)cursor;
  struct ner_model *model = NULL;
  int rc = ner_sql_model(ner_sql_table_of(cursor)->db, NULL, &model, &c->error);
  ner_model_unref(model);
  if( rc == NER_NOMEM ) return ner_fail_nomem(err);
  if( rc == NER_INTERRUPT ) return ner_fail_interrupted(err);
  ner_registry_default(c->unopened);
  rc = ner_registry_list(&c->list, &c->n, err);
  return rc == NER_OK ? models_settle(c) : rc;
}

static int models_next(struct ner_sql_cursor *cursor, struct ner_err *err) {
  struct models_cursor *c = (struct models_cursor *)cursor;
  c->at++;
  return models_settle(c);
}

/* The default model that cannot be opened. */
static void models_column_unopened(const struct models_cursor *c, sqlite3_context *context,
                                   int column) {
  char name[NER_MODEL_NAME_BYTES];
  switch( column ) {
  case MODELS_NAME: sqlite3_result_text(context, c->unopened, -1, SQLITE_TRANSIENT); break;
  case MODELS_PATH:
    sqlite3_result_text(context, ner_registry_default(name), -1, SQLITE_TRANSIENT);
    break;
  case MODELS_IS_DEFAULT: sqlite3_result_int(context, 1); break;
  case MODELS_ERROR: sqlite3_result_text(context, c->error.msg, -1, SQLITE_TRANSIENT); break;
  }
}

static void models_column(struct ner_sql_cursor *cursor, sqlite3_context *context, int column) {
  struct models_cursor *c = (struct models_cursor *)cursor;
  const struct ner_registry_entry *entry = &c->list[c->at];
  const struct ner_config *config;
  const struct ner_model *model;
  const char *text = NULL;
  sqlite3_int64 number = 0;
  if( c->at >= c->n ) {
    models_column_unopened(c, context, column);
    return;
  }
  model = entry->model;
  config = &model->config;
  switch( column ) {
  case MODELS_NAME: text = entry->name; break;
  case MODELS_PATH: text = model->path; break;
  case MODELS_ARCHITECTURE: text = ner_architecture_name(config->architecture); break;
  case MODELS_PRECISION: text = ner_precision_name(model->precision); break;
  case MODELS_LABELS: text = model->labels_json; break;
  case MODELS_SCHEME: text = model->scheme; break;
  case MODELS_LAYERS: number = config->layers; break;
  case MODELS_HIDDEN: number = config->hidden; break;
  case MODELS_HEADS: number = config->heads; break;
  case MODELS_PARAMETERS: number = model->parameters; break;
  case MODELS_BYTES: number = (sqlite3_int64)model->n_bytes; break;
  case MODELS_IS_DEFAULT: number = entry->is_default; break;
  case MODELS_ERROR: return;
  }
  if( text )
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
  else
    sqlite3_result_int64(context, number);
  if( column == MODELS_LABELS ) sqlite3_result_subtype(context, NER_SQL_JSON_SUBTYPE);
}

static const struct ner_sql_shape models_shape = {
    .name = "ner_models",
    .schema = models_schema,
    .first_arg = MODELS_ERROR + 1,
    .direct_only = true,
    .cursor_bytes = sizeof(struct models_cursor),
    .start = models_start,
    .next = models_next,
    .column = models_column,
    .clear = models_clear,
};

int ner_sql_register_models(sqlite3 *db, struct ner_sql_cache *cache) {
  return ner_sql_table_register(db, cache, &models_shape);
}
