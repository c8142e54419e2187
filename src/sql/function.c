/*
** function.c - registers scalar functions, and turns our errors into SQL errors; see sql/sql.h.
*/
#include "sql/cache.h"

int ner_sql_register(sqlite3 *db, struct ner_sql_cache *cache,
                     const struct ner_sql_function *functions, size_t n) {
  int rc = SQLITE_OK;
  /* SQLite gives a function's reference back when the function goes, and also when this call
  ** fails. */
  for( size_t i = 0; i < n && rc == SQLITE_OK; i++ )
    rc = sqlite3_create_function_v2(db, functions[i].name, functions[i].n_args, functions[i].flags,
                                    ner_sql_cache_ref(cache), functions[i].call, NULL, NULL,
                                    ner_sql_cache_unref);
  return rc;
}

static int function_error_code(const struct ner_err *err) {
  switch( err->code ) {
  case NER_NOMEM: return SQLITE_NOMEM;
  case NER_INTERRUPT: return SQLITE_INTERRUPT;
  default: return SQLITE_ERROR;
  }
}

void ner_sql_result_error(sqlite3_context *context, const struct ner_err *err) {
  int code = function_error_code(err);
  char *message;
  /* For the other two codes SQLite has messages of its own. */
  if( code == SQLITE_NOMEM ) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if( code == SQLITE_ERROR ) {
    message = sqlite3_mprintf("ner: %s", err->msg);
    if( !message ) {
      sqlite3_result_error_nomem(context);
      return;
    }
    sqlite3_result_error(context, message, -1);
    sqlite3_free(message);
  }
  sqlite3_result_error_code(context, code);
}

void ner_sql_result_str(sqlite3_context *context, sqlite3_str *str) {
  int rc = sqlite3_str_errcode(str), n = sqlite3_str_length(str);
  char *text = sqlite3_str_finish(str);
  if( rc == SQLITE_TOOBIG ) {
    sqlite3_free(text);
    sqlite3_result_error_toobig(context);
  } else if( rc != SQLITE_OK ) {
    sqlite3_free(text);
    sqlite3_result_error_nomem(context);
  } else if( !text ) { /* sqlite3_str gives NULL for "" */
    sqlite3_result_text(context, "", 0, SQLITE_STATIC);
  } else {
    sqlite3_result_text64(context, text, (sqlite3_uint64)n, sqlite3_free, SQLITE_UTF8);
  }
}

int ner_sql_table_error(sqlite3_vtab *table, const struct ner_err *err) {
  int code = function_error_code(err);
  sqlite3_free(table->zErrMsg);
  table->zErrMsg = NULL;
  if( code == SQLITE_ERROR ) {
    table->zErrMsg = sqlite3_mprintf("ner: %s", err->msg);
    if( !table->zErrMsg ) return SQLITE_NOMEM;
  }
  return code;
}
