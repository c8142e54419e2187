/*
** rename.c - carries over what ner_enrich() made for a table or column that was renamed since.
**
** ALTER TABLE docs RENAME TO papers rewrites our triggers on docs, so that they go on filling
** docs_body_ner_queue with the changes of papers. Such triggers are recognized by their text: it is
** what would be written today for this table and column, but for the names of our tables. The names
** of the keys in those tables are read from the queue.
**
** The tables are then renamed by ALTER TABLE, which keeps the user's views, triggers and indexes on
** them, and the triggers are made anew. Our indexes keep their names: SQLite can neither rename an
** index nor, on a connection whose statement is running, drop it. Nothing becomes pending. Where
** there are tables of the present name already (made before this file existed), the old triggers
** are dropped, since nothing empties the queue that they fill; the old tables are the user's to
** keep or drop.
*/
#include "enrich/enrich.h"

#include <string.h>

/* The queue's columns but for the last, which must be `change`: the names of the keys. */
struct rename_keys {
  char **name; /* [n] */
  size_t n, cap;
};

static void rename_keys_free(struct rename_keys *keys) {
  for( size_t i = 0; i < keys->n; i++ ) sqlite3_free(keys->name[i]);
  NER_FREE(keys->name);
  *keys = (struct rename_keys){0};
}

static int rename_read_keys(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                            const char *name, struct rename_keys *keys, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  char *sql = sqlite3_mprintf("PRAGMA \"%w\".table_info(\"%w_queue\")", t->schema, name);
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  while( rc == NER_OK && (rc = ner_enrich_step(conn, statement, &row, err)) == NER_OK && row ) {
    char *key = sqlite3_mprintf("%s", sqlite3_column_text(statement, 1));
    if( !key || ner_grow((void **)&keys->name, &keys->cap, keys->n + 1, sizeof *keys->name) ) {
      sqlite3_free(key);
      rc = ner_fail_nomem(err);
      break;
    }
    keys->name[keys->n++] = key;
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

static bool rename_is_create(const char *sql, const char *object_sql) {
  return strncmp(sql, "CREATE TRIGGER ", 15) == 0 && strcmp(sql + 15, object_sql) == 0;
}

/* If trigger `name`_update with text `sql` is ours for this table and column, fills `old` with the
** names that it has; otherwise leaves it zeroed. */
static int rename_recognize(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                            const char *name, const char *sql, struct ner_enrich_target *old,
                            struct ner_err *err) {
  struct rename_keys keys = {0};
  bool same_names, ours = false;
  int rc = rename_read_keys(t, conn, name, &keys, err);
  *old = (struct ner_enrich_target){0};
  if( rc == NER_OK && keys.n == (size_t)t->n_keys + 1 &&
      strcmp(keys.name[keys.n - 1], "change") == 0 ) {
    rc = ner_enrich_target_rename(t, name, (const char *const *)keys.name, old, err);
    same_names = strcmp(name, t->name) == 0;
    for( int i = 0; i < t->n_keys; i++ )
      same_names = same_names && strcmp(keys.name[i], t->key[i].own) == 0;
    if( rc == NER_OK && !same_names )
      ours = rename_is_create(sql, old->object[NER_ENRICH_UPDATE].sql) ||
             rename_is_create(sql, old->object[NER_ENRICH_UPDATE].sql_1);
  }
  if( !ours ) ner_enrich_target_reset(old);
  rename_keys_free(&keys);
  return rc;
}

/* The first trigger of ours under other names; old->name NULL: there is none. */
static int rename_find(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                       struct ner_enrich_target *old, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = true;
  char *sql = ner_enrich_sql(t, "SELECT substr(name, 1, length(name) - length('_update')), sql"
                                " FROM $S.sqlite_schema WHERE type = 'trigger'"
                                " AND tbl_name = ?1 COLLATE NOCASE"
                                " AND name LIKE '%\\_ner\\_update' ESCAPE '\\'");
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  *old = (struct ner_enrich_target){0};
  if( rc == NER_OK ) ner_enrich_bind_text(conn, statement, 1, t->table, strlen(t->table));
  while( rc == NER_OK && !old->name &&
         (rc = ner_enrich_step(conn, statement, &row, err)) == NER_OK && row ) {
    const char *name = (const char *)sqlite3_column_text(statement, 0);
    const char *text = (const char *)sqlite3_column_text(statement, 1);
    rc = name && text ? rename_recognize(t, conn, name, text, old, err) : ner_fail_nomem(err);
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

static int rename_drop(const struct ner_enrich_target *old, struct ner_enrich_connection *conn,
                       int from, int to, struct ner_err *err) {
  int rc = NER_OK;
  for( int i = from; i < to && rc == NER_OK; i++ )
    rc = ner_enrich_exec(conn,
                         sqlite3_mprintf("DROP %s IF EXISTS \"%w\".\"%w\"", old->object[i].type,
                                         old->schema, old->object[i].name),
                         err);
  return rc;
}

static int rename_table(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                        const char *from, const char *to, struct ner_err *err) {
  return ner_enrich_exec(
      conn, sqlite3_mprintf("ALTER TABLE \"%w\".\"%w\" RENAME TO \"%w\"", t->schema, from, to),
      err);
}

/* One of the tables and the keys in it. SQLite takes no new name that differs from the old one in
** case alone, so every table goes by way of a third name. */
static int rename_object(const struct ner_enrich_target *t, const struct ner_enrich_target *old,
                         struct ner_enrich_connection *conn, int object, struct ner_err *err) {
  const char *from = old->object[object].name, *to = t->object[object].name;
  bool has_keys = object != NER_ENRICH_STATE && object != NER_ENRICH_CANARY;
  int rc = NER_OK;
  if( strcmp(from, to) != 0 ) {
    char *between = sqlite3_mprintf("%s_renamed", to);
    rc = between ? rename_table(t, conn, from, between, err) : ner_fail_nomem(err);
    if( rc == NER_OK ) rc = rename_table(t, conn, between, to, err);
    sqlite3_free(between);
  }
  for( int i = 0; i < t->n_keys && has_keys && rc == NER_OK; i++ )
    if( strcmp(old->key[i].own, t->key[i].own) != 0 )
      rc = ner_enrich_exec(
          conn,
          sqlite3_mprintf("ALTER TABLE \"%w\".\"%w\" RENAME COLUMN \"%w\" TO \"%w\"", t->schema, to,
                          old->key[i].own, t->key[i].own),
          err);
  return rc;
}

static int rename_all(const struct ner_enrich_target *t, const struct ner_enrich_target *old,
                      struct ner_enrich_connection *conn, struct ner_err *err) {
  int rc = rename_drop(old, conn, NER_ENRICH_INSERT, NER_ENRICH_OBJECTS, err);
  for( int i = 0; i < NER_ENRICH_TABLES && rc == NER_OK; i++ ) {
    sqlite3_int64 there = 0;
    rc = ner_enrich_read_int64(
        conn,
        sqlite3_mprintf("SELECT count(*) FROM \"%w\".sqlite_schema WHERE type = 'table'"
                        " AND name = %Q",
                        t->schema, old->object[i].name),
        &there, err);
    if( rc == NER_OK && there ) rc = rename_object(t, old, conn, i, err);
  }
  for( int i = NER_ENRICH_INSERT; i < NER_ENRICH_OBJECTS && rc == NER_OK; i++ )
    rc = ner_enrich_exec(
        conn, sqlite3_mprintf("CREATE TRIGGER \"%w\".%s", t->schema, t->object[i].sql), err);
  if( rc != NER_OK && err )
    ner_fail_prefix(err, "'%.100s' cannot be carried over to '%.100s': ", old->name, t->name);
  return rc;
}

int ner_enrich_rename(const struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                      bool fresh, bool apply, bool *found, struct ner_err *err) {
  struct ner_enrich_target old;
  int rc = rename_find(target, conn, &old, err);
  *found = rc == NER_OK && old.name;
  while( rc == NER_OK && old.name && apply ) {
    if( fresh || sqlite3_stricmp(old.name, target->name) == 0 )
      rc = rename_all(target, &old, conn, err);
    else
      rc = rename_drop(&old, conn, NER_ENRICH_INSERT, NER_ENRICH_OBJECTS, err);
    fresh = false;
    ner_enrich_target_reset(&old);
    if( rc == NER_OK ) rc = rename_find(target, conn, &old, err);
  }
  ner_enrich_target_reset(&old);
  return rc;
}
