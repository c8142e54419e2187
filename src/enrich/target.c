/*
** target.c - the table to be enriched, and the SQL of all that is made for it.
**
** For table docs and column body, in the database that holds docs:
**
**     docs_body_ner         docs_rowid, entity, label, score, start, end
**     docs_body_ner_queue   docs_rowid, change     pending rows
**     docs_body_ner_error   docs_rowid, error      rows that could not be done
**     docs_body_ner_state   key, value             what was done with what
**     docs_body_ner_hash    docs_rowid, hash       the texts of rows that are done, and
**     docs_body_ner_canary  rowid_was              only where rowids may change (enrich/rowids.c)
**     two indexes and three triggers
**
** The rows of a WITHOUT ROWID table are told apart by its primary key: docs_a, docs_b ... then take
** the place of docs_rowid, with the columns' affinities and the key's collations. A column may be
** in the key twice, with two collations; it is then called docs_a and docs_a_2.
**
** `change` is another number each time a row is noted, by which a batch can tell whether a row was
** changed during its work. A random number needs no counter and no index; two in a row are equal
** with a probability of 1 in 2^64.
**
** The triggers are plain SQL, which any program can run, and of the simplest kind. INSERT OR ... of
** the statement that fires a trigger overrides the conflict clauses of the trigger's own
** statements, so these have none. Text is compared byte by byte, whatever the column's collation.
** UPDATE has no list of columns, since neither a key that is set by another of its names nor a
** generated column would be found in it. The comment is for those who meet a trigger in an error of
** ALTER TABLE.
*/
#include "enrich/enrich.h"

#include <string.h>

/* ---- SQL text ---- */

static void target_expand(sqlite3_str *out, const struct ner_enrich_target *t, const char *p,
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
        target_expand(out, t, p + 2, sep, key);
      }
      p = close;
      break;
    }
    p += 2;
  }
}

char *ner_enrich_sql(const struct ner_enrich_target *target, const char *pattern) {
  sqlite3_str *out = sqlite3_str_new(NULL);
  target_expand(out, target, pattern, pattern + strlen(pattern), 0);
  return sqlite3_str_finish(out);
}

/* The objects, in the order of enum ner_enrich_object_id: the type, the end of the name, and what
** follows CREATE and the type; triggers in three parts, with the comment behind the first. */
#define TARGET_NOTE(row)                                                                           \
  " DELETE FROM \"$N_queue\" WHERE $($o = " row ".$k$| AND $);"                                    \
  " INSERT INTO \"$N_queue\"($($o$|, $), change) VALUES($(" row ".$k$|, $), random());"
#define TARGET_COMMENT "/* by ner_enrich(); sql/enrich-undo.sql removes it */ "

static const struct {
  const char *type, *suffix, *sql, *body;
} target_objects[NER_ENRICH_OBJECTS] = {
    [NER_ENRICH_ENTITY] =
        {"table", "",
         "\"$N\"($($o $t NOT NULL$|, $), entity TEXT NOT NULL, label TEXT NOT NULL,"
         " score REAL NOT NULL, start INTEGER NOT NULL, \"end\" INTEGER NOT NULL)",
         NULL},
    [NER_ENRICH_QUEUE] = {"table", "_queue",
                          "\"$N_queue\"($($o $t NOT NULL$|, $), change INTEGER NOT NULL,"
                          " PRIMARY KEY($($o$|, $)))",
                          NULL},
    [NER_ENRICH_ERROR] = {"table", "_error",
                          "\"$N_error\"($($o $t NOT NULL$|, $), error TEXT NOT NULL,"
                          " PRIMARY KEY($($o$|, $)))",
                          NULL},
    [NER_ENRICH_STATE] = {"table", "_state", "\"$N_state\"(key TEXT PRIMARY KEY, value)", NULL},
    [NER_ENRICH_HASH] = {"table", "_hash",
                         "\"$N_hash\"($($o $t NOT NULL$|, $), hash INTEGER NOT NULL,"
                         " PRIMARY KEY($($o$|, $)))",
                         NULL},
    [NER_ENRICH_CANARY] = {"table", "_canary", "\"$N_canary\"(rowid_was INTEGER NOT NULL)", NULL},
    [NER_ENRICH_BY_ROW] = {"index", "_by_row", "\"$N_by_row\" ON \"$N\"($($o$|, $))", NULL},
    [NER_ENRICH_BY_ENTITY] = {"index", "_by_entity", "\"$N_by_entity\" ON \"$N\"(entity, label)",
                              NULL},
    [NER_ENRICH_INSERT] = {"trigger", "_insert", "\"$N_insert\" AFTER INSERT ON $T ",
                           "BEGIN" TARGET_NOTE("new") " END"},
    [NER_ENRICH_UPDATE] = {"trigger", "_update", "\"$N_update\" AFTER UPDATE ON $T ",
                           "WHEN old.$C IS NOT new.$C COLLATE BINARY"
                           "$( OR old.$k IS NOT new.$k COLLATE BINARY$|$) BEGIN" TARGET_NOTE("old")
                               TARGET_NOTE("new") " END"},
    [NER_ENRICH_DELETE] = {"trigger", "_delete", "\"$N_delete\" AFTER DELETE ON $T ",
                           "BEGIN" TARGET_NOTE("old") " END"},
};

bool ner_enrich_target_needs(const struct ner_enrich_target *target, int object) {
  return target->rowids_may_change || (object != NER_ENRICH_HASH && object != NER_ENRICH_CANARY);
}

/* Names and SQL of the objects of a target that has all else. */
static int target_name_objects(struct ner_enrich_target *t, struct ner_err *err) {
  for( int i = 0; i < NER_ENRICH_OBJECTS; i++ ) {
    struct ner_enrich_object *object = &t->object[i];
    char *head = ner_enrich_sql(t, target_objects[i].sql);
    char *body = ner_enrich_sql(t, target_objects[i].body ? target_objects[i].body : "");
    bool trigger = target_objects[i].body != NULL;
    bool clustered = t->without_rowid && (i == NER_ENRICH_QUEUE || i == NER_ENRICH_ERROR);
    object->type = target_objects[i].type;
    object->name = sqlite3_mprintf("%s%s", t->name, target_objects[i].suffix);
    if( head && (body || !trigger) ) {
      object->sql = trigger ? sqlite3_mprintf("%s" TARGET_COMMENT "%s", head, body)
                            : sqlite3_mprintf("%s%s", head, clustered ? " WITHOUT ROWID" : "");
      if( trigger ) object->sql_1 = sqlite3_mprintf("%s%s", head, body);
    }
    sqlite3_free(head);
    sqlite3_free(body);
    if( !object->name || !object->sql || (trigger && !object->sql_1) ) return ner_fail_nomem(err);
  }
  return NER_OK;
}

/* ---- the table ---- */

/* The table's real name, and whether triggers can be set on it. */
static int target_read_table(struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                             const char *table, bool *strict, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = false;
  char *sql;
  int rc;
  if( sqlite3_strnicmp(table, "sqlite_", 7) == 0 )
    return ner_fail(err, NER_ERROR, "'%.100s' is SQLite's own; it can have no triggers", table);
  if( sqlite3_stricmp(table, "sqlite") == 0 )
    return ner_fail(err, NER_ERROR,
                    "table '%.100s' would need tables called sqlite_..., a name that SQLite"
                    " reserves; rename it with ALTER TABLE",
                    table);
  sql = sqlite3_mprintf("PRAGMA \"%w\".table_list(\"%w\")", conn->schema, table);
  rc = ner_enrich_prepare(conn, sql, &statement, err);
  if( rc == NER_OK ) rc = ner_enrich_step(conn, statement, &row, err);
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
static const char *target_affinity(const char *type, bool strict) {
  static const char *const rules[][2] = {
      {"%INT%", "INTEGER"}, {"%CHAR%", "TEXT"}, {"%CLOB%", "TEXT"}, {"%TEXT%", "TEXT"},
      {"%BLOB%", "BLOB"},   {"%REAL%", "REAL"}, {"%FLOA%", "REAL"}, {"%DOUB%", "REAL"}};
  if( !*type || (strict && sqlite3_stricmp(type, "ANY") == 0) ) return "BLOB";
  for( size_t i = 0; i < sizeof rules / sizeof *rules; i++ )
    if( sqlite3_strlike(rules[i][0], type, 0) == 0 ) return rules[i][1];
  return "NUMERIC";
}

/* What our tables call key column `name`; NULL: no memory. */
static char *target_own_name(const struct ner_enrich_target *t, const char *name) {
  char *own = sqlite3_mprintf("%s_%s", t->table, name);
  for( int number = 2, i = 0; own && i < t->n_keys; i++ ) {
    if( sqlite3_stricmp(t->key[i].own, own) != 0 ) continue;
    sqlite3_free(own);
    own = sqlite3_mprintf("%s_%s_%d", t->table, name, number++);
    i = -1; /* the new name may be taken, too */
  }
  return own;
}

static int target_add_key(struct ner_enrich_target *t, const char *name, const char *own_name,
                          const char *type, const char *collation, struct ner_err *err) {
  struct ner_enrich_key key = {0};
  size_t cap = (size_t)t->n_keys;
  key.own = target_own_name(t, own_name);
  if( !key.own || ner_grow((void **)&t->key, &cap, cap + 1, sizeof *t->key) != NER_OK ) {
    sqlite3_free(key.own);
    return ner_fail_nomem(err);
  }
  key.name = sqlite3_mprintf("%s", name);
  key.type = collation && sqlite3_stricmp(collation, "BINARY") != 0
                 ? sqlite3_mprintf("%s COLLATE \"%w\"", type, collation)
                 : sqlite3_mprintf("%s", type);
  t->key[t->n_keys++] = key;
  return key.name && key.type ? NER_OK : ner_fail_nomem(err);
}

static int target_fail_no_column(const struct ner_enrich_target *t,
                                 struct ner_enrich_connection *conn, const char *column,
                                 struct ner_err *err) {
  char *from = ner_enrich_sql(t, "SELECT count(*) FROM $S.sqlite_schema WHERE type = 'table'");
  char *sql = from ? sqlite3_mprintf("%s AND name = '%q_%q_ner_state' COLLATE NOCASE", from,
                                     t->table, column)
                   : NULL;
  sqlite3_int64 left;
  int rc = ner_enrich_read_int64(conn, sql, &left, err);
  sqlite3_free(from);
  if( rc != NER_OK ) return rc;
  if( !left )
    return ner_fail(err, NER_ERROR, "table '%.100s' has no column '%.100s'", t->table, column);
  return ner_fail(err, NER_ERROR,
                  "table '%.100s' has no column '%.100s', although '%.100s_%.100s_ner' was made for"
                  " it; if the column was renamed, give its new name and its results are carried"
                  " over; if it was dropped, sql/enrich-undo.sql removes what is left",
                  t->table, column, t->table, column);
}

/* The column's real name; of the names that a rowid has, one that no column has taken. */
static int target_read_columns(struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                               const char *column, struct ner_err *err) {
  static const char *const aliases[] = {"rowid", "_rowid_", "oid"};
  bool taken[] = {false, false, false}, primary_key = false, row = true;
  size_t alias = 0, n_aliases = sizeof aliases / sizeof *aliases;
  sqlite3_stmt *statement;
  char *sql = ner_enrich_sql(t, "PRAGMA $S.table_xinfo($T)");
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  while( rc == NER_OK && (rc = ner_enrich_step(conn, statement, &row, err)) == NER_OK && row ) {
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    if( !name ) {
      rc = ner_fail_nomem(err);
      break;
    }
    primary_key = primary_key || sqlite3_column_int(statement, 5) > 0;
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
  if( !t->column ) return target_fail_no_column(t, conn, column, err);
  if( t->without_rowid ) return NER_OK; /* its keys come from the index */
  t->rowids_may_change = !primary_key;  /* one with an index is no INTEGER PRIMARY KEY either */
  while( alias < n_aliases && taken[alias] ) alias++;
  if( alias == n_aliases )
    return ner_fail(err, NER_ERROR,
                    "table '%.100s' has columns called rowid, _rowid_ and oid, so its rows cannot"
                    " be told apart; rename one of them",
                    t->table);
  return target_add_key(t, aliases[alias], "rowid", "INTEGER", NULL, err);
}

/* Unique indexes, and the primary key's columns. */
static int target_read_indexes(struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                               bool strict, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  char *sql =
      ner_enrich_sql(t, "SELECT i.origin = 'pk', x.name, x.coll, c.type"
                        " FROM pragma_index_list(?1, ?2) AS i, pragma_index_xinfo(i.name, ?2) AS x"
                        " LEFT JOIN pragma_table_xinfo(?1, ?2) AS c ON c.cid = x.cid"
                        " WHERE i.\"unique\" AND x.key ORDER BY i.seq, x.seqno");
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  if( rc == NER_OK ) {
    ner_enrich_bind_text(conn, statement, 1, t->table, strlen(t->table));
    ner_enrich_bind_text(conn, statement, 2, t->schema, strlen(t->schema));
  }
  while( rc == NER_OK && (rc = ner_enrich_step(conn, statement, &row, err)) == NER_OK && row ) {
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    const char *collation = (const char *)sqlite3_column_text(statement, 2);
    const char *type = (const char *)sqlite3_column_text(statement, 3);
    bool primary_key = sqlite3_column_int(statement, 0) != 0;
    if( t->without_rowid && primary_key ) {
      name = name ? name : "";
      rc = target_add_key(t, name, name, target_affinity(type ? type : "", strict), collation, err);
    } else {
      t->replaceable = true;
      t->rowids_may_change = t->rowids_may_change || (primary_key && !t->without_rowid);
    }
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

int ner_enrich_target_init(struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                           const char *table, const char *column, struct ner_err *err) {
  bool strict = false;
  int rc;
  target->schema = sqlite3_mprintf("%s", conn->schema);
  if( !target->schema ) return ner_fail_nomem(err);
  rc = target_read_table(target, conn, table, &strict, err);
  if( rc == NER_OK ) rc = target_read_columns(target, conn, column, err);
  if( rc == NER_OK ) rc = target_read_indexes(target, conn, strict, err);
  if( rc != NER_OK ) return rc;
  target->name = sqlite3_mprintf("%s_%s_ner", target->table, target->column);
  return target->name ? target_name_objects(target, err) : ner_fail_nomem(err);
}

int ner_enrich_target_rename(const struct ner_enrich_target *from, const char *name,
                             const char *const *keys, struct ner_enrich_target *target,
                             struct ner_err *err) {
  bool strings;
  *target = (struct ner_enrich_target){.schema = sqlite3_mprintf("%s", from->schema),
                                       .table = sqlite3_mprintf("%s", from->table),
                                       .column = sqlite3_mprintf("%s", from->column),
                                       .name = sqlite3_mprintf("%s", name),
                                       .key = ner_calloc((size_t)from->n_keys, sizeof *from->key),
                                       .without_rowid = from->without_rowid,
                                       .rowids_may_change = from->rowids_may_change,
                                       .replaceable = from->replaceable};
  strings = target->schema && target->table && target->column && target->name && target->key;
  for( int i = 0; i < from->n_keys && strings; i++ ) {
    struct ner_enrich_key *key = &target->key[target->n_keys++];
    key->name = sqlite3_mprintf("%s", from->key[i].name);
    key->own = sqlite3_mprintf("%s", keys ? keys[i] : from->key[i].own);
    key->type = sqlite3_mprintf("%s", from->key[i].type);
    strings = key->name && key->own && key->type;
  }
  return strings ? target_name_objects(target, err) : ner_fail_nomem(err);
}

void ner_enrich_target_reset(struct ner_enrich_target *target) {
  for( int i = 0; i < target->n_keys; i++ ) {
    sqlite3_free(target->key[i].name);
    sqlite3_free(target->key[i].own);
    sqlite3_free(target->key[i].type);
  }
  for( int i = 0; i < NER_ENRICH_OBJECTS; i++ ) {
    sqlite3_free(target->object[i].name);
    sqlite3_free(target->object[i].sql);
    sqlite3_free(target->object[i].sql_1);
  }
  NER_FREE(target->key);
  sqlite3_free(target->schema);
  sqlite3_free(target->table);
  sqlite3_free(target->column);
  sqlite3_free(target->name);
  memset(target, 0, sizeof *target);
}

/* ---- trust ---- */

/* Our own connection does not ask the host's authorizer. Hence the same statements are prepared on
** the host's connection, and not run. */
int ner_enrich_target_authorize(const struct ner_enrich_target *target,
                                struct ner_enrich_connection *conn, struct ner_err *err) {
  static const struct {
    int object; /* whose SQL follows; NER_ENRICH_OBJECTS: none */
    const char *sql;
  } asked[] = {{NER_ENRICH_OBJECTS, "SELECT $(d.$k$|, $), d.$C FROM $S.$T AS d"},
               {NER_ENRICH_ENTITY, "CREATE TABLE $S."},
               {NER_ENRICH_BY_ROW, "CREATE INDEX $S."},
               {NER_ENRICH_UPDATE, "CREATE TRIGGER $S."}};
  struct ner_enrich_target in_host = *target;
  if( !conn->own ) return NER_OK;
  in_host.schema = conn->host_schema;
  for( size_t i = 0; i < sizeof asked / sizeof *asked; i++ ) {
    sqlite3_stmt *statement = NULL;
    const char *tail =
        asked[i].object < NER_ENRICH_OBJECTS ? target->object[asked[i].object].sql : "";
    char *head = ner_enrich_sql(&in_host, asked[i].sql);
    char *sql = head ? sqlite3_mprintf("%s%s", head, tail) : NULL;
    int rc = sql ? sqlite3_prepare_v2(conn->host, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    sqlite3_finalize(statement);
    sqlite3_free(head);
    sqlite3_free(sql);
    if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
    if( rc == SQLITE_AUTH )
      return ner_fail(err, NER_ERROR, "%s: ner_enrich would create tables and triggers",
                      sqlite3_errmsg(conn->host));
  }
  return NER_OK;
}
