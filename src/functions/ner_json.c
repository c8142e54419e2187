/*
** ner_json.c - the scalar functions that anybody may call:
**
**     ner_json(text [, model])
*'[{"entity":"Berlin","label":"LOC","score":0.99,"start":9,"end":15}]'
**     ner_version()              '0.1.0'
**
** ner_json gives what ner() gives, as one value with SQLite's JSON subtype.
*/
#include "sql/sql.h"

#include <string.h>

static void json_of_entities(sqlite3_context *context, struct ner_slice text,
                             const struct ner_entities *found) {
  sqlite3_str *json = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendchar(json, 1, '[');
  for( size_t i = 0; i < found->n; i++ ) {
    const struct ner_entity *e = &found->entity[i];
    sqlite3_str_appendall(json, i ? ",{\"entity\":" : "{\"entity\":");
    ner_sql_json_string(json, text.utf8 + e->start_byte, e->end_byte - e->start_byte);
    sqlite3_str_appendall(json, ",\"label\":");
    ner_sql_json_string(json, e->label, strlen(e->label));
    sqlite3_str_appendall(json, ",\"score\":");
    ner_sql_json_number(json, e->score);
    sqlite3_str_appendf(json, ",\"start\":%u,\"end\":%u}", e->start, e->end);
  }
  sqlite3_str_appendchar(json, 1, ']');
  ner_sql_result_json(context, json);
}

static void json_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_options options = {0};
  struct ner_entities found = {0};
  struct ner_model *model = NULL;
  struct ner_slice text;
  struct ner_err err = {0};
  int rc;
  if( ner_sql_is_null(arg[0]) ) return;
  rc = ner_sql_text(arg[0], "the text", &text, &err);
  if( rc == NER_OK ) rc = ner_sql_model(sqlite3_context_db_handle(context), n_args > 1 ? arg[1] : NULL, &model, &err);
  if( rc == NER_OK ) options = ner_model_options(model);
  if( rc == NER_OK )
    rc = ner_sql_extract(sqlite3_context_db_handle(context), sqlite3_user_data(context), model, text, &options, &found, &err);
  if( rc == NER_OK )
    json_of_entities(context, text, &found);
  else
    ner_sql_result_error(context, &err);
  ner_entities_free(&found);
  ner_model_unref(model);
}

static void version_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  sqlite3_result_text(context, NER_VERSION, -1, SQLITE_STATIC);
}

int ner_sql_register_json(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_json", 1, NER_SQL_INFER | SQLITE_RESULT_SUBTYPE, json_function},
      {"ner_json", 2, NER_SQL_INFER | SQLITE_RESULT_SUBTYPE, json_function},
      {"ner_version", 0, NER_SQL_INFER | SQLITE_DETERMINISTIC, version_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
