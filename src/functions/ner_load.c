/*
** ner_load.c - the scalar functions that name models, for the connection's owner:
**
**     ner_load(name, path [, precision])  loads a model and gives it a name
**     ner_unload(name)                    removes it; running queries finish with it
**     ner_default(name)                   makes it the model that is used where none is named
**
** Each returns the name.
*/
#include "sql/sql.h"

#include "engine/registry.h"

static void load_finish(sqlite3_context *context, int rc, sqlite3_value *name,
                        const struct ner_err *err) {
  if( rc == NER_OK )
    sqlite3_result_value(context, name);
  else
    ner_sql_result_error(context, err);
}

static void load_load(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  enum ner_precision precision;
  const char *name, *path;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_load", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[1], "the path", &path, &err);
  if( rc == NER_OK ) rc = ner_sql_precision(n_args > 2 ? arg[2] : NULL, &precision, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_registry_load(name, path, precision, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  load_finish(context, rc, arg[0], &err);
}

static void load_unload(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  const char *name;
  struct ner_err err = {0};
  int rc = ner_sql_check_direct(context, "ner_unload", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  if( rc == NER_OK ) rc = ner_registry_unload(name, &err);
  load_finish(context, rc, arg[0], &err);
}

static void load_default(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  const char *name;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_default", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the model's name", &name, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_registry_set_default(name, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  load_finish(context, rc, arg[0], &err);
}

int ner_sql_register_load(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_load", 2, NER_SQL_DIRECT, load_load},
      {"ner_load", 3, NER_SQL_DIRECT, load_load},
      {"ner_unload", 1, NER_SQL_DIRECT, load_unload},
      {"ner_default", 1, NER_SQL_DIRECT, load_default},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
