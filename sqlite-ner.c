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

/* What both entry points register, ner_version() first, and what only sqlite3_ner_init does. */
static register_function *const infer[] = {
    ner_sql_register_version, ner_sql_register_ner,  ner_sql_register_tokens,
    ner_sql_register_words,   ner_sql_register_json, ner_sql_register_redact,
    ner_sql_register_html,
};
static register_function *const direct[] = {
    ner_sql_register_models, ner_sql_register_query,   ner_sql_register_enrich,
    ner_sql_register_load,   ner_sql_register_convert, ner_sql_register_threads,
    ner_sql_register_debug,
};
#define N_INFER  (int)(sizeof infer / sizeof *infer)
#define N_DIRECT (int)(sizeof direct / sizeof *direct)

static int register_list(sqlite3 *db, struct ner_sql_cache *cache, register_function *const *list,
                         int n) {
  int rc = SQLITE_OK;
  for( int i = 0; i < n && rc == SQLITE_OK; i++ ) rc = list[i](db, cache);
  return rc;
}

/* SQLite replaces no function while a statement runs, and SELECT load_extension(...) is one: then
** ner_version(), the first to be registered, is SQLITE_BUSY. If it is ours, all that it was registered
** with is there, and only what the safe entry point has left out remains. */
static int register_again(sqlite3 *db, char **message, bool safe) {
  struct ner_sql_cache *cache = ner_sql_registered(db);
  int rc;
  if( !cache ) {
    *message = sqlite3_mprintf("ner: another copy of this library, or another function called"
                               " ner_version(), is registered on this connection; load one of them,"
                               " or load this one when no statement is running");
    return SQLITE_ERROR;
  }
  if( safe || ner_sql_cache_is_full(cache) ) return SQLITE_OK;
  rc = register_list(db, cache, direct, N_DIRECT);
  if( rc == SQLITE_OK ) ner_sql_cache_set_full(cache);
  return rc;
}

static int register_all(sqlite3 *db, char **message, bool safe) {
  struct ner_sql_cache *cache = ner_sql_cache_new();
  int rc = cache ? register_list(db, cache, infer, N_INFER) : SQLITE_NOMEM;
  if( rc == SQLITE_OK && !safe ) {
    rc = register_list(db, cache, direct, N_DIRECT);
    ner_sql_cache_set_full(cache);
  }
  if( cache ) ner_sql_cache_unref(cache);
  if( rc == SQLITE_BUSY ) rc = register_again(db, message, safe);
  if( rc != SQLITE_OK ) return rc;
#ifdef SQLITE_CORE
  return SQLITE_OK; /* sqlite3_auto_extension() takes anything else for a failure */
#else
  return SQLITE_OK_LOAD_PERMANENTLY;
#endif
}

int sqlite3_ner_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = take_api(message, api);
  return rc == SQLITE_OK ? register_all(db, message, false) : rc;
}

int sqlite3_ner_safe_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = take_api(message, api);
  return rc == SQLITE_OK ? register_all(db, message, true) : rc;
}
