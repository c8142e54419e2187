/*
** connection.c - the connection on which ner_enrich() works, and its transactions.
**
** While a SELECT of a connection runs, SQLite keeps every read lock that any statement of the
** connection takes until that SELECT ends. Batches committed on the host's connection, inside the
** host's SELECT, would lock out all other writers for the whole enrichment (with a rollback
** journal), or fail as soon as another connection writes (with WAL). ner_enrich() therefore opens
** its own connection to the same file, which holds no lock between batches.
**
** The host's connection is used instead, through savepoints if it has a transaction open,
**   - inside a transaction of the host, or with locking_mode = EXCLUSIVE;
**   - for temporary and in-memory databases, and whenever the second connection is not certain to
**     have opened the same file (connection_is_same_file);
**   - where only the host's connection can read the file (encryption, collations, functions).
*/
#include "enrich/enrich.h"

#include <string.h>

#define BUSY_TIMEOUT_MS 10000 /* how long to wait on SQLITE_BUSY where the host sets no timeout */

static void connection_reset(struct ner_enrich_connection *conn) {
  sqlite3_finalize(conn->forced_rollback);
  if( conn->own ) sqlite3_close(conn->db);
  sqlite3_free(conn->schema);
  conn->forced_rollback = NULL;
  conn->db = NULL;
  conn->schema = NULL;
  conn->own = conn->needs_host = false;
}

void ner_enrich_connection_close(struct ner_enrich_connection *conn) {
  connection_reset(conn);
  sqlite3_free(conn->host_schema);
  memset(conn, 0, sizeof *conn);
}

int ner_enrich_fail(struct ner_enrich_connection *conn, int sqlite_code, struct ner_err *err) {
  switch( sqlite_code & 0xFF ) {
  case SQLITE_NOMEM: return ner_fail_nomem(err);
  case SQLITE_INTERRUPT: return ner_fail_interrupted(err);
  case SQLITE_BUSY:
    if( sqlite3_extended_errcode(conn->db) == SQLITE_BUSY_SNAPSHOT )
      return ner_fail(err, NER_ERROR,
                      "another connection wrote to the database while this one was reading it;"
                      " end this connection's other statements and run ner_enrich again, which"
                      " continues where it stopped");
    /* SQLite does not wait where each would wait for the other. */
    if( conn->sqlite_waits && sqlite3_txn_state(conn->db, conn->schema) == SQLITE_TXN_READ )
      return ner_fail(err, NER_ERROR,
                      "the database is locked by another connection, and cannot be waited for while"
                      " a statement of this one reads it; end this connection's other statements,"
                      " select from ner_enrich() alone and run it again, which continues where it"
                      " stopped");
    return ner_fail(err, NER_ERROR,
                    "the database was locked by another connection for more than %d ms; run"
                    " ner_enrich again, which continues where it stopped",
                    conn->busy_timeout_ms);
  case SQLITE_FULL:
    return ner_fail(err, NER_ERROR,
                    "the database or its disk is full; free some space and run ner_enrich again,"
                    " which continues where it stopped");
  case SQLITE_IOERR:
    return ner_fail(err, NER_ERROR,
                    "the database cannot be read or written (%s); check its disk, quota and file"
                    " size limit and run ner_enrich again, which continues where it stopped",
                    sqlite3_errmsg(conn->db));
  case SQLITE_READONLY:
    if( sqlite3_extended_errcode(conn->db) == SQLITE_READONLY_DBMOVED )
      return ner_fail(err, NER_ERROR,
                      "the database file was moved, replaced or deleted after this connection"
                      " opened it; open the database again and run ner_enrich there");
    return ner_fail(err, NER_ERROR,
                    "the database cannot be written to (%s); ner_enrich needs to write",
                    sqlite3_errmsg(conn->db));
  default: return ner_fail(err, NER_ERROR, "%s", sqlite3_errmsg(conn->db));
  }
}

/* ---- statements ---- */

/* Sleeps a little before a locked database is tried again; false once the timeout has passed. */
static bool connection_wait(struct ner_enrich_connection *conn, int rc, int *waited_ms) {
  int ms = *waited_ms < 20 ? 2 : *waited_ms < 200 ? 10 : 50;
  if( (rc & 0xFF) != SQLITE_BUSY || rc == SQLITE_BUSY_SNAPSHOT ) return false;
  if( conn->sqlite_waits || *waited_ms >= conn->busy_timeout_ms ) return false;
  if( ms > conn->busy_timeout_ms - *waited_ms ) ms = conn->busy_timeout_ms - *waited_ms;
  *waited_ms += sqlite3_sleep(ms); /* a whole second where SQLite was built without usleep() */
  return true;
}

static void connection_note_bind(struct ner_enrich_connection *conn, int rc) {
  if( conn->bind_rc == SQLITE_OK ) conn->bind_rc = rc;
}

void ner_enrich_bind_text(struct ner_enrich_connection *conn, sqlite3_stmt *statement, int at,
                          const char *utf8, size_t n_bytes) {
  connection_note_bind(
      conn, sqlite3_bind_text64(statement, at, utf8, n_bytes, SQLITE_STATIC, SQLITE_UTF8));
}

void ner_enrich_bind_value(struct ner_enrich_connection *conn, sqlite3_stmt *statement, int at,
                           const sqlite3_value *value) {
  connection_note_bind(conn, sqlite3_bind_value(statement, at, value));
}

int ner_enrich_step(struct ner_enrich_connection *conn, sqlite3_stmt *statement, bool *row,
                    struct ner_err *err) {
  int rc = conn->bind_rc, waited_ms = 0;
  conn->bind_rc = SQLITE_OK;
  *row = false;
  if( rc != SQLITE_OK ) return ner_enrich_fail(conn, rc, err);
  for( ;; ) {
    rc = sqlite3_step(statement);
    *row = rc == SQLITE_ROW;
    if( *row ) return NER_OK;
    if( rc == SQLITE_DONE ) {
      sqlite3_reset(statement);
      return NER_OK;
    }
    if( (rc & 0xFF) == SQLITE_BUSY ) rc = sqlite3_extended_errcode(conn->db);
    if( (rc & 0xFF) == SQLITE_BUSY && ner_cancelled(&conn->cancel.base) ) rc = SQLITE_INTERRUPT;
    if( !connection_wait(conn, rc, &waited_ms) ) break;
    sqlite3_reset(statement);
  }
  rc = ner_enrich_fail(conn, rc, err);
  sqlite3_reset(statement);
  return rc;
}

int ner_enrich_prepare(struct ner_enrich_connection *conn, const char *sql, sqlite3_stmt **out,
                       struct ner_err *err) {
  int rc, waited_ms = 0;
  *out = NULL;
  if( !sql ) return ner_fail_nomem(err);
  do {
    rc = sqlite3_prepare_v2(conn->db, sql, -1, out, NULL);
    if( (rc & 0xFF) == SQLITE_BUSY && ner_cancelled(&conn->cancel.base) ) rc = SQLITE_INTERRUPT;
  } while( connection_wait(conn, rc, &waited_ms) );
  conn->needs_host = conn->needs_host || (conn->own && rc == SQLITE_ERROR);
  return rc == SQLITE_OK ? NER_OK : ner_enrich_fail(conn, rc, err);
}

int ner_enrich_read_int64(struct ner_enrich_connection *conn, char *sql, sqlite3_int64 *out,
                          struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  *out = 0;
  if( rc == NER_OK ) rc = ner_enrich_step(conn, statement, &row, err);
  if( rc == NER_OK && row ) *out = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

int ner_enrich_exec(struct ner_enrich_connection *conn, char *sql, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  while( rc == NER_OK && row ) rc = ner_enrich_step(conn, statement, &row, err);
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

/* ---- transactions ---- */

/* Prepares the statement that ner_enrich_rollback() runs after an interrupt. It is prepared again
** for each transaction: CREATE INDEX makes SQLite parse all statements prepared before anew when
** they next run, and an interrupt forbids that, too. */
static int connection_prepare_rollback(struct ner_enrich_connection *conn, struct ner_err *err) {
  sqlite3_finalize(conn->forced_rollback);
  return ner_enrich_prepare(conn, "PRAGMA temp.user_version = 0", &conn->forced_rollback, err);
}

int ner_enrich_begin(struct ner_enrich_connection *conn, bool to_write, struct ner_err *err) {
  const char *sql = to_write ? "BEGIN IMMEDIATE" : "BEGIN";
  int rc = conn->db == conn->host ? connection_prepare_rollback(conn, err) : NER_OK;
  if( rc != NER_OK ) return rc;
  if( conn->own && sqlite3_txn_state(conn->host, conn->host_schema) == SQLITE_TXN_WRITE )
    return ner_fail(err, NER_ERROR,
                    "this connection began to write to the database while ner_enrich was running;"
                    " commit that and run ner_enrich again, which continues where it stopped");
  conn->in_savepoint = !sqlite3_get_autocommit(conn->db);
  if( conn->in_savepoint ) sql = "SAVEPOINT ner_enrich";
  return ner_enrich_exec(conn, sqlite3_mprintf("%s", sql), err);
}

int ner_enrich_commit(struct ner_enrich_connection *conn, struct ner_err *err) {
  return ner_enrich_exec(
      conn, sqlite3_mprintf(conn->in_savepoint ? "RELEASE ner_enrich" : "COMMIT"), err);
}

void ner_enrich_rollback(struct ner_enrich_connection *conn) {
  int rc;
  if( conn->in_savepoint )
    rc = sqlite3_exec(conn->db, "ROLLBACK TO ner_enrich; RELEASE ner_enrich", NULL, NULL, NULL);
  else if( !sqlite3_get_autocommit(conn->db) )
    rc = sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
  else
    return;
  /* After sqlite3_interrupt() no statement runs on the host's connection until the host's own has
  ** ended, not even ROLLBACK, and half a batch would be left for the host to commit. But SQLite
  ** itself rolls everything back when a statement that writes is interrupted. */
  if( rc == SQLITE_INTERRUPT && conn->forced_rollback ) {
    sqlite3_step(conn->forced_rollback);
    sqlite3_reset(conn->forced_rollback);
  }
}

/* ---- settings ---- */

/* Every setting of the host's connection that changes what our own connection writes, how, and what
** may read it. The rest either is stored in the file (encoding, page size, auto_vacuum, WAL) or
** concerns only statements that we do not run (LIKE, LOAD_EXTENSION, ATTACH).
** Left out on purpose: max_page_count, because reading it takes a read lock on the file that lasts
** as long as the host's statement. */
static const struct {
  const char *pragma;
  bool of_schema; /* PRAGMA schema.name; otherwise it belongs to the connection */
} connection_pragmas[] = {
    /* what a crash may cost */
    {"synchronous", true},
    {"fullfsync", false},
    {"checkpoint_fullfsync", false},
    /* what stays on the disk: deleted names, journals, temporary files */
    {"secure_delete", true},
    {"journal_size_limit", true},
    {"temp_store", false},
    /* what runs when our tables are written: the user's foreign keys and triggers on them */
    {"foreign_keys", false},
    {"recursive_triggers", false},
    {"ignore_check_constraints", false},
    /* how far the file and its schema are trusted */
    {"cell_size_check", false},
    {"trusted_schema", false},
    {"query_only", false},
    /* memory, and when locks and checkpoints come */
    {"cache_size", true},
    {"cache_spill", false},
    {"mmap_size", true},
    {"wal_autocheckpoint", false},
};

/* The same for sqlite3_db_config(). */
static const int connection_db_configs[] = {
    SQLITE_DBCONFIG_DEFENSIVE,
    SQLITE_DBCONFIG_ENABLE_TRIGGER,
    SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
};

/* The host's answer to a pragma, as a number. None of those asked for reads the file, because a
** read lock would stay. *known: there is an answer. False: the host's authorizer forbids it. */
static bool connection_host_pragma(sqlite3 *host, const char *sql, sqlite3_int64 *value,
                                   bool *known) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(host, sql, -1, &statement, NULL);
  *known = rc == SQLITE_OK && statement && sqlite3_step(statement) == SQLITE_ROW;
  if( *known ) *value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return rc != SQLITE_AUTH;
}

/* TRUNCATE and PERSIST say what becomes of the journal's file. OFF and MEMORY are not taken over: a
** process killed in the middle of a batch would leave a damaged file. */
static int connection_take_journal_mode(struct ner_enrich_connection *conn, struct ner_err *err) {
  sqlite3_stmt *statement = NULL;
  char *mode = NULL, *sql = sqlite3_mprintf("PRAGMA \"%w\".journal_mode", conn->host_schema);
  int rc = NER_OK;
  if( !sql ) return ner_fail_nomem(err);
  if( sqlite3_prepare_v2(conn->host, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW )
    mode = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  if( mode && (strcmp(mode, "truncate") == 0 || strcmp(mode, "persist") == 0) )
    rc = ner_enrich_exec(conn, sqlite3_mprintf("PRAGMA journal_mode = %s", mode), err);
  sqlite3_free(mode);
  return rc;
}

static int connection_take_settings(struct ner_enrich_connection *conn, struct ner_err *err) {
  int rc = NER_OK;
  for( size_t i = 0; i < sizeof connection_pragmas / sizeof *connection_pragmas && rc == NER_OK;
       i++ ) {
    const char *name = connection_pragmas[i].pragma;
    char *ask = connection_pragmas[i].of_schema
                    ? sqlite3_mprintf("PRAGMA \"%w\".%s", conn->host_schema, name)
                    : sqlite3_mprintf("PRAGMA %s", name);
    sqlite3_int64 value = 0;
    bool known = false;
    if( !ask ) return ner_fail_nomem(err);
    if( !connection_host_pragma(conn->host, ask, &value, &known) )
      rc = ner_fail(err, NER_ERROR, "the host's authorizer forbids PRAGMA %s", name);
    sqlite3_free(ask);
    if( rc != NER_OK || !known ) continue;
    /* SQLite reports secure_delete = FAST as 2, and does not take a 2. */
    if( value == 2 && strcmp(name, "secure_delete") == 0 )
      rc = ner_enrich_exec(conn, sqlite3_mprintf("PRAGMA secure_delete = fast"), err);
    else
      rc = ner_enrich_exec(conn, sqlite3_mprintf("PRAGMA %s = %lld", name, value), err);
  }
  for( size_t i = 0; i < sizeof connection_db_configs / sizeof *connection_db_configs; i++ ) {
    int value = 0;
    if( sqlite3_db_config(conn->host, connection_db_configs[i], -1, &value) == SQLITE_OK )
      sqlite3_db_config(conn->db, connection_db_configs[i], value, (int *)NULL);
  }
  for( int id = SQLITE_LIMIT_LENGTH; id <= SQLITE_LIMIT_WORKER_THREADS; id++ )
    sqlite3_limit(conn->db, id, sqlite3_limit(conn->host, id, -1));
  return rc;
}

/* ---- is it the same file ---- */

#define HEADER_BYTES 100 /* change counter, schema cookie and size are in it */

static bool connection_read_header(sqlite3 *db, const char *schema,
                                   unsigned char header[HEADER_BYTES]) {
  sqlite3_file *file = NULL;
  int rc;
  sqlite3_file_control(db, schema, SQLITE_FCNTL_FILE_POINTER, &file);
  if( !file || !file->pMethods ) return false;
  rc = file->pMethods->xRead(file, header, HEADER_BYTES, 0);
  return rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ; /* then the rest is zeros */
}

/* 1: the file at the path is another one than the open file; 0: it is the same; -1: not known. */
static int connection_has_moved(sqlite3 *db, const char *schema) {
  int moved = 0;
  if( sqlite3_file_control(db, schema, SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ) return -1;
  return moved != 0;
}

/* Whether a path leads to one file whoever opens it. It does not in SQLite's own in-memory VFS
** (deserialized databases, file:x?vfs=memdb), nor perhaps in one that an application brings along.
** A VFS that can tell whether its file has moved has files with paths; Windows does not let
** anything move an open file, and so does not answer. */
static bool connection_has_path(sqlite3 *db, const char *schema) {
  sqlite3_vfs *vfs = NULL;
  int moved = connection_has_moved(db, schema);
  if( moved >= 0 ) return moved == 0;
  sqlite3_file_control(db, schema, SQLITE_FCNTL_VFS_POINTER, &vfs);
  return vfs && vfs->zName && strncmp(vfs->zName, "win32", 5) == 0;
}

/* Whether both connections have one file open, once both are: neither has moved from the path that
** they share, and both read the same header. Another process may change the header between the two
** readings, so they are tried several times. The headers are read without a lock, which would stay.
** */
static bool connection_is_same_file(const struct ner_enrich_connection *conn) {
  unsigned char ours[HEADER_BYTES], hosts[HEADER_BYTES];
  if( !connection_has_path(conn->host, conn->host_schema) ||
      !connection_has_path(conn->db, "main") )
    return false;
  for( int i = 0; i < 10; i++ ) {
    if( !connection_read_header(conn->db, "main", ours) ||
        !connection_read_header(conn->host, conn->host_schema, hosts) )
      return false;
    if( memcmp(ours, hosts, HEADER_BYTES) == 0 ) return true;
  }
  return false;
}

/* ---- opening ---- */

static bool connection_is_exclusive(sqlite3 *host, const char *schema) {
  char *sql = sqlite3_mprintf("PRAGMA \"%w\".locking_mode", schema);
  sqlite3_stmt *statement = NULL;
  bool exclusive = true; /* unless the host says otherwise */
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
static bool connection_is_plain_file(sqlite3 *host, const char *schema) {
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

bool ner_enrich_can_open_own(sqlite3 *host, const char *schema) {
  return sqlite3_get_autocommit(host) && connection_is_plain_file(host, schema) &&
         connection_has_path(host, schema) && !connection_is_exclusive(host, schema);
}

/* Called by SQLite every so many opcodes of our own connection. */
static int connection_progress(void *arg) {
  struct ner_enrich_connection *conn = arg;
  return ner_cancelled(&conn->cancel.base);
}

static int connection_open_own(struct ner_enrich_connection *conn, struct ner_err *err) {
  const char *file = sqlite3_db_filename(conn->host, conn->host_schema);
  sqlite3_vfs *vfs = NULL;
  sqlite3_int64 wal;
  int rc;
  sqlite3_file_control(conn->host, conn->host_schema, SQLITE_FCNTL_VFS_POINTER, &vfs);
  conn->own = true;
  conn->schema = sqlite3_mprintf("main");
  if( !conn->schema ) return ner_fail_nomem(err);
  rc = sqlite3_open_v2(file, &conn->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE,
                       vfs ? vfs->zName : NULL);
  if( rc != SQLITE_OK ) return ner_enrich_fail(conn, rc, err);
  if( !connection_is_same_file(conn) )
    return ner_fail(err, NER_ERROR, "the path leads to another file");
  sqlite3_progress_handler(conn->db, 200 * 1000, connection_progress, conn); /* some 10 ms apart */
  rc = connection_take_settings(conn, err);
  if( rc == NER_OK ) rc = connection_take_journal_mode(conn, err);
  /* The first look into the file. Without WAL a read lock of the host's stops our commits. */
  if( rc == NER_OK )
    rc = ner_enrich_read_int64(
        conn, sqlite3_mprintf("SELECT journal_mode = 'wal' FROM pragma_journal_mode"), &wal, err);
  if( rc == NER_OK && !wal && sqlite3_txn_state(conn->host, conn->host_schema) != SQLITE_TXN_NONE )
    rc = ner_fail(err, NER_ERROR, "the database is locked by a statement of this connection");
  return rc;
}

static int connection_busy_timeout(sqlite3 *host) {
  sqlite3_int64 ms = 0;
  bool known;
  connection_host_pragma(host, "PRAGMA busy_timeout", &ms, &known);
  return (int)ms;
}

static int connection_use_host(struct ner_enrich_connection *conn, struct ner_err *err) {
  conn->db = conn->host;
  conn->sqlite_waits = connection_busy_timeout(conn->host) > 0;
  conn->schema = sqlite3_mprintf("%s", conn->host_schema);
  if( !conn->schema ) return ner_fail_nomem(err);
  return NER_OK;
}

int ner_enrich_connection_open(struct ner_enrich_connection *conn, sqlite3 *host,
                               const char *schema, bool own, struct ner_err *err) {
  memset(conn, 0, sizeof *conn);
  conn->host = host;
  conn->host_schema = sqlite3_mprintf("%s", schema);
  if( !conn->host_schema ) return ner_fail_nomem(err);
  conn->busy_timeout_ms = connection_busy_timeout(host);
  if( conn->busy_timeout_ms <= 0 ) conn->busy_timeout_ms = BUSY_TIMEOUT_MS;
  /* The probe is the host's statement; it is opened and closed with each call. */
  ner_sql_cancel_open(&conn->cancel, host);
  if( own ) {
    struct ner_err why_not = {0};
    if( connection_open_own(conn, &why_not) == NER_OK ) return NER_OK;
    if( why_not.code == NER_INTERRUPT || why_not.code == NER_NOMEM ||
        (sqlite3_errcode(conn->db) & 0xFF) == SQLITE_BUSY ) {
      *err = why_not;
      return why_not.code;
    }
    connection_reset(conn);
  }
  return connection_use_host(conn, err);
}
