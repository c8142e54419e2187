/*
** rowids.c - whether SQLite has given the table's rows new rowids.
**
** The rowids of a table without an INTEGER PRIMARY KEY are SQLite's to choose: VACUUM numbers the
** rows anew (at least where the table has no index), and so does whatever copies the rows, as a
** dump that is restored. No trigger sees that. Results kept by rowid would then belong to other
** rows.
**
** Two traces tell that the rowids are still those that were noted:
**   - PRAGMA schema_version, which VACUUM counts up, as does DROP TABLE and every other change of
**     the schema within one file;
**   - the canary, a table like the user's, without a key and an index. Its only row has a large
**     rowid and holds that rowid. What copies rows without their rowids gives it another.
** Both are read in the transaction that relies on them, which costs two rows.
**
** When a trace is gone, which mostly means that somebody has created a table, all rows are compared
** with the hashes of the texts that they had when they were done (table ..._hash, written with the
** results). A row with another text than its hash becomes pending; the results of a row with an
** equal text are right, whichever row it was before. That reads the table once, some seconds for a
** million rows, in short transactions. If it is cut short, the traces are still gone and the next
** call begins again.
*/
#include "enrich/enrich.h"
#include "base/hash.h"

#define ROWIDS_CHUNK       4096      /* rows compared in a transaction, */
#define ROWIDS_CHUNK_BYTES (8 << 20) /* or about so much text */

int64_t ner_enrich_hash(const void *bytes, size_t n_bytes, bool is_blob) {
  return (int64_t)ner_hash(is_blob, bytes, n_bytes);
}

/* ---- traces ---- */

struct rowids_traces {
  sqlite3_int64 schema_version, canary; /* as they are */
  bool kept;                            /* both are as noted */
};

static int rowids_read(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                       struct rowids_traces *traces, struct ner_err *err) {
  sqlite3_int64 noted = 0, kept = 0;
  int rc = ner_enrich_read_int64(conn, ner_enrich_sql(t, "PRAGMA $S.schema_version"),
                                 &traces->schema_version, err);
  if( rc == NER_OK )
    rc = ner_enrich_read_int64(conn, ner_enrich_sql(t, "SELECT rowid FROM $S.\"$N_canary\""),
                               &traces->canary, err);
  if( rc == NER_OK )
    rc =
        ner_enrich_read_int64(conn,
                              ner_enrich_sql(t, "SELECT count(*) = 1 AND sum(rowid = rowid_was) = 1"
                                                " FROM $S.\"$N_canary\""),
                              &kept, err);
  if( rc == NER_OK )
    rc = ner_enrich_read_int64(
        conn, ner_enrich_sql(t, "SELECT value FROM $S.\"$N_state\" WHERE key = 'schema_version'"),
        &noted, err);
  traces->kept = kept && noted == traces->schema_version;
  return rc;
}

int ner_enrich_rowids_kept(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, bool *kept, struct ner_err *err) {
  struct rowids_traces traces = {.kept = true};
  int rc = target->rowids_may_change ? rowids_read(target, conn, &traces, err) : NER_OK;
  *kept = rc == NER_OK && traces.kept;
  return rc;
}

int ner_enrich_rowids_note(const struct ner_enrich_target *target,
                           struct ner_enrich_connection *conn, bool anew, struct ner_err *err) {
  /* SQLite's rowids of new rows begin at 1. */
  sqlite3_int64 rowid = (sqlite3_int64)(ner_random() >> 2) | (sqlite3_int64)1 << 40, version;
  char *insert, *state;
  int rc = NER_OK;
  if( !target->rowids_may_change ) return NER_OK;
  if( anew ) rc = ner_enrich_exec(conn, ner_enrich_sql(target, "DELETE FROM $S.\"$N_hash\""), err);
  if( rc == NER_OK )
    rc = ner_enrich_exec(conn, ner_enrich_sql(target, "DELETE FROM $S.\"$N_canary\""), err);
  if( rc != NER_OK ) return rc;
  insert = ner_enrich_sql(target, "INSERT INTO $S.\"$N_canary\"(rowid, rowid_was) VALUES");
  if( !insert ) return ner_fail_nomem(err);
  rc = ner_enrich_exec(conn, sqlite3_mprintf("%z(%lld, %lld)", insert, rowid, rowid), err);
  if( rc == NER_OK )
    rc = ner_enrich_read_int64(conn, ner_enrich_sql(target, "PRAGMA $S.schema_version"), &version,
                               err);
  if( rc != NER_OK ) return rc;
  state = ner_enrich_sql(target, "REPLACE INTO $S.\"$N_state\"(key, value) VALUES");
  if( !state ) return ner_fail_nomem(err);
  return ner_enrich_exec(conn, sqlite3_mprintf("%z('schema_version', %lld)", state, version), err);
}

/* ---- comparing ---- */

struct rowids_comparison {
  const struct ner_enrich_target *target;
  struct ner_enrich_connection *conn;
  sqlite3_stmt *rows; /* rowid, text, hash of the rows from ?1 on */
  sqlite3_stmt *note; /* makes row ?1 pending */
  struct rowids_traces start;
  sqlite3_int64 next; /* rowid from which to go on */
  bool ended;
};

static int rowids_prepare(struct rowids_comparison *c, struct ner_err *err) {
  char *rows =
      ner_enrich_sql(c->target, "SELECT $(d.$k$|, $), d.$C, $(h.$o$|, $), h.hash FROM $S.$T AS d"
                                " LEFT JOIN $S.\"$N_hash\" AS h ON $(h.$o = d.$k$| AND $)"
                                " WHERE $(d.$k >= ?$|$) ORDER BY $(d.$k$|$)");
  char *note = ner_enrich_sql(
      c->target, "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change) VALUES($(?$|, $), random())");
  int rc = ner_enrich_prepare(c->conn, rows, &c->rows, err);
  if( rc == NER_OK ) rc = ner_enrich_prepare(c->conn, note, &c->note, err);
  sqlite3_free(rows);
  sqlite3_free(note);
  return rc;
}

/* Whether the row's text is the one that its hash was made of; *n_bytes: its length. */
static int rowids_is_equal(struct rowids_comparison *c, bool *equal, size_t *n_bytes,
                           struct ner_err *err) {
  int type = sqlite3_column_type(c->rows, 1);
  bool has_hash = sqlite3_column_type(c->rows, 2) != SQLITE_NULL;
  int64_t hash = sqlite3_column_int64(c->rows, 3);
  const void *bytes;
  *n_bytes = 0;
  *equal = type == SQLITE_NULL && !has_hash;
  if( type == SQLITE_NULL ) return NER_OK;
  bytes = type == SQLITE_BLOB ? sqlite3_column_blob(c->rows, 1)
                              : (const void *)sqlite3_column_text(c->rows, 1);
  *n_bytes = (size_t)sqlite3_column_bytes(c->rows, 1);
  if( !bytes && (type != SQLITE_BLOB || *n_bytes > 0) ) return ner_fail_nomem(err);
  *equal = has_hash && hash == ner_enrich_hash(bytes, *n_bytes, type == SQLITE_BLOB);
  return NER_OK;
}

/* Some rows from c->next on, inside a transaction. */
static int rowids_compare_chunk(struct rowids_comparison *c, struct ner_err *err) {
  size_t n_bytes = 0, n_text;
  int rc = NER_OK;
  sqlite3_bind_int64(c->rows, 1, c->next);
  for( int n = 0; n < ROWIDS_CHUNK && n_bytes < ROWIDS_CHUNK_BYTES && rc == NER_OK; n++ ) {
    bool row, equal, stepped;
    sqlite3_int64 rowid;
    rc = ner_enrich_step(c->conn, c->rows, &row, err);
    c->ended = rc == NER_OK && !row;
    if( rc != NER_OK || !row ) break;
    rowid = sqlite3_column_int64(c->rows, 0);
    rc = rowids_is_equal(c, &equal, &n_text, err);
    n_bytes += n_text;
    if( rc == NER_OK && !equal ) {
      sqlite3_bind_int64(c->note, 1, rowid);
      rc = ner_enrich_step(c->conn, c->note, &stepped, err);
    }
    c->ended = rowid == INT64_MAX;
    if( c->ended ) break;
    c->next = rowid + 1;
  }
  sqlite3_reset(c->rows);
  return rc;
}

/* One transaction: a chunk of rows, or after the last the rows that are gone. The traces must not
** change in between; when they do, all begins again. */
static int rowids_compare_some(struct rowids_comparison *c, bool *done, struct ner_err *err) {
  struct rowids_traces now;
  bool found;
  int rc = ner_enrich_begin(c->conn, true, err);
  if( rc == NER_OK ) rc = rowids_read(c->target, c->conn, &now, err);
  if( rc == NER_OK &&
      (now.schema_version != c->start.schema_version || now.canary != c->start.canary) ) {
    c->start = now;
    c->next = INT64_MIN;
    c->ended = false;
  }
  if( rc == NER_OK && now.kept ) { /* another connection has compared them */
    *done = true;
  } else if( rc == NER_OK && !c->ended ) {
    rc = rowids_compare_chunk(c, err);
  } else if( rc == NER_OK ) {
    rc = ner_enrich_note_orphans(c->target, c->conn, &found, err);
    if( rc == NER_OK ) rc = ner_enrich_rowids_note(c->target, c->conn, false, err);
    *done = rc == NER_OK;
  }
  if( rc == NER_OK ) rc = ner_enrich_commit(c->conn, err);
  if( rc != NER_OK ) ner_enrich_rollback(c->conn);
  return rc;
}

int ner_enrich_rowids_compare(const struct ner_enrich_target *target,
                              struct ner_enrich_connection *conn, struct ner_err *err) {
  struct rowids_comparison c = {.target = target, .conn = conn, .next = INT64_MIN};
  bool done = false;
  int rc = rowids_prepare(&c, err);
  while( rc == NER_OK && !done ) rc = rowids_compare_some(&c, &done, err);
  sqlite3_finalize(c.rows);
  sqlite3_finalize(c.note);
  return rc;
}
