/*
** ner_json.c - the scalar function ner_json(): what ner() gives, as one JSON value.
**
**     ner_json(text [, model])
**         '[{"entity":"Berlin","label":"LOC","score":0.99,"start":9,"end":15}]'
**
** The result has SQLite's JSON subtype.
*/
#include "sql/sql.h"

#include <string.h>

static void json_result(sqlite3_context *context, const struct ner_sql_found *found) {
  sqlite3_str *json = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendchar(json, 1, '[');
  for( size_t i = 0; i < found->entities.n; i++ ) {
    const struct ner_entity *e = &found->entities.entity[i];
    sqlite3_str_appendall(json, i ? ",{\"entity\":" : "{\"entity\":");
    ner_sql_json_string(json, found->text.utf8 + e->start_byte, e->end_byte - e->start_byte);
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
  struct ner_sql_found found;
  struct ner_err err = {0};
  if( ner_sql_is_null(arg[0]) ) return;
  if( ner_sql_find(context, arg[0], n_args > 1 ? arg[1] : NULL, &found, &err) == NER_OK )
    json_result(context, &found);
  else
    ner_sql_result_error(context, &err);
  ner_sql_found_free(&found);
}

int ner_sql_register_json(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_json", 1, NER_SQL_INFER | SQLITE_RESULT_SUBTYPE, json_function},
      {"ner_json", 2, NER_SQL_INFER | SQLITE_RESULT_SUBTYPE, json_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
