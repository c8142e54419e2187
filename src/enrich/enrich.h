/*
** enrich.h - what the files of ner_enrich() share. enrich/enrich.c is the table-valued
** function, and says what it does; below it, each knowing only those further down:
**
**     enrich/batch.c   some due rows: read, labelled, written
**     enrich/setup.c   the tables and triggers: found in order, or made; what is due
**     enrich/target.c  which table, its keys, and the SQL of everything made for it
**     enrich/work.c    the connection that does the work, and its transactions
*/
#ifndef NER_SQL_ENRICH_H
#define NER_SQL_ENRICH_H

#include "sql/sql.h"

#pragma GCC visibility push(hidden)

/* ---- the connection (enrich/work.c) ---- */

struct ner_enrich_work {
  sqlite3 *host;     /* whose statement asked for all this */
  char *host_schema; /* the table's database, as the host calls it */
  sqlite3 *db;       /* does the work: our own connection, or the host's */
  bool beside;       /* it is our own */
  char *schema;      /* the table's database, as db calls it */
  int patience_ms;   /* how long to wait for others' locks */
  bool sqlite_waits; /* SQLite itself does, as the host has told it to */
  bool lost;         /* a statement means nothing to our own connection; it may to the host's */
  bool in_savepoint; /* of a transaction that somebody else began */
  int unbound;       /* why a parameter could not be bound; SQLITE_OK: all could */
  sqlite3_stmt *abandon;
  struct ner_sql_cancel cancel; /* the host's wish to cancel, while one of its calls is under way */
};

/* Could the work be done on a connection of our own? Then nothing stays locked between batches,
** provided the host's statement itself holds no lock on the file. */
bool ner_enrich_work_can_be_beside(sqlite3 *host, const char *schema);
/* The work is to be given to ner_enrich_work_close(), also when opening failed. */
int ner_enrich_work_open(struct ner_enrich_work *work, sqlite3 *host, const char *schema,
                         bool beside, struct ner_err *err);
void ner_enrich_work_close(struct ner_enrich_work *work);

/* One statement. Waits for locks. sqlite3_step() alone knows nothing of that. */
int ner_enrich_prepare(struct ner_enrich_work *work, const char *sql, sqlite3_stmt **out,
                       struct ner_err *err);
/* Parameters. Both may need memory, for a copy or another encoding; when there is none the next
** ner_enrich_step() says so, instead of running with NULL. The text must outlive that. */
void ner_enrich_bind_text(struct ner_enrich_work *work, sqlite3_stmt *statement, int at,
                          const char *utf8, size_t n_bytes);
void ner_enrich_bind_value(struct ner_enrich_work *work, sqlite3_stmt *statement, int at,
                           const sqlite3_value *value);
/* NER_OK and *row tells whether there is one. Without one the statement is reset. */
int ner_enrich_step(struct ner_enrich_work *work, sqlite3_stmt *statement, bool *row,
                    struct ner_err *err);
/* Takes `sql` over, as sqlite3_mprintf() and sqlite3_str_finish() gave it: NULL is want of memory.
 */
int ner_enrich_exec(struct ner_enrich_work *work, char *sql, struct ner_err *err);
/* The first column of the first row, 0 when there is none. Takes `sql` over. */
int ner_enrich_ask(struct ner_enrich_work *work, char *sql, sqlite3_int64 *out,
                   struct ner_err *err);
int ner_enrich_fail(struct ner_enrich_work *work, int sqlite_code, struct ner_err *err);

/* A transaction, or a savepoint inside the caller's own. Rolling back what was not begun, or is
** rolled back already, does no harm. */
int ner_enrich_begin(struct ner_enrich_work *work, bool to_write, struct ner_err *err);
int ner_enrich_commit(struct ner_enrich_work *work, struct ner_err *err);
void ner_enrich_rollback(struct ner_enrich_work *work);

/* ---- the table (enrich/target.c) ---- */

/* A column that tells the table's rows apart, and what our tables call it. */
struct ner_enrich_key {
  char *name; /* rowid */
  char *own;  /* docs_rowid */
  char *type; /* INTEGER; with COLLATE */
};

enum ner_enrich_made {
  NER_ENRICH_ENTITY,
  NER_ENRICH_QUEUE,
  NER_ENRICH_ERROR,
  NER_ENRICH_STATE,
  NER_ENRICH_TABLES, /* those before are tables */
  NER_ENRICH_BY_ROW = NER_ENRICH_TABLES,
  NER_ENRICH_BY_ENTITY,
  NER_ENRICH_INSERT,
  NER_ENRICH_UPDATE,
  NER_ENRICH_DELETE,
  NER_ENRICH_MADE,
};
struct ner_enrich_object {
  const char *type; /* "table", "index", "trigger" */
  char *name;       /* docs_body_ner_queue */
  char *sql;        /* CREATE ..., as sqlite_schema keeps it */
};

struct ner_enrich_target {
  char *schema, *table, *column; /* as they are spelt in the database */
  char *name;                    /* docs_body_ner */
  struct ner_enrich_key *key;    /* [n_keys] */
  int n_keys;
  bool without_rowid;
  bool replaceable; /* REPLACE may delete a row of another key, which no trigger sees */
  struct ner_enrich_object made[NER_ENRICH_MADE];
};

/* `name` as a user writes it to its database and table; both to be freed with sqlite3_free(). Reads
** no file but for the schema, and so locks none. */
int ner_enrich_resolve(sqlite3 *host, const char *name, char **schema, char **table,
                       struct ner_err *err);
/* Fills a zeroed target, to be freed also when that failed. */
int ner_enrich_target_init(struct ner_enrich_target *target, struct ner_enrich_work *work,
                           const char *table, const char *column, struct ner_err *err);
void ner_enrich_target_reset(struct ner_enrich_target *target);
/* Fails where the host's authorizer forbids what is going to be done beside it. */
int ner_enrich_target_authorize(const struct ner_enrich_target *target,
                                struct ner_enrich_work *work, struct ner_err *err);

/* SQL text with names and keys filled in, for all the statements about a target:
**   $S  the database    $T  the table    $C  the column    $N  docs_body_ner, without quotes
**   $( ... $| sep $)  once for each key, sep between:
**      $k  its name    $o  our name    $t  our type    $i  its number, from 1 on
** Names come quoted, but for $N, which is escaped for use inside double quotes. NULL: no memory. */
char *ner_enrich_sql(const struct ner_enrich_target *target, const char *pattern);

/* ---- tables, triggers and what is due (enrich/setup.c) ---- */

/* What decides the result besides the text: when it changes, every row is due. To be freed with
** sqlite3_free(); NULL: no memory. */
char *ner_enrich_settings(const struct ner_model *model, const struct ner_options *options);
/* Makes what is missing; afterwards the queue holds every row that is due. */
int ner_enrich_setup(const struct ner_enrich_target *target, struct ner_enrich_work *work,
                     const char *model_name, const char *settings, struct ner_err *err);
/* Notes rows that are gone without a trigger having seen it, if there has been a batch since that
** was last done: what replaces a row is due itself. The state says so, in its row 'sweep', so that
** a call that is cut short leaves it to the next. */
int ner_enrich_sweep(const struct ner_enrich_target *target, struct ner_enrich_work *work,
                     bool *found, struct ner_err *err);

/* ---- batches (enrich/batch.c) ---- */

struct ner_enrich_counts {
  sqlite3_int64 rows, entities, errors;
};

struct ner_enrich_batcher;
/* Borrows all it is given. */
int ner_enrich_batcher_new(const struct ner_enrich_target *target, struct ner_enrich_work *work,
                           struct ner_model *model, const struct ner_options *options,
                           const char *settings, struct ner_enrich_batcher **out,
                           struct ner_err *err);
void ner_enrich_batcher_free(struct ner_enrich_batcher *batcher);
/* Does one batch of about max_bytes of text in one transaction. *n_read: rows that were due, 0 when
** none is left; *counts: what was written. */
int ner_enrich_batcher_run(struct ner_enrich_batcher *batcher, size_t max_bytes, size_t *n_read,
                           struct ner_enrich_counts *counts, struct ner_err *err);

#pragma GCC visibility pop
#endif
