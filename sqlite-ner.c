/*
** sqlite-ner.c - the loadable extension's entry points, and what they register.
**
**     .load build/ner                        everything
**     .load build/ner sqlite3_ner_safe_init  inference only: nothing that reads or writes a file or
**                                            runs SQL text, for hosts that run the SQL of others
**
** The library stays loaded until the process ends, because its threads and models outlive the
** connection. Compiled with -DSQLITE_CORE it is called directly, or through
** sqlite3_auto_extension().
*/
#include "sqlite3ext.h"
#pragma GCC visibility push(hidden)
SQLITE_EXTENSION_INIT1
#pragma GCC visibility pop
#include "sql/cache.h"

#define ENTRY_OLDEST_SQLITE 3038000 /* sqlite3_vtab_in() */

/* The library calls SQLite's functions through one table, which SQLite passes to the entry point. A
** process can hold two copies of SQLite (a program's own, and the system's): mixing them would
** corrupt memory, so the second is refused. */
static int entry_take_api(char **message, const sqlite3_api_routines *api) {
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
  if( sqlite3_libversion_number() < ENTRY_OLDEST_SQLITE ) {
    *message = sqlite3_mprintf("ner: this is SQLite %s; version 3.38.0 or newer is needed",
                               sqlite3_libversion());
    return SQLITE_ERROR;
  }
  return SQLITE_OK;
}

typedef int entry_function(sqlite3 *db, struct ner_sql_cache *cache);

/* What both entry points register, and what only sqlite3_ner_init does. Each list begins with a
** scalar function, see entry_register_again(). */
static entry_function *const entry_infer[] = {
    ner_sql_register_version, ner_sql_register_ner,  ner_sql_register_tokens,
    ner_sql_register_words,   ner_sql_register_json, ner_sql_register_redact,
    ner_sql_register_html,
};
static entry_function *const entry_direct[] = {
    ner_sql_register_load,   ner_sql_register_convert, ner_sql_register_threads,
    ner_sql_register_debug,  ner_sql_register_models,  ner_sql_register_query,
    ner_sql_register_enrich, ner_sql_register_train,
};
#define ENTRY_N_INFER  (int)(sizeof entry_infer / sizeof *entry_infer)
#define ENTRY_N_DIRECT (int)(sizeof entry_direct / sizeof *entry_direct)

static int entry_register_list(sqlite3 *db, struct ner_sql_cache *cache,
                               entry_function *const *list, int n) {
  int rc = SQLITE_OK;
  for( int i = 0; i < n && rc == SQLITE_OK; i++ ) rc = list[i](db, cache);
  return rc;
}

/* SQLite replaces no function while a statement runs, and SELECT load_extension(...) is one: then
** the first function of a list is SQLITE_BUSY if the list is registered. If ner_version() is ours
** the first list is; then the second is, or is added. */
static int entry_register_again(sqlite3 *db, char **message, bool safe) {
  struct ner_sql_cache *cache = ner_sql_registered(db);
  int rc = SQLITE_OK;
  if( !cache ) {
    *message = sqlite3_mprintf("ner: another copy of this library, or another function called"
                               " ner_version(), is registered on this connection; load one of them,"
                               " or load this one when no statement is running");
    return SQLITE_ERROR;
  }
  if( !safe ) rc = entry_register_list(db, cache, entry_direct, ENTRY_N_DIRECT);
  return rc == SQLITE_BUSY ? SQLITE_OK : rc;
}

static int entry_register_all(sqlite3 *db, char **message, bool safe) {
  struct ner_sql_cache *cache = ner_sql_cache_new();
  int rc = cache ? entry_register_list(db, cache, entry_infer, ENTRY_N_INFER) : SQLITE_NOMEM;
  if( rc == SQLITE_OK && !safe ) rc = entry_register_list(db, cache, entry_direct, ENTRY_N_DIRECT);
  if( cache ) ner_sql_cache_unref(cache);
  if( rc == SQLITE_BUSY ) rc = entry_register_again(db, message, safe);
  if( rc != SQLITE_OK ) return rc;
#ifdef SQLITE_CORE
  return SQLITE_OK; /* sqlite3_auto_extension() takes anything else for a failure */
#else
  return SQLITE_OK_LOAD_PERMANENTLY;
#endif
}

int sqlite3_ner_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = entry_take_api(message, api);
  return rc == SQLITE_OK ? entry_register_all(db, message, false) : rc;
}

int sqlite3_ner_safe_init(sqlite3 *db, char **message, const sqlite3_api_routines *api) {
  int rc = entry_take_api(message, api);
  return rc == SQLITE_OK ? entry_register_all(db, message, true) : rc;
}
