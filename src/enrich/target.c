/*
** target.c - the table to be enriched, and all that is made for it.
**
** For table docs and column body, in the database that holds docs:
**
**     docs_body_ner        docs_rowid, entity, label, score, start, end
**     docs_body_ner_queue  docs_rowid, change     rows that are due
**     docs_body_ner_error  docs_rowid, error      rows that could not be done
**     docs_body_ner_state  key, value             what was done with what
**     two indexes and three triggers
**
** A WITHOUT ROWID table's rows are told apart by its primary key: docs_a, docs_b ... then stand in
** place of docs_rowid, with the column's affinity and the key's collation.
**
** `change` is another number each time a row is noted, so that a batch can tell whether a row was
** changed while it was being worked on. A random number needs no counter
** and no index; that two in a row are equal is as likely as 1 in 2^64.
**
** The triggers are plain SQL, which any program can run, and of the simplest kind: INSERT
** OR ... of the statement that fires a trigger overrides what the trigger's own
** statements say about conflicts, so they must have none. Text is compared
** byte by byte, whatever the column's collation. There is no list of columns behind
** UPDATE, since neither a key that is set by another of its names nor a generated
** column would be found in it.
*/
#include "enrich/enrich.h"

#include <string.h>

/* ---- SQL text ---- */

static void expand(sqlite3_str *out, const struct ner_enrich_target *t, const char *p,
                   const char *end, int i) {
  while( p < end ) {
    const char *sep, *close;
    if( *p != '$' || p + 1 == end ) {
      sqlite3_str_append(out, p++, 1);
      continue;
    }
    switch( p[1] ) {
    case 'S': sqlite3_str_appendf(out, "\"%w\"", t->schema); break;
    case 'T': sqlite3_str_appendf(out, "\"%w\"", t->table); break;
    case 'C': sqlite3_str_appendf(out, "\"%w\"", t->column); break;
    case 'N': sqlite3_str_appendf(out, "%w", t->name); break;
    case 'k': sqlite3_str_appendf(out, "\"%w\"", t->key[i].name); break;
    case 'o': sqlite3_str_appendf(out, "\"%w\"", t->key[i].own); break;
    case 't': sqlite3_str_appendall(out, t->key[i].type); break;
    case 'i': sqlite3_str_appendf(out, "%d", i + 1); break;
    case '(':
      sep = strstr(p, "$|");
      close = strstr(p, "$)");
      for( int key = 0; key < t->n_keys; key++ ) {
        if( key ) sqlite3_str_append(out, sep + 2, (int)(close - sep - 2));
        expand(out, t, p + 2, sep, key);
      }
      p = close;
      break;
    }
    p += 2;
  }
}

char *ner_enrich_sql(const struct ner_enrich_target *target, const char *pattern) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  expand(out, target, pattern, pattern + strlen(pattern), 0);
  return sqlite3_str_finish(out);
}

/* What is made, in the order of enum ner_enrich_made: its type, the end of its name, and what
** follows CREATE and the type. */
#define NOTE(row)                                                                                  \
  " DELETE FROM \"$N_queue\" WHERE $($o = " row ".$k$| AND $);"                                    \
  " INSERT INTO \"$N_queue\"($($o$|, $), change) VALUES($(" row ".$k$|, $), random());"

static const struct {
  const char *type, *suffix, *sql;
} recipes[NER_ENRICH_MADE] = {
    {"table", "",
     "\"$N\"($($o $t NOT NULL$|, $), entity TEXT NOT NULL, label TEXT NOT NULL,"
     " score REAL NOT NULL, start INTEGER NOT NULL, \"end\" INTEGER NOT NULL)"},
    {"table", "_queue",
     "\"$N_queue\"($($o $t NOT NULL$|, $), change INTEGER NOT NULL, PRIMARY KEY($($o$|, $)))"},
    {"table", "_error",
     "\"$N_error\"($($o $t NOT NULL$|, $), error TEXT NOT NULL, PRIMARY KEY($($o$|, $)))"},
    {"table", "_state", "\"$N_state\"(key TEXT PRIMARY KEY, value)"},
    {"index", "_by_row", "\"$N_by_row\" ON \"$N\"($($o$|, $))"},
    {"index", "_by_entity", "\"$N_by_entity\" ON \"$N\"(entity, label)"},
    {"trigger", "_insert", "\"$N_insert\" AFTER INSERT ON $T BEGIN" NOTE("new") " END"},
    {"trigger", "_update",
     "\"$N_update\" AFTER UPDATE ON $T WHEN old.$C IS NOT new.$C COLLATE BINARY"
     "$( OR old.$k IS NOT new.$k COLLATE BINARY$|$) BEGIN" NOTE("old") NOTE("new") " END"},
    {"trigger", "_delete", "\"$N_delete\" AFTER DELETE ON $T BEGIN" NOTE("old") " END"},
};

/* ---- which table ---- */

static int has_table(sqlite3 *host, const char *schema, const char *table, bool *has,
                     struct ner_err *err) {
  int rc = sqlite3_table_column_metadata(host, schema, table, NULL, NULL, NULL, NULL, NULL, NULL);
  *has = rc == SQLITE_OK;
  if( rc == SQLITE_OK || rc == SQLITE_ERROR ) return NER_OK;
  if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s", sqlite3_errmsg(host));
}

/* What is no table but can be selected from is a view, or a table-valued function. */
static int is_view(sqlite3 *host, const char *name, bool *is, struct ner_err *err) {
  sqlite3_stmt *statement = NULL;
  char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\"", name);
  int rc = sql ? sqlite3_prepare_v2(host, sql, -1, &statement, NULL) : SQLITE_NOMEM;
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  *is = rc == SQLITE_OK;
  return rc == SQLITE_NOMEM ? ner_fail_nomem(err) : NER_OK;
}

struct databases {
  char **name; /* [n] in the order in which SQLite looks for a table */
  size_t n, cap;
};

/* sqlite3_db_name() is not there before 3.39. */
static int list_databases(sqlite3 *host, struct databases *list, struct ner_err *err) {
  sqlite3_stmt *statement = NULL;
  int rc = sqlite3_prepare_v2(host, "PRAGMA database_list", -1, &statement, NULL);
  while( rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW ) {
    char *name = sqlite3_mprintf("%s", sqlite3_column_text(statement, 1));
    rc = SQLITE_NOMEM;
    if( !name ||
        ner_grow((void **)&list->name, &list->cap, list->n + 1, sizeof *list->name) != NER_OK ) {
      sqlite3_free(name);
      break;
    }
    list->name[list->n++] = name;
    rc = SQLITE_OK;
    /* main comes first, then temp, if there is one */
    if( sqlite3_column_int(statement, 0) == 1 ) {
      list->name[list->n - 1] = list->name[0];
      list->name[0] = name;
    }
  }
  sqlite3_finalize(statement);
  if( rc == SQLITE_DONE ) return NER_OK;
  if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
  if( rc == SQLITE_INTERRUPT ) return ner_fail_interrupted(err);
  return ner_fail(err, NER_ERROR, "%s", sqlite3_errmsg(host));
}

int ner_enrich_resolve(sqlite3 *host, const char *name, char **schema, char **table,
                       struct ner_err *err) {
  struct databases list = {0};
  bool found = false, view = false;
  int rc = list_databases(host, &list, err);
  *schema = *table = NULL;
  for( int dotted = 0; dotted < 2; dotted++ )
    for( size_t i = 0; i < list.n && rc == NER_OK && !found; i++ ) {
      size_t n = strlen(list.name[i]);
      const char *rest = name;
      if( dotted ) {
        if( sqlite3_strnicmp(name, list.name[i], (int)n) != 0 || name[n] != '.' ) continue;
        rest = name + n + 1;
      }
      rc = has_table(host, list.name[i], rest, &found, err);
      if( !found ) continue;
      *schema = sqlite3_mprintf("%s", list.name[i]);
      *table = sqlite3_mprintf("%s", rest);
      if( !*schema || !*table ) rc = ner_fail_nomem(err);
    }
  if( rc == NER_OK && !found ) rc = is_view(host, name, &view, err);
  if( rc == NER_OK && view )
    rc = ner_fail(err, NER_ERROR,
                  "'%.100s' is not a table but a view, which has no triggers; enrich the table"
                  " its text comes from",
                  name);
  else if( rc == NER_OK && !found )
    rc = ner_fail(err, NER_ERROR,
                  "there is no table '%.100s'; write ner_enrich('table', 'column'), or"
                  " 'database.table' for an attached database",
                  name);
  for( size_t i = 0; i < list.n; i++ ) sqlite3_free(list.name[i]);
  NER_FREE(list.name);
  return rc;
}

/* ---- what it is like ---- */

/* The table's real name, and whether it is one that triggers can be set on. */
static int read_table(struct ner_enrich_target *t, struct ner_enrich_work *work, const char *table,
                      bool *strict, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = false;
  char *sql;
  int rc;
  if( sqlite3_strnicmp(table, "sqlite_", 7) == 0 )
    return ner_fail(err, NER_ERROR, "'%.100s' is SQLite's own; it can have no triggers", table);
  sql = sqlite3_mprintf("PRAGMA \"%w\".table_list(\"%w\")", work->schema, table);
  rc = ner_enrich_prepare(work, sql, &statement, err);
  if( rc == NER_OK ) rc = ner_enrich_step(work, statement, &row, err);
  if( rc == NER_OK && !row ) rc = ner_fail(err, NER_ERROR, "there is no table '%.100s'", table);
  if( rc == NER_OK ) {
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *type = (const char *)sqlite3_column_text(statement, 2);
    t->table = name ? sqlite3_mprintf("%s", name) : NULL;
    t->without_rowid = sqlite3_column_int(statement, 4) != 0;
    *strict = sqlite3_column_int(statement, 5) != 0;
    if( !type || !t->table )
      rc = ner_fail_nomem(err);
    else if( strcmp(type, "table") != 0 )
      rc = ner_fail(err, NER_ERROR,
                    "'%.100s' is a %s table, on which no triggers can be set; enrich the table its"
                    " text comes from, or use ner_query()",
                    t->table, type);
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

/* SQLite's rules, "Determination Of Column Affinity"; only a STRICT table's ANY keeps everything
** as it is. */
static const char *affinity(const char *type, bool strict) {
  static const char *const rules[][2] = {
      {"%INT%", "INTEGER"}, {"%CHAR%", "TEXT"}, {"%CLOB%", "TEXT"}, {"%TEXT%", "TEXT"},
      {"%BLOB%", "BLOB"},   {"%REAL%", "REAL"}, {"%FLOA%", "REAL"}, {"%DOUB%", "REAL"}};
  if( !*type || (strict && sqlite3_stricmp(type, "ANY") == 0) ) return "BLOB";
  for( size_t i = 0; i < sizeof rules / sizeof *rules; i++ )
    if( sqlite3_strlike(rules[i][0], type, 0) == 0 ) return rules[i][1];
  return "NUMERIC";
}

static int add_key(struct ner_enrich_target *t, const char *name, const char *type,
                   const char *collation, struct ner_err *err) {
  struct ner_enrich_key *key;
  size_t cap = (size_t)t->n_keys;
  if( ner_grow((void **)&t->key, &cap, cap + 1, sizeof *t->key) != NER_OK )
    return ner_fail_nomem(err);
  key = &t->key[t->n_keys++];
  key->name = sqlite3_mprintf("%s", name);
  key->own = sqlite3_mprintf("%s_%s", t->table, name);
  key->type = collation && sqlite3_stricmp(collation, "BINARY") != 0
                  ? sqlite3_mprintf("%s COLLATE \"%w\"", type, collation)
                  : sqlite3_mprintf("%s", type);
  if( !key->name || !key->own || !key->type ) return ner_fail_nomem(err);
  return NER_OK;
}

/* The column's real name; of the names a rowid has, one that no column has taken. */
static int read_columns(struct ner_enrich_target *t, struct ner_enrich_work *work,
                        const char *column, struct ner_err *err) {
  static const char *const aliases[] = {"rowid", "_rowid_", "oid"};
  bool taken[] = {false, false, false}, row = true;
  size_t alias = 0, n_aliases = sizeof aliases / sizeof *aliases;
  sqlite3_stmt *statement;
  char *sql = ner_enrich_sql(t, "PRAGMA $S.table_xinfo($T)");
  int rc = ner_enrich_prepare(work, sql, &statement, err);
  while( rc == NER_OK && (rc = ner_enrich_step(work, statement, &row, err)) == NER_OK && row ) {
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    if( !name ) {
      rc = ner_fail_nomem(err);
      break;
    }
    for( size_t i = 0; i < n_aliases; i++ )
      if( sqlite3_stricmp(name, aliases[i]) == 0 ) taken[i] = true;
    if( sqlite3_stricmp(name, column) != 0 ) continue;
    t->column = sqlite3_mprintf("%s", name);
    if( !t->column ) {
      rc = ner_fail_nomem(err);
      break;
    }
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  if( rc != NER_OK ) return rc;
  if( !t->column )
    return ner_fail(err, NER_ERROR, "table '%.100s' has no column '%.100s'", t->table, column);
  if( t->without_rowid ) return NER_OK; /* its keys come from the index */
  while( alias < n_aliases && taken[alias] ) alias++;
  if( alias == n_aliases )
    return ner_fail(err, NER_ERROR,
                    "table '%.100s' has columns called rowid, _rowid_ and oid, so its rows cannot"
                    " be told apart; rename one of them",
                    t->table);
  rc = add_key(t, aliases[alias], "INTEGER", NULL, err);
  if( rc != NER_OK || alias == 0 ) return rc;
  sqlite3_free(t->key[0].own);
  t->key[0].own = sqlite3_mprintf("%s_rowid", t->table);
  return t->key[0].own ? NER_OK : ner_fail_nomem(err);
}

/* Unique indexes, and the primary key's columns. */
static int read_indexes(struct ner_enrich_target *t, struct ner_enrich_work *work, bool strict,
                        struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  char *sql =
      ner_enrich_sql(t, "SELECT i.origin = 'pk', x.name, x.coll, c.type"
                        " FROM pragma_index_list(?1, ?2) AS i, pragma_index_xinfo(i.name, ?2) AS x"
                        " LEFT JOIN pragma_table_xinfo(?1, ?2) AS c ON c.cid = x.cid"
                        " WHERE i.\"unique\" AND x.key ORDER BY i.seq, x.seqno");
  int rc = ner_enrich_prepare(work, sql, &statement, err);
  if( rc == NER_OK ) {
    ner_enrich_bind_text(work, statement, 1, t->table, strlen(t->table));
    ner_enrich_bind_text(work, statement, 2, t->schema, strlen(t->schema));
  }
  while( rc == NER_OK && (rc = ner_enrich_step(work, statement, &row, err)) == NER_OK && row ) {
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *collation = (const char *)sqlite3_column_text(statement, 2);
    const char *type = (const char *)sqlite3_column_text(statement, 3);
    if( t->without_rowid && sqlite3_column_int(statement, 0) )
      rc = add_key(t, name ? name : "", affinity(type ? type : "", strict), collation, err);
    else
      t->replaceable = true;
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

static int name_what_is_made(struct ner_enrich_target *t, struct ner_err *err) {
  for( int i = 0; i < NER_ENRICH_MADE; i++ ) {
    struct ner_enrich_object *object = &t->made[i];
    char *tail = ner_enrich_sql(t, recipes[i].sql);
    bool clustered = t->without_rowid && (i == NER_ENRICH_QUEUE || i == NER_ENRICH_ERROR);
    object->type = recipes[i].type;
    object->name = sqlite3_mprintf("%s%s", t->name, recipes[i].suffix);
    object->sql = tail ? sqlite3_mprintf("%s%s", tail, clustered ? " WITHOUT ROWID" : "") : NULL;
    sqlite3_free(tail);
    if( !object->name || !object->sql ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

int ner_enrich_target_init(struct ner_enrich_target *target, struct ner_enrich_work *work,
                           const char *table, const char *column, struct ner_err *err) {
  bool strict = false;
  int rc;
  target->schema = sqlite3_mprintf("%s", work->schema);
  if( !target->schema ) return ner_fail_nomem(err);
  rc = read_table(target, work, table, &strict, err);
  if( rc == NER_OK ) rc = read_columns(target, work, column, err);
  if( rc == NER_OK ) rc = read_indexes(target, work, strict, err);
  if( rc != NER_OK ) return rc;
  target->name = sqlite3_mprintf("%s_%s_ner", target->table, target->column);
  return target->name ? name_what_is_made(target, err) : ner_fail_nomem(err);
}

void ner_enrich_target_reset(struct ner_enrich_target *target) {
  for( int i = 0; i < target->n_keys; i++ ) {
    sqlite3_free(target->key[i].name);
    sqlite3_free(target->key[i].own);
    sqlite3_free(target->key[i].type);
  }
  for( int i = 0; i < NER_ENRICH_MADE; i++ ) {
    sqlite3_free(target->made[i].name);
    sqlite3_free(target->made[i].sql);
  }
  NER_FREE(target->key);
  sqlite3_free(target->schema);
  sqlite3_free(target->table);
  sqlite3_free(target->column);
  sqlite3_free(target->name);
  memset(target, 0, sizeof *target);
}

/* ---- trust ---- */

/* Another connection does not ask the host's authorizer, so that is done here: the same
** statements are prepared on the host's, and never run. */
int ner_enrich_target_authorize(const struct ner_enrich_target *target,
                                struct ner_enrich_work *work, struct ner_err *err) {
  static const struct {
    enum ner_enrich_made made;
    const char *sql;
  } asked[] = {{NER_ENRICH_MADE, "SELECT $(d.$k$|, $), d.$C FROM $S.$T AS d"},
               {NER_ENRICH_ENTITY, "CREATE TABLE $S."},
               {NER_ENRICH_BY_ROW, "CREATE INDEX $S."},
               {NER_ENRICH_UPDATE, "CREATE TRIGGER $S."}};
  struct ner_enrich_target in_host = *target;
  if( !work->beside ) return NER_OK;
  in_host.schema = work->host_schema;
  for( size_t i = 0; i < sizeof asked / sizeof *asked; i++ ) {
    sqlite3_stmt *statement = NULL;
    char *head = ner_enrich_sql(&in_host, asked[i].sql);
    char *sql = head ? sqlite3_mprintf(
                           "%s%s", head,
                           asked[i].made == NER_ENRICH_MADE ? "" : target->made[asked[i].made].sql)
                     : NULL;
    int rc = sql ? sqlite3_prepare_v2(work->host, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    sqlite3_finalize(statement);
    sqlite3_free(head);
    sqlite3_free(sql);
    if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
    if( rc == SQLITE_AUTH )
      return ner_fail(err, NER_ERROR, "%s: ner_enrich would create tables and triggers",
                      sqlite3_errmsg(work->host));
  }
  return NER_OK;
}
