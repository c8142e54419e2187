/*
** ner_version.c - the scalar function ner_version(): '0.2.0', or '0.2.0+1a2b3c4' where the build
** knows the commit of the source.
*/
#include "sql/sql.h"

/* Set by the last call on this thread: the client data of the function that was called. */
static _Thread_local struct ner_sql_cache *version_cache;

static void version_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  version_cache = sqlite3_user_data(context);
  sqlite3_result_text(context, ner_version(), -1, SQLITE_STATIC);
}

struct ner_sql_cache *ner_sql_registered(sqlite3 *db) {
  sqlite3_stmt *statement = NULL;
  version_cache = NULL;
  if( sqlite3_prepare_v2(db, "SELECT ner_version()", -1, &statement, NULL) == SQLITE_OK )
    sqlite3_step(statement);
  sqlite3_finalize(statement);
  return version_cache;
}

int ner_sql_register_version(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_version", 0, NER_SQL_INFER | SQLITE_DETERMINISTIC, version_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
