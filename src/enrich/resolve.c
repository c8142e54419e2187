/*
** resolve.c - which table a name means, and what the name means if it is no table.
**
** A name is looked up in each database in SQLite's own order (temp, main, attached ones), and then
** taken apart as database.table. Finding a table reads no file but for the schema. Only when there
** is none do statements run that tell what there is instead.
*/
#include "enrich/enrich.h"

#include <string.h>

struct resolve_databases {
  char **name; /* [n] in the order in which SQLite looks for a table */
  size_t n, cap;
};

/* sqlite3_db_name() is not there before 3.39. */
static int resolve_list_databases(sqlite3 *host, struct resolve_databases *list,
                                  struct ner_err *err) {
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

/* The part of `name` behind "schema."; all of it when !dotted; NULL: it is another database's. */
static const char *resolve_rest(const char *name, const char *schema, bool dotted) {
  size_t n = strlen(schema);
  if( !dotted ) return name;
  if( sqlite3_strnicmp(name, schema, (int)n) != 0 || name[n] != '.' ) return NULL;
  return name + n + 1;
}

static int resolve_has_table(sqlite3 *host, const char *schema, const char *table, bool *has,
                             struct ner_err *err) {
  int rc = sqlite3_table_column_metadata(host, schema, table, NULL, NULL, NULL, NULL, NULL, NULL);
  *has = rc == SQLITE_OK;
  if( rc == SQLITE_OK || rc == SQLITE_ERROR ) return NER_OK;
  if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR, "%s", sqlite3_errmsg(host));
}

/* Whether the statement can be prepared and, if `type`, gives a row whose third column is that.
** Frees sql. */
static int resolve_succeeds(sqlite3 *host, char *sql, const char *type, bool *succeeds,
                            struct ner_err *err) {
  sqlite3_stmt *statement = NULL;
  int rc = sql ? sqlite3_prepare_v2(host, sql, -1, &statement, NULL) : SQLITE_NOMEM;
  *succeeds = rc == SQLITE_OK;
  if( *succeeds && type ) {
    const char *found;
    rc = sqlite3_step(statement);
    found = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 2) : NULL;
    *succeeds = found && strcmp(found, type) == 0;
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  if( rc == SQLITE_INTERRUPT ) return ner_fail_interrupted(err);
  return rc == SQLITE_NOMEM ? ner_fail_nomem(err) : NER_OK;
}

enum resolve_other { RESOLVE_NOTHING, RESOLVE_VIEW, RESOLVE_FUNCTION, RESOLVE_LEFTOVER };

/* What `name` is if it is no table; `column` as given to ner_enrich(). */
static int resolve_other(sqlite3 *host, const struct resolve_databases *list, const char *name,
                         const char *column, enum resolve_other *out, struct ner_err *err) {
  bool is = false;
  int rc = NER_OK;
  *out = RESOLVE_NOTHING;
  for( int dotted = 0; dotted < 2 && rc == NER_OK; dotted++ )
    for( size_t i = 0; i < list->n && rc == NER_OK && *out != RESOLVE_VIEW; i++ ) {
      const char *schema = list->name[i], *rest = resolve_rest(name, schema, dotted);
      char *state;
      if( !rest ) continue;
      rc = resolve_succeeds(host, sqlite3_mprintf("PRAGMA \"%w\".table_list(\"%w\")", schema, rest),
                            "view", &is, err);
      if( is ) *out = RESOLVE_VIEW;
      if( is || rc != NER_OK || *out == RESOLVE_LEFTOVER ) continue;
      state = sqlite3_mprintf("%s_%s_ner_state", rest, column);
      rc = state ? resolve_has_table(host, schema, state, &is, err) : ner_fail_nomem(err);
      if( is ) *out = RESOLVE_LEFTOVER;
      sqlite3_free(state);
    }
  if( rc == NER_OK && *out == RESOLVE_NOTHING ) {
    rc = resolve_succeeds(host, sqlite3_mprintf("SELECT 1 FROM \"%w\"", name), NULL, &is, err);
    if( is ) *out = RESOLVE_FUNCTION;
  }
  return rc;
}

static int resolve_fail(sqlite3 *host, const struct resolve_databases *list, const char *name,
                        const char *column, struct ner_err *err) {
  enum resolve_other other;
  int rc = resolve_other(host, list, name, column, &other, err);
  if( rc != NER_OK ) return rc;
  switch( other ) {
  case RESOLVE_VIEW:
    return ner_fail(err, NER_ERROR,
                    "'%.100s' is not a table but a view, which has no triggers; enrich the table"
                    " its text comes from, or use ner_query()",
                    name);
  case RESOLVE_FUNCTION:
    return ner_fail(err, NER_ERROR,
                    "'%.100s' is not a table but a table-valued function, which has no triggers;"
                    " enrich a table, or use ner_query()",
                    name);
  case RESOLVE_LEFTOVER:
    return ner_fail(err, NER_ERROR,
                    "there is no table '%.100s', although '%.100s_%.100s_ner' was made for it; if"
                    " the table was renamed, give its new name and its results are carried over; if"
                    " it was dropped, sql/enrich-undo.sql removes what is left",
                    name, name, column);
  default:
    return ner_fail(err, NER_ERROR,
                    "there is no table '%.100s'; write ner_enrich('table', 'column'), or"
                    " 'database.table' for an attached database",
                    name);
  }
}

int ner_enrich_resolve(sqlite3 *host, const char *name, const char *column, char **schema,
                       char **table, struct ner_err *err) {
  struct resolve_databases list = {0};
  bool found = false;
  int rc = resolve_list_databases(host, &list, err);
  *schema = *table = NULL;
  for( int dotted = 0; dotted < 2; dotted++ )
    for( size_t i = 0; i < list.n && rc == NER_OK && !found; i++ ) {
      const char *rest = resolve_rest(name, list.name[i], dotted);
      if( !rest ) continue;
      rc = resolve_has_table(host, list.name[i], rest, &found, err);
      if( !found ) continue;
      *schema = sqlite3_mprintf("%s", list.name[i]);
      *table = sqlite3_mprintf("%s", rest);
      if( !*schema || !*table ) rc = ner_fail_nomem(err);
    }
  if( rc == NER_OK && !found ) rc = resolve_fail(host, &list, name, column, err);
  for( size_t i = 0; i < list.n; i++ ) sqlite3_free(list.name[i]);
  NER_FREE(list.name);
  return rc;
}
