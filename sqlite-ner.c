/*
** sqlite-ner.c - the loadable extension's entry points, and what they register.
**
**     .load build/ner                        everything
**     .load build/ner sqlite3_ner_safe_init  inference only: nothing that reads or writes a file
**                                            or runs SQL text, for hosts that run other people's
*SQL
**
** The library stays loaded until the process ends, since its threads and models
** outlive the connection. Compiled with -DSQLITE_CORE it is called directly, or
** through sqlite3_auto_extension().
*/
#include "sqlite3ext.h"
#pragma GCC visibility push(hidden)
SQLITE_EXTENSION_INIT1
#pragma GCC visibility pop
#include "sql/cache.h"

#define OLDEST_SQLITE 3038000 /* sqlite3_vtab_in() */

/* Functions of SQLite are called through the table it hands us, one for the whole
** library. A process can hold two copies of SQLite (a program with its own, and
** the system's): mixing them would corrupt memory, so the second is refused. */
static int take_api(char **message, const sqlite3_api_routines *api) {
#ifndef SQLITE_CORE
  const sqlite3_api_routines *taken = NULL;
  if( !__atomic_compare_exchange_n(&sqlite3_api, &taken, api, 0, __ATOMIC_ACQ_REL,
                                   __ATOMIC_ACQUIRE) &&
      taken != api ) {
    *message = api->mprintf("ner: another copy of SQLite in this process has loaded this library; "
                            "load a copy of the file under another name");
    return SQLITE_ERROR;
  }
#endif
  if( sqlite3_libversion_number() < OLDEST_SQLITE ) {
    *message = sqlite3_mprintf("ner: this is SQLite %s; version 3.38.0 or newer is needed",
                               sqlite3_libversion());
    return SQLITE_ERROR;
  }
  return SQLITE_OK;
}

typedef int register_function(sqlite3 *db, struct ner_sql_cache *cache);

/* What both entry points register, and what only sqlite3_ner_init does. */
static register_function *const infer[] = {
    ner_sql_register_ner,  ner_sql_register_tokens, ner_sql_register_words,
    ner_sql_register_json, ner_sql_register_redact,
};
static register_function *const direct[] = {
    ner_sql_register_models,
    ner_sql_register_query,
    ner_sql_register_admin,
    ner_sql_register_enrich,
};
#define N_INFER  (int)(sizeof infer / sizeof *infer)
#define N_DIRECT (int)(sizeof direct / sizeof *direct)

static int register_all(sqlite3 *db, bool safe) {
  struct ner_sql_cache *cache = ner_sql_cache_new();
  int rc = cache ? SQLITE_OK : SQLITE_NOMEM;
  for( int i = 0; i < N_INFER && rc == SQLITE_OK; i++ ) rc = infer[i](db, cache);
  for( int i = 0; i < N_DIRECT && rc == SQLITE_OK && !safe; i++ ) rc = direct[i](db, cache);
  if( cache ) ner_sql_cache_unref(cache);
  if( rc != SQLITE_OK ) return rc;
#ifdef SQLITE_CORE
  return SQLITE_OK; /* sqlite3_auto_extension() takes anything else for a failure */
#else
  return SQLITE_OK_LOAD_PERMANENTLY;
#endif
}

int sqlite3_ner_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = take_api(message, api);
  return rc == SQLITE_OK ? register_all(db, false) : rc;
}

int sqlite3_ner_safe_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = take_api(message, api);
  return rc == SQLITE_OK ? register_all(db, true) : rc;
}
