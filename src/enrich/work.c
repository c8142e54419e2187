/*
** work.c - the connection on which ner_enrich() works, and its transactions.
**
** While a SELECT of a connection runs, SQLite keeps every read lock that any of its statements
** takes until that SELECT has ended. Committing batch after batch from inside the
** host's SELECT would hence shut out all other writers for as long as the enrichment lasts
** (with a rollback journal), or fail at the first thing another one writes (with WAL). So the
** work is done on a second connection to the same file, "beside" the host's: between batches it
** holds no lock at all.
**
** That is not possible inside a transaction of the host's, with temporary and in-memory databases,
** under an exclusive locking mode, or where only the host's connection can read
** the file (encryption, collations of its own). Then the host's connection itself is used, inside
** the host's transaction through savepoints.
*/
#include "enrich/enrich.h"

#include <string.h>

#define PATIENCE_MS 10000 /* with locks of others, where the host has set no busy_timeout */

static void stop_work(struct ner_enrich_work *work) {
  sqlite3_finalize(work->abandon);
  if( work->beside ) sqlite3_close(work->db);
  sqlite3_free(work->schema);
  work->abandon = NULL;
  work->db = NULL;
  work->schema = NULL;
  work->beside = work->lost = false;
}

void ner_enrich_work_close(struct ner_enrich_work *work) {
  stop_work(work);
  sqlite3_free(work->host_schema);
  memset(work, 0, sizeof *work);
}

int ner_enrich_fail(struct ner_enrich_work *work, int sqlite_code, struct ner_err *err) {
  switch( sqlite_code & 0xFF ) {
  case SQLITE_NOMEM: return ner_fail_nomem(err);
  case SQLITE_INTERRUPT: return ner_fail_interrupted(err);
  case SQLITE_BUSY:
    if( sqlite3_extended_errcode(work->db) == SQLITE_BUSY_SNAPSHOT )
      return ner_fail(err, NER_ERROR,
                      "another program wrote to the database while this connection was reading it;"
                      " end the connection's other statements and run ner_enrich again, it goes on"
                      " where it was");
    return ner_fail(err, NER_ERROR,
                    "the database was locked by somebody else for more than %d ms; run"
                    " ner_enrich again, it goes on where it was",
                    work->patience_ms);
  case SQLITE_FULL:
    return ner_fail(err, NER_ERROR,
                    "the database or its disk is full; make room and run ner_enrich again, it goes"
                    " on where it was");
  case SQLITE_READONLY:
    return ner_fail(err, NER_ERROR,
                    "the database cannot be written to (%s); ner_enrich needs to write",
                    sqlite3_errmsg(work->db));
  default: return ner_fail(err, NER_ERROR, "%s", sqlite3_errmsg(work->db));
  }
}

/* ---- statements ---- */

/* Sleeps a little before somebody's lock is tried again; false when that has lasted too long. */
static bool wait_for_lock(struct ner_enrich_work *work, int rc, int *waited_ms) {
  int ms = *waited_ms < 20 ? 2 : *waited_ms < 200 ? 10 : 50;
  if( (rc & 0xFF) != SQLITE_BUSY || rc == SQLITE_BUSY_SNAPSHOT ) return false;
  if( work->sqlite_waits || *waited_ms >= work->patience_ms ) return false;
  if( ms > work->patience_ms - *waited_ms ) ms = work->patience_ms - *waited_ms;
  *waited_ms += sqlite3_sleep(ms); /* a whole second where it was built without usleep() */
  return true;
}

static void note_binding(struct ner_enrich_work *work, int rc) {
  if( work->unbound == SQLITE_OK ) work->unbound = rc;
}

void ner_enrich_bind_text(struct ner_enrich_work *work, sqlite3_stmt *statement, int at,
                          const char *utf8, size_t n_bytes) {
  note_binding(work, sqlite3_bind_text64(statement, at, utf8, n_bytes, SQLITE_STATIC, SQLITE_UTF8));
}

void ner_enrich_bind_value(struct ner_enrich_work *work, sqlite3_stmt *statement, int at,
                           const sqlite3_value *value) {
  note_binding(work, sqlite3_bind_value(statement, at, value));
}

int ner_enrich_step(struct ner_enrich_work *work, sqlite3_stmt *statement, bool *row,
                    struct ner_err *err) {
  int rc = work->unbound, waited_ms = 0;
  work->unbound = SQLITE_OK;
  *row = false;
  if( rc != SQLITE_OK ) return ner_enrich_fail(work, rc, err);
  for( ;; ) {
    rc = sqlite3_step(statement);
    *row = rc == SQLITE_ROW;
    if( *row ) return NER_OK;
    if( rc == SQLITE_DONE ) {
      sqlite3_reset(statement);
      return NER_OK;
    }
    if( (rc & 0xFF) == SQLITE_BUSY ) rc = sqlite3_extended_errcode(work->db);
    if( (rc & 0xFF) == SQLITE_BUSY && ner_cancelled(&work->cancel.base) ) rc = SQLITE_INTERRUPT;
    if( !wait_for_lock(work, rc, &waited_ms) ) break;
    sqlite3_reset(statement);
  }
  rc = ner_enrich_fail(work, rc, err);
  sqlite3_reset(statement);
  return rc;
}

int ner_enrich_prepare(struct ner_enrich_work *work, const char *sql, sqlite3_stmt **out,
                       struct ner_err *err) {
  int rc, waited_ms = 0;
  *out = NULL;
  if( !sql ) return ner_fail_nomem(err);
  do {
    rc = sqlite3_prepare_v2(work->db, sql, -1, out, NULL);
    if( (rc & 0xFF) == SQLITE_BUSY && ner_cancelled(&work->cancel.base) ) rc = SQLITE_INTERRUPT;
  } while( wait_for_lock(work, rc, &waited_ms) );
  work->lost = work->lost || (work->beside && rc == SQLITE_ERROR);
  return rc == SQLITE_OK ? NER_OK : ner_enrich_fail(work, rc, err);
}

int ner_enrich_ask(struct ner_enrich_work *work, char *sql, sqlite3_int64 *out,
                   struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  int rc = ner_enrich_prepare(work, sql, &statement, err);
  *out = 0;
  if( rc == NER_OK ) rc = ner_enrich_step(work, statement, &row, err);
  if( rc == NER_OK && row ) *out = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

int ner_enrich_exec(struct ner_enrich_work *work, char *sql, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  int rc = ner_enrich_prepare(work, sql, &statement, err);
  while( rc == NER_OK && row ) rc = ner_enrich_step(work, statement, &row, err);
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

/* ---- transactions ---- */

/* Never meant to run (see ner_enrich_rollback); if it does it changes nothing of note. Anew for each
** transaction: whoever makes an index has all statements prepared so far parsed again when they
** next run, and that, too, an interrupt forbids. */
static int keep_abandon(struct ner_enrich_work *work, struct ner_err *err) {
  sqlite3_finalize(work->abandon);
  return ner_enrich_prepare(work, "PRAGMA temp.user_version = 0", &work->abandon, err);
}

int ner_enrich_begin(struct ner_enrich_work *work, bool to_write, struct ner_err *err) {
  const char *sql = to_write ? "BEGIN IMMEDIATE" : "BEGIN";
  int rc = work->db == work->host ? keep_abandon(work, err) : NER_OK;
  if( rc != NER_OK ) return rc;
  if( work->beside && sqlite3_txn_state(work->host, work->host_schema) == SQLITE_TXN_WRITE )
    return ner_fail(err, NER_ERROR,
                    "this connection has begun to write to the database while ner_enrich was under"
                    " way; commit that and run ner_enrich again, it goes on where it was");
  work->in_savepoint = !sqlite3_get_autocommit(work->db);
  if( work->in_savepoint ) sql = "SAVEPOINT ner_enrich";
  return ner_enrich_exec(work, sqlite3_mprintf("%s", sql), err);
}

int ner_enrich_commit(struct ner_enrich_work *work, struct ner_err *err) {
  return ner_enrich_exec(
      work, sqlite3_mprintf(work->in_savepoint ? "RELEASE ner_enrich" : "COMMIT"), err);
}

void ner_enrich_rollback(struct ner_enrich_work *work) {
  int rc;
  if( work->in_savepoint )
    rc = sqlite3_exec(work->db, "ROLLBACK TO ner_enrich; RELEASE ner_enrich", NULL, NULL, NULL);
  else if( !sqlite3_get_autocommit(work->db) )
    rc = sqlite3_exec(work->db, "ROLLBACK", NULL, NULL, NULL);
  else
    return;
  /* After sqlite3_interrupt() nothing more runs on the host's connection until its statement has
  ** ended, not even this, and half a batch would be left for the host to commit. But a writing
  ** statement that is interrupted makes SQLite roll back everything by itself. */
  if( rc == SQLITE_INTERRUPT && work->abandon ) {
    sqlite3_step(work->abandon);
    sqlite3_reset(work->abandon);
  }
}

/* ---- opening ---- */

/* A pragma of the host's as a number, `otherwise` when there is no answer. None of those asked
** for reads the file: a read lock would stay. */
static int host_pragma(sqlite3 *host, const char *sql, int otherwise) {
  sqlite3_stmt *statement = NULL;
  int value = otherwise;
  if( sqlite3_prepare_v2(host, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW )
    value = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  return value;
}

static bool is_exclusive(sqlite3 *host, const char *schema) {
  char *sql = sqlite3_mprintf("PRAGMA \"%w\".locking_mode", schema);
  sqlite3_stmt *statement = NULL;
  bool exclusive = true; /* unless told otherwise */
  if( sql && sqlite3_prepare_v2(host, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW ) {
    const char *mode = (const char *)sqlite3_column_text(statement, 0);
    exclusive = !mode || sqlite3_stricmp(mode, "normal") != 0;
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return exclusive;
}

/* Parameters of a URI may mean anything to a VFS (keys, locking); these are known. */
static bool is_plain_file(sqlite3 *host, const char *schema) {
  static const char *const harmless[] = {"mode", "cache", "vfs", "psow"};
  const char *file = sqlite3_db_filename(host, schema), *key;
  if( !file || !*file ) return false;
  for( int i = 0; (key = sqlite3_uri_key(file, i)) != NULL; i++ ) {
    size_t known = 0, n = sizeof harmless / sizeof *harmless;
    while( known < n && strcmp(key, harmless[known]) != 0 ) known++;
    if( known == n ) return false;
  }
  return true;
}

bool ner_enrich_work_can_be_beside(sqlite3 *host, const char *schema) {
  return sqlite3_get_autocommit(host) && is_plain_file(host, schema) && !is_exclusive(host, schema);
}

/* What the host has set for its own connection holds for ours. */
static int take_settings(struct ner_enrich_work *work, struct ner_err *err) {
  static const char *const pragmas[] = {"query_only", "trusted_schema", "wal_autocheckpoint"};
  int defensive = 0, synchronous = 2;
  int rc = NER_OK;
  char *sql = sqlite3_mprintf("PRAGMA \"%w\".synchronous", work->host_schema);
  if( !sql ) return ner_fail_nomem(err);
  synchronous = host_pragma(work->host, sql, synchronous);
  sqlite3_free(sql);
  rc = ner_enrich_exec(work, sqlite3_mprintf("PRAGMA synchronous = %d", synchronous), err);
  for( size_t i = 0; i < sizeof pragmas / sizeof *pragmas && rc == NER_OK; i++ ) {
    char ask[40];
    int value;
    sqlite3_snprintf(sizeof ask, ask, "PRAGMA %s", pragmas[i]);
    value = host_pragma(work->host, ask, -1);
    if( value >= 0 )
      rc = ner_enrich_exec(work, sqlite3_mprintf("PRAGMA %s = %d", pragmas[i], value), err);
  }
  if( sqlite3_db_config(work->host, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive) == SQLITE_OK )
    sqlite3_db_config(work->db, SQLITE_DBCONFIG_DEFENSIVE, defensive, (int *)NULL);
  return rc;
}

static int interrupt_asked(void *arg) {
  struct ner_enrich_work *work = arg;
  return ner_cancelled(&work->cancel.base);
}

static int open_beside(struct ner_enrich_work *work, struct ner_err *err) {
  const char *file = sqlite3_db_filename(work->host, work->host_schema);
  sqlite3_vfs *vfs = NULL;
  sqlite3_int64 wal;
  int rc;
  sqlite3_file_control(work->host, work->host_schema, SQLITE_FCNTL_VFS_POINTER, &vfs);
  work->beside = true;
  work->schema = sqlite3_mprintf("main");
  if( !work->schema ) return ner_fail_nomem(err);
  rc = sqlite3_open_v2(file, &work->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE,
                       vfs ? vfs->zName : NULL);
  if( rc != SQLITE_OK ) return ner_enrich_fail(work, rc, err);
  /* Some 10 ms between questions. */
  sqlite3_progress_handler(work->db, 200 * 1000, interrupt_asked, work);
  rc = take_settings(work, err);
  /* The first look into the file; without WAL a read lock of the host's stops our commits. */
  if( rc == NER_OK )
    rc = ner_enrich_ask(
        work, sqlite3_mprintf("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), &wal, err);
  if( rc == NER_OK && !wal && sqlite3_txn_state(work->host, work->host_schema) != SQLITE_TXN_NONE )
    rc = ner_fail(err, NER_ERROR, "the database is locked by a statement of this connection");
  return rc;
}

static int use_host(struct ner_enrich_work *work, struct ner_err *err) {
  work->db = work->host;
  work->sqlite_waits = host_pragma(work->host, "PRAGMA busy_timeout", 0) > 0;
  work->schema = sqlite3_mprintf("%s", work->host_schema);
  if( !work->schema ) return ner_fail_nomem(err);
  return NER_OK;
}

int ner_enrich_work_open(struct ner_enrich_work *work, sqlite3 *host, const char *schema,
                         bool beside, struct ner_err *err) {
  memset(work, 0, sizeof *work);
  work->host = host;
  work->host_schema = sqlite3_mprintf("%s", schema);
  if( !work->host_schema ) return ner_fail_nomem(err);
  work->patience_ms = host_pragma(host, "PRAGMA busy_timeout", 0);
  if( work->patience_ms <= 0 ) work->patience_ms = PATIENCE_MS;
  /* The probe is the host's statement; it is opened and closed with each call. */
  ner_sql_cancel_open(&work->cancel, host);
  if( beside ) {
    struct ner_err why_not = {0};
    if( open_beside(work, &why_not) == NER_OK ) return NER_OK;
    if( why_not.code == NER_INTERRUPT || why_not.code == NER_NOMEM ||
        (sqlite3_errcode(work->db) & 0xFF) == SQLITE_BUSY ) {
      *err = why_not;
      return why_not.code;
    }
    stop_work(work);
  }
  return use_host(work, err);
}
