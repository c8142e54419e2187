/*
** ner_threads.c - the scalar function ner_threads(): the number of threads used for inference.
**
**     ner_threads()     the number
**     ner_threads(n)    the number after setting it to n
*/
#include "sql/sql.h"

#define THREADS_MAX 1024

static void threads_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_err err = {0};
  sqlite3_int64 n = 0; /* only reads it */
  int rc = n_args > 0 ? ner_sql_check_direct(context, "ner_threads", &err) : NER_OK;
  if( rc == NER_OK ) rc = ner_pool_check(&err);
  if( rc == NER_OK && n_args > 0 ) {
    n = sqlite3_value_int64(arg[0]);
    if( sqlite3_value_numeric_type(arg[0]) != SQLITE_INTEGER || n < 1 || n > THREADS_MAX )
      rc = ner_fail(&err, NER_ERROR, "ner_threads takes a whole number from 1 to %d", THREADS_MAX);
  }
  if( rc == NER_OK )
    sqlite3_result_int(context, ner_threads((int)n));
  else
    ner_sql_result_error(context, &err);
}

int ner_sql_register_threads(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_threads", 0, NER_SQL_PLAIN, threads_function},
      {"ner_threads", 1, NER_SQL_DIRECT, threads_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
