/*
** enrich.h - what the files of ner_enrich() share. enrich/enrich.c is the table-valued function and
** documents what it does; below it, each file knows only those further down:
**
**     enrich/pending.c     one batch of pending rows: read, labelled, written
**     enrich/setup.c       the tables and triggers: checked, made, upgraded; which rows are pending
**     enrich/rename.c      tables and triggers made under an earlier name are carried over
**     enrich/rowids.c      whether SQLite has given the table's rows new rowids
**     enrich/target.c      the table, its keys, and the SQL of everything made for it
**     enrich/resolve.c     which table a name means
**     enrich/connection.c  the connection that does the work, and its transactions
*/
#ifndef NER_ENRICH_H
#define NER_ENRICH_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

/* ---- the connection (enrich/connection.c) ---- */

struct ner_enrich_connection {
  sqlite3 *host;                 /* the connection whose statement called ner_enrich() */
  char *host_schema;             /* the table's database, as the host calls it */
  sqlite3 *db;                   /* where the work is done: our own connection, or the host's */
  bool own;                      /* it is our own */
  char *schema;                  /* the table's database, as db calls it */
  int busy_timeout_ms;           /* how long to wait on SQLITE_BUSY */
  bool sqlite_waits;             /* SQLite waits itself, as the host has told it to */
  bool needs_host;               /* our own connection cannot run a statement; the host's may */
  bool in_savepoint;             /* of a transaction that the host began */
  int bind_rc;                   /* the first failure to bind a parameter */
  sqlite3_stmt *forced_rollback; /* see ner_enrich_rollback() */
  struct ner_sql_cancel cancel;  /* the host's interrupts, during one of its calls */
};

/* Whether the work can be done on a connection of our own. Nothing then stays locked between
** batches, provided that the host's statement itself holds no lock on the file. */
bool ner_enrich_can_open_own(sqlite3 *host, const char *schema);
/* Opens our own connection if `own`, else, or when that fails, takes the host's. Give it to
** ner_enrich_connection_close(), also when opening failed. */
int ner_enrich_connection_open(struct ner_enrich_connection *conn, sqlite3 *host,
                               const char *schema, bool own, struct ner_err *err);
void ner_enrich_connection_close(struct ner_enrich_connection *conn);

/* Prepares one statement. Waits for locks, which sqlite3_prepare() does not. */
int ner_enrich_prepare(struct ner_enrich_connection *conn, const char *sql, sqlite3_stmt **out,
                       struct ner_err *err);
/* Bind parameters. A failure (both may allocate) is reported by the next ner_enrich_step(), which
** then does not run the statement. The text must live until that step. */
void ner_enrich_bind_text(struct ner_enrich_connection *conn, sqlite3_stmt *statement, int at,
                          const char *utf8, size_t n_bytes);
void ner_enrich_bind_value(struct ner_enrich_connection *conn, sqlite3_stmt *statement, int at,
                           const sqlite3_value *value);
/* Waits for locks. NER_OK: *row says whether there is a row; without one the statement is reset. */
int ner_enrich_step(struct ner_enrich_connection *conn, sqlite3_stmt *statement, bool *row,
                    struct ner_err *err);
/* Runs `sql` and frees it with sqlite3_free(); NULL means out of memory. */
int ner_enrich_exec(struct ner_enrich_connection *conn, char *sql, struct ner_err *err);
/* The same; *out is the first column of the first row, 0 when there is none. */
int ner_enrich_read_int64(struct ner_enrich_connection *conn, char *sql, sqlite3_int64 *out,
                          struct ner_err *err);
/* Records a failed call of SQLite's on conn->db. */
int ner_enrich_fail(struct ner_enrich_connection *conn, int sqlite_code, struct ner_err *err);

/* A transaction, or a savepoint inside the host's. Rolling back what has not begun, or is rolled
** back already, does nothing. */
int ner_enrich_begin(struct ner_enrich_connection *conn, bool to_write, struct ner_err *err);
int ner_enrich_commit(struct ner_enrich_connection *conn, struct ner_err *err);
void ner_enrich_rollback(struct ner_enrich_connection *conn);

/* ---- names (enrich/resolve.c) ---- */

/* Finds the database and table that `name` means, as SQLite would; free both with sqlite3_free().
** `column` serves only the message when there is no such table. Where the table exists, reads no
** file but for the schema, and so leaves no lock. */
int ner_enrich_resolve(sqlite3 *host, const char *name, const char *column, char **schema,
                       char **table, struct ner_err *err);

/* ---- the table (enrich/target.c) ---- */

/* A column that tells the table's rows apart, and what our tables call it. */
struct ner_enrich_key {
  char *name; /* rowid */
  char *own;  /* docs_rowid */
  char *type; /* INTEGER; with COLLATE */
};

enum ner_enrich_object_id {
  NER_ENRICH_ENTITY,
  NER_ENRICH_QUEUE,
  NER_ENRICH_ERROR,
  NER_ENRICH_STATE,
  NER_ENRICH_HASH, /* this and the next only where rowids may change */
  NER_ENRICH_CANARY,
  NER_ENRICH_TABLES, /* those before are tables */
  NER_ENRICH_BY_ROW = NER_ENRICH_TABLES,
  NER_ENRICH_BY_ENTITY,
  NER_ENRICH_INSERT,
  NER_ENRICH_UPDATE,
  NER_ENRICH_DELETE,
  NER_ENRICH_OBJECTS,
};
struct ner_enrich_object {
  const char *type; /* "table", "index", "trigger" */
  char *name;       /* docs_body_ner_queue */
  char *sql;        /* CREATE ..., as sqlite_schema keeps it */
  char *sql_1;      /* what layout 1 had in its place, NULL: the same */
};

struct ner_enrich_target {
  char *schema, *table, *column; /* as they are spelt in the database */
  char *name;                    /* docs_body_ner */
  struct ner_enrich_key *key;    /* [n_keys] */
  int n_keys;
  bool without_rowid;
  bool rowids_may_change; /* there is no INTEGER PRIMARY KEY (enrich/rowids.c) */
  bool replaceable;       /* REPLACE may delete a row of another key, which no trigger sees */
  struct ner_enrich_object object[NER_ENRICH_OBJECTS];
};

/* Fills a zeroed target; reset it also when that failed. */
int ner_enrich_target_init(struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                           const char *table, const char *column, struct ner_err *err);
/* The same table and column with other names for our tables and their keys. `keys` [from->n_keys]
** may be NULL: those of `from`. */
int ner_enrich_target_rename(const struct ner_enrich_target *from, const char *name,
                             const char *const *keys, struct ner_enrich_target *target,
                             struct ner_err *err);
void ner_enrich_target_reset(struct ner_enrich_target *target);
/* Whether this table needs the object. */
bool ner_enrich_target_needs(const struct ner_enrich_target *target, int object);
/* Fails where the host's authorizer forbids what our own connection is going to do. */
int ner_enrich_target_authorize(const struct ner_enrich_target *target,
                                struct ner_enrich_connection *conn, struct ner_err *err);

/* SQL text with names and keys filled in, for all the statements about a target:
**   $S  the database    $T  the table    $C  the column    $N  docs_body_ner, without quotes
**   $( ... $| sep $)  once for each key, sep between:
**      $k  its name    $o  our name    $t  our type    $i  its number, from 1 on
** Names come quoted, but for $N, which is escaped for use inside double quotes. NULL: no memory. */
char *ner_enrich_sql(const struct ner_enrich_target *target, const char *pattern);

/* ---- rowids (enrich/rowids.c) ---- */

/* A hash of a text or BLOB of the column. */
int64_t ner_enrich_hash(const void *bytes, size_t n_bytes, bool is_blob);
/* Whether the rowids are certain to be those of ner_enrich_rowids_note(). To be asked inside the
** transaction that relies on it. Always true where rowids cannot change. */
int ner_enrich_rowids_kept(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, bool *kept, struct ner_err *err);
/* Inside a transaction: from now on the rowids count as known. `anew`: forgets all hashes, which
** means that every row is pending. */
int ner_enrich_rowids_note(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, bool anew, struct ner_err *err);
/* Compares all rows with their hashes, makes those pending that differ, and notes the rowids. */
int ner_enrich_rowids_compare(const struct ner_enrich_target *target,
                              struct ner_enrich_connection *conn, struct ner_err *err);

/* ---- renamed tables (enrich/rename.c) ---- */

/* Inside a transaction. Looks for triggers of ours on this table and column that were made under
** another name. Without `apply`, *found says whether there are any. With it, their tables are
** renamed where `fresh` (there are none of the present name); else their triggers are dropped. */
int ner_enrich_rename(const struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                      bool fresh, bool apply, bool *found, struct ner_err *err);

/* ---- tables, triggers and pending rows (enrich/setup.c) ---- */

/* What decides the result besides the text: when it changes, every row is pending. Free it with
** sqlite3_free(); NULL: no memory. */
char *ner_enrich_settings(const struct ner_model *model, const struct ner_options *options);
/* Makes what is missing; afterwards the queue holds every row that is pending. */
int ner_enrich_setup(const struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                     const char *model_name, const char *settings, struct ner_err *err);
/* Inside a transaction: makes those rows pending whose results are there while the row is gone.
** *found: there are any. */
int ner_enrich_note_orphans(const struct ner_enrich_target *target,
                            struct ner_enrich_connection *conn, bool *found, struct ner_err *err);
/* Notes rows that a REPLACE deleted without a trigger, if a batch was written since that was last
** done: the row that replaced them was pending itself. The request is a row of the state table, so
** that a call that is cut short leaves it to the next. */
int ner_enrich_scan_orphans(const struct ner_enrich_target *target,
                            struct ner_enrich_connection *conn, bool *found, struct ner_err *err);

/* ---- batches (enrich/pending.c) ---- */

struct ner_enrich_counts {
  sqlite3_int64 rows, entities, errors;
};

struct ner_enrich_batcher;
/* Borrows all it is given. */
int ner_enrich_batcher_new(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, struct ner_model *model,
                           const struct ner_options *options, const char *settings,
                           struct ner_enrich_batcher **out, struct ner_err *err);
void ner_enrich_batcher_free(struct ner_enrich_batcher *batcher);
/* Does one batch, in one transaction. *n_read: pending rows read, 0 when none is left; *counts:
** what was written; !*kept: nothing, because the rowids may have changed. */
int ner_enrich_batcher_run(struct ner_enrich_batcher *batcher, size_t *n_read, bool *kept,
                           struct ner_enrich_counts *counts, struct ner_err *err);

#pragma GCC visibility pop
#endif
