/*
** ner_convert.c - the scalar function ner_convert(): writes a model as one self-contained file.
**
**     ner_convert(source, target, precision)    returns the target
*/
#include "sql/sql.h"

#include "model/open.h"

static void convert_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  enum ner_precision precision;
  const char *source, *target;
  struct ner_err err = {0};
  struct ner_sql_cancel cancel;
  int rc = ner_sql_check_direct(context, "ner_convert", &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[0], "the source", &source, &err);
  if( rc == NER_OK ) rc = ner_sql_name(arg[1], "the target", &target, &err);
  if( rc == NER_OK ) rc = ner_sql_precision(arg[2], &precision, &err);
  ner_sql_cancel_open(&cancel, sqlite3_context_db_handle(context));
  if( rc == NER_OK ) rc = ner_convert_cancellable(source, target, precision, &cancel.base, &err);
  ner_sql_cancel_close(&cancel);
  if( rc == NER_OK )
    sqlite3_result_value(context, arg[1]);
  else
    ner_sql_result_error(context, &err);
}

int ner_sql_register_convert(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_convert", 3, NER_SQL_DIRECT, convert_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
