/*
** setup.c - the tables and triggers of ner_enrich(): checked, made, upgraded; and which rows are
** pending.
**
** All is done in one transaction: the triggers exist from the moment at which the rows that were
** there before are noted, so that none is missed. When everything is in order, nothing is locked
** and nothing written.
**
** A table is ours if its CREATE statement is to the letter what we would write, and the state table
** names this table and column. Anything else with one of the names is left alone and reported. Only
** triggers that are missing or different are made anew (the table was dropped and made again, say).
** Rows may then have changed unseen, so all are pending.
**
** Layouts. 1: without a comment in the triggers, without the tables of enrich/rowids.c. 2: with
** them. Layout 1 becomes layout 2 without any row pending, unless rowids may change: what happened
** to them before is not known.
*/
#include "enrich/enrich.h"

#include <string.h>

#define SETUP_LAYOUT 2
#define SETUP_REMEDY                                                                               \
  "run sql/enrich-undo.sql for this table and column, and then ner_enrich again, which starts "    \
  "over"

/* ---- settings ---- */

char *ner_enrich_settings(const struct ner_model *model, const struct ner_options *options) {
  static const char *const aggregations[] = {"first", "simple", "average", "max", "strict"};
  const struct ner_config *config = &model->config;
  uint64_t hash;
  if( ner_model_hash(model, &hash, NULL) ) return NULL; /* no memory */
  return sqlite3_mprintf("%s %dx%d %s, %lld parameters, %d tokens, labels %s, %016llx;"
                         " aggregation %s; threshold %!.17g",
                         ner_architecture_name(config->architecture), config->layers,
                         config->hidden, ner_precision_name(model->precision),
                         (long long)model->parameters, config->max_tokens, model->labels_json,
                         (unsigned long long)hash, aggregations[options->aggregation],
                         options->threshold);
}

/* ---- what is there ---- */

enum setup_state {
  SETUP_ABSENT,
  SETUP_SAME,
  SETUP_LAYOUT_1,  /* as layout 1 had it */
  SETUP_ELSEWHERE, /* a trigger on another table */
  SETUP_DIFFERENT,
};

static int setup_look(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                      enum setup_state found[NER_ENRICH_OBJECTS], struct ner_err *err) {
  sqlite3_stmt *statement;
  /* Triggers have names of their own. */
  char *sql = ner_enrich_sql(
      t, "SELECT CASE WHEN type = ?1 AND sql = 'CREATE ' || upper(?1) || ' ' || ?2 THEN 1"
         " WHEN type = ?1 AND sql = 'CREATE ' || upper(?1) || ' ' || ?3 THEN 2"
         " WHEN ?1 = 'trigger' AND tbl_name <> ?5 COLLATE NOCASE THEN 3 ELSE 4 END"
         " FROM $S.sqlite_schema WHERE name = ?4 COLLATE NOCASE"
         " AND (type = 'trigger') = (?1 = 'trigger')");
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  for( int i = 0; i < NER_ENRICH_OBJECTS && rc == NER_OK; i++ ) {
    const struct ner_enrich_object *object = &t->object[i];
    const char *sql_1 = object->sql_1 ? object->sql_1 : object->sql;
    bool row = false;
    ner_enrich_bind_text(conn, statement, 1, object->type, strlen(object->type));
    ner_enrich_bind_text(conn, statement, 2, object->sql, strlen(object->sql));
    ner_enrich_bind_text(conn, statement, 3, sql_1, strlen(sql_1));
    ner_enrich_bind_text(conn, statement, 4, object->name, strlen(object->name));
    ner_enrich_bind_text(conn, statement, 5, t->table, strlen(t->table));
    rc = ner_enrich_step(conn, statement, &row, err);
    found[i] = row ? (enum setup_state)sqlite3_column_int(statement, 0) : SETUP_ABSENT;
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

static const char *const setup_index_tails[] = {" ON \"$N\"($($o$|, $))",
                                                " ON \"$N\"(entity, label)"};

/* An index serves under any name. After enrich/rename.c it has its old one, which may be in the way
** of the index of a table that has taken the old name: SETUP_ELSEWHERE. */
static int setup_look_for_index(const struct ner_enrich_target *t,
                                struct ner_enrich_connection *conn, int object,
                                enum setup_state *found, struct ner_err *err) {
  sqlite3_int64 same = 0, elsewhere = 0;
  char *tail = ner_enrich_sql(t, setup_index_tails[object - NER_ENRICH_BY_ROW]);
  char *from = ner_enrich_sql(t, " FROM $S.sqlite_schema WHERE type = 'index'");
  int rc = tail && from ? NER_OK : ner_fail_nomem(err);
  if( rc == NER_OK )
    rc = ner_enrich_read_int64(
        conn,
        sqlite3_mprintf("SELECT count(*)%s AND substr(sql, -length(%Q)) = %Q", from, tail, tail),
        &same, err);
  if( rc == NER_OK && !same )
    rc = ner_enrich_read_int64(
        conn,
        sqlite3_mprintf(
            "SELECT count(*)%s AND name = %Q COLLATE NOCASE AND tbl_name LIKE '%%\\_ner'"
            " ESCAPE '\\'",
            from, t->object[object].name),
        &elsewhere, err);
  if( same ) *found = SETUP_SAME;
  if( elsewhere ) *found = SETUP_ELSEWHERE;
  sqlite3_free(tail);
  sqlite3_free(from);
  return rc;
}

/* The value of `key` in the state table, to be freed with sqlite3_free(); "" if there is none. */
static int setup_read_state(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                            const char *key, char **value, struct ner_err *err) {
  sqlite3_stmt *statement;
  bool row = false;
  char *sql = ner_enrich_sql(t, "SELECT value FROM $S.\"$N_state\" WHERE key = ?");
  int rc = ner_enrich_prepare(conn, sql, &statement, err);
  *value = NULL;
  if( rc == NER_OK ) {
    ner_enrich_bind_text(conn, statement, 1, key, strlen(key));
    rc = ner_enrich_step(conn, statement, &row, err);
  }
  if( rc == NER_OK ) {
    const char *text = row ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    *value = sqlite3_mprintf("%s", text ? text : "");
    if( !*value ) rc = ner_fail_nomem(err);
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

struct setup_findings {
  enum setup_state object[NER_ENRICH_OBJECTS];
  bool fresh;         /* none of our objects is there */
  bool renamed;       /* there are some under an earlier name */
  bool make_triggers; /* they are missing or different */
  bool old_triggers;  /* they are layout 1's, which do the same */
  bool make_indexes;
  bool make_hashes; /* rowids may change, and nothing has been kept to notice it */
  bool other_settings;
  bool rowids_lost; /* the rowids may be others than noted */
};

static bool setup_all_pending(const struct setup_findings *f) {
  return f->make_triggers || f->make_hashes || f->other_settings;
}
static bool setup_is_needed(const struct setup_findings *f) {
  return f->renamed || f->make_triggers || f->old_triggers || f->make_indexes || f->make_hashes ||
         f->other_settings;
}

/* Whose tables these are, and with what settings the results were made. */
static int setup_check_state(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                             const char *settings, struct setup_findings *f, struct ner_err *err) {
  static const char *const keys[] = {"layout", "table", "column", "settings"};
  char *value[4] = {NULL, NULL, NULL, NULL};
  const char *name = t->object[NER_ENRICH_STATE].name;
  int rc = NER_OK;
  for( int i = 0; i < 4 && rc == NER_OK; i++ )
    rc = setup_read_state(t, conn, keys[i], &value[i], err);
  if( rc == NER_OK && strcmp(value[0], "1") != 0 && strcmp(value[0], "2") != 0 )
    rc = ner_fail(err, NER_ERROR,
                  "'%.150s' was made by another version of ner_enrich, or has been changed by "
                  "hand; " SETUP_REMEDY,
                  name);
  if( rc == NER_OK && (strcmp(value[1], t->table) != 0 || strcmp(value[2], t->column) != 0) )
    rc = ner_fail(err, NER_ERROR,
                  "'%.150s' belongs to table '%.100s', column '%.100s', not to table '%.100s',"
                  " column '%.100s', whose results would have the same name; rename the table or"
                  " the column, or if the former is no more, " SETUP_REMEDY,
                  name, value[1], value[2], t->table, t->column);
  if( rc == NER_OK ) f->other_settings = strcmp(value[3], settings) != 0;
  for( int i = 0; i < 4; i++ ) sqlite3_free(value[i]);
  return rc;
}

static int setup_check_objects(const struct ner_enrich_target *t, struct setup_findings *f,
                               struct ner_err *err) {
  const enum setup_state *found = f->object;
  for( int i = 0; i < NER_ENRICH_OBJECTS; i++ ) {
    const char *name = t->object[i].name;
    bool trigger = i >= NER_ENRICH_INSERT, hash = i == NER_ENRICH_HASH || i == NER_ENRICH_CANARY;
    if( !ner_enrich_target_needs(t, i) ) continue;
    if( f->fresh && (found[i] == SETUP_ABSENT || f->renamed) ) continue;
    if( f->fresh && !trigger && found[i] == SETUP_ELSEWHERE ) continue;
    if( !f->fresh && found[i] == SETUP_SAME ) continue;
    if( f->fresh )
      return ner_fail(err, NER_ERROR,
                      "'%.150s' exists already and was not made by ner_enrich (or has been changed"
                      " since); rename it, or " SETUP_REMEDY,
                      name);
    if( trigger && found[i] == SETUP_ELSEWHERE )
      return ner_fail(err, NER_ERROR,
                      "'%.150s' is a trigger on another table now, which was called '%.100s'"
                      " before; run ner_enrich for that table under its present name first, which"
                      " carries its results over",
                      name, t->table);
    if( trigger && found[i] == SETUP_LAYOUT_1 )
      f->old_triggers = true;
    else if( trigger )
      f->make_triggers = true;
    else if( found[i] == SETUP_DIFFERENT )
      return ner_fail(err, NER_ERROR, "'%.150s' is not as ner_enrich made it; " SETUP_REMEDY, name);
    else if( hash )
      f->make_hashes = true;
    else if( i < NER_ENRICH_TABLES )
      return ner_fail(
          err, NER_ERROR,
          "'%.150s' is missing, so it is not known which rows are pending; " SETUP_REMEDY, name);
    else
      f->make_indexes = true;
  }
  return NER_OK;
}

static int setup_inspect(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                         const char *settings, struct setup_findings *f, struct ner_err *err) {
  enum setup_state *found = f->object;
  bool kept = true;
  int rc;
  memset(f, 0, sizeof *f);
  rc = setup_look(t, conn, found, err);
  for( int i = NER_ENRICH_BY_ROW; i <= NER_ENRICH_BY_ENTITY && rc == NER_OK; i++ )
    rc = setup_look_for_index(t, conn, i, &found[i], err);
  if( rc != NER_OK ) return rc;
  f->fresh = found[NER_ENRICH_STATE] != SETUP_SAME;
  rc = ner_enrich_rename(t, conn, f->fresh, false, &f->renamed, err);
  /* With its keys under other names, what follows does not apply yet. */
  if( rc == NER_OK && f->renamed && !f->fresh && found[NER_ENRICH_QUEUE] != SETUP_SAME ) return rc;
  if( rc == NER_OK && !f->fresh ) rc = setup_check_state(t, conn, settings, f, err);
  if( rc == NER_OK ) rc = setup_check_objects(t, f, err);
  if( rc == NER_OK && f->fresh && !f->renamed )
    f->make_triggers = f->make_indexes = f->other_settings = true;
  if( rc == NER_OK && !f->fresh && !f->make_hashes )
    rc = ner_enrich_rowids_kept(t, conn, &kept, err);
  f->rowids_lost = !kept;
  return rc;
}

/* ---- making it ---- */

/* The index whose name another one has taken. */
static int setup_create_index_2(const struct ner_enrich_target *t,
                                struct ner_enrich_connection *conn, int i, struct ner_err *err) {
  char *tail = ner_enrich_sql(t, setup_index_tails[i - NER_ENRICH_BY_ROW]);
  if( !tail ) return ner_fail_nomem(err);
  return ner_enrich_exec(conn,
                         sqlite3_mprintf("CREATE INDEX IF NOT EXISTS \"%w\".\"%w_2\"%z", t->schema,
                                         t->object[i].name, tail),
                         err);
}

static int setup_create(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                        int i, struct ner_err *err) {
  /* In capitals, since SQLite writes it so into sqlite_schema. */
  const char *create = i < NER_ENRICH_TABLES   ? "CREATE TABLE"
                       : i < NER_ENRICH_INSERT ? "CREATE INDEX IF NOT EXISTS"
                                               : "CREATE TRIGGER";
  return ner_enrich_exec(conn, sqlite3_mprintf("%s \"%w\".%s", create, t->schema, t->object[i].sql),
                         err);
}

static int setup_drop(const struct ner_enrich_target *t, struct ner_enrich_connection *conn, int i,
                      struct ner_err *err) {
  return ner_enrich_exec(conn,
                         sqlite3_mprintf("DROP %s IF EXISTS \"%w\".\"%w\"", t->object[i].type,
                                         t->schema, t->object[i].name),
                         err);
}

static int setup_set_state(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                           const char *key, const char *value, struct ner_err *err) {
  char *sql = ner_enrich_sql(t, "REPLACE INTO $S.\"$N_state\"(key, value) VALUES");
  if( !sql ) return ner_fail_nomem(err);
  return ner_enrich_exec(conn, sqlite3_mprintf("%z(%Q, %Q)", sql, key, value), err);
}

static int setup_note_all(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                          bool fresh, struct ner_err *err) {
  static const char rows[] =
      "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change)"
      " SELECT $(d.$k$|, $), random() FROM $S.$T AS d WHERE d.$C IS NOT NULL";
  /* Those that have results although they are gone or empty now. */
  static const char results[] =
      "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change) SELECT *, random() FROM"
      " (SELECT $($o$|, $) FROM $S.\"$N\" UNION SELECT $($o$|, $) FROM $S.\"$N_error\")";
  int rc = ner_enrich_exec(conn, ner_enrich_sql(t, rows), err);
  if( rc == NER_OK && !fresh ) rc = ner_enrich_exec(conn, ner_enrich_sql(t, results), err);
  return rc;
}

/* The tables of enrich/rowids.c. Where rowids cannot change (any more), nothing keeps hashes up, so
** none may be left that would be believed if they could change again. DROP TABLE fails on the
** host's connection, because its statement is running. */
static int setup_make_hashes(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                             const enum setup_state found[NER_ENRICH_OBJECTS],
                             struct ner_err *err) {
  int rc = NER_OK;
  for( int i = NER_ENRICH_HASH; i <= NER_ENRICH_CANARY && rc == NER_OK; i++ )
    if( t->rowids_may_change && found[i] == SETUP_ABSENT )
      rc = setup_create(t, conn, i, err);
    else if( found[i] == SETUP_SAME )
      rc = ner_enrich_exec(
          conn, sqlite3_mprintf("DELETE FROM \"%w\".\"%w\"", t->schema, t->object[i].name), err);
  return rc;
}

static int setup_apply(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                       const struct setup_findings *f, const char *model_name, const char *settings,
                       struct ner_err *err) {
  bool all_pending = setup_all_pending(f), triggers = f->make_triggers || f->old_triggers;
  char layout[12];
  int rc = NER_OK;
  if( f->fresh )
    for( int i = 0; i < NER_ENRICH_HASH && rc == NER_OK; i++ ) rc = setup_create(t, conn, i, err);
  if( rc == NER_OK && (f->make_triggers || f->make_hashes) )
    rc = setup_make_hashes(t, conn, f->object, err);
  for( int i = NER_ENRICH_INSERT; i < NER_ENRICH_OBJECTS && triggers && rc == NER_OK; i++ ) {
    rc = setup_drop(t, conn, i, err);
    if( rc == NER_OK ) rc = setup_create(t, conn, i, err);
  }
  if( rc == NER_OK && all_pending ) rc = setup_note_all(t, conn, f->fresh, err);
  sqlite3_snprintf(sizeof layout, layout, "%d", SETUP_LAYOUT);
  if( rc == NER_OK ) rc = setup_set_state(t, conn, "layout", layout, err);
  if( rc == NER_OK ) rc = setup_set_state(t, conn, "table", t->table, err);
  if( rc == NER_OK ) rc = setup_set_state(t, conn, "column", t->column, err);
  if( rc == NER_OK ) rc = setup_set_state(t, conn, "model", model_name, err);
  if( rc == NER_OK ) rc = setup_set_state(t, conn, "settings", settings, err);
  /* Last: from here on an interrupt can no longer be undone inside the host's transaction (see
  ** ner_enrich_rollback()). What is there then is whole but for indexes, which the next call makes,
  ** and for the traces of the rowids, without which it compares the rows. */
  for( int i = NER_ENRICH_BY_ROW; i < NER_ENRICH_INSERT && rc == NER_OK; i++ )
    if( f->object[i] == SETUP_ELSEWHERE )
      rc = setup_create_index_2(t, conn, i, err);
    else if( f->object[i] != SETUP_SAME )
      rc = setup_create(t, conn, i, err);
  if( rc == NER_OK && (all_pending || !f->rowids_lost) )
    rc = ner_enrich_rowids_note(t, conn, all_pending, err);
  return rc;
}

/* Gives our tables the present name, and the state table, too; then looks again. */
static int setup_rename(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                        const char *settings, struct setup_findings *f, struct ner_err *err) {
  bool found, carried = f->fresh;
  int rc = ner_enrich_rename(t, conn, f->fresh, true, &found, err);
  if( rc == NER_OK && carried ) rc = setup_set_state(t, conn, "table", t->table, err);
  if( rc == NER_OK && carried ) rc = setup_set_state(t, conn, "column", t->column, err);
  return rc == NER_OK ? setup_inspect(t, conn, settings, f, err) : rc;
}

static int setup_inspect_alone(const struct ner_enrich_target *t,
                               struct ner_enrich_connection *conn, const char *settings,
                               struct setup_findings *f, struct ner_err *err) {
  int rc = ner_enrich_begin(conn, false, err);
  if( rc == NER_OK ) rc = setup_inspect(t, conn, settings, f, err);
  if( rc == NER_OK ) rc = ner_enrich_commit(conn, err);
  if( rc != NER_OK ) ner_enrich_rollback(conn);
  return rc;
}

int ner_enrich_setup(const struct ner_enrich_target *target, struct ner_enrich_connection *conn,
                     const char *model_name, const char *settings, struct ner_err *err) {
  struct setup_findings f;
  int rc = setup_inspect_alone(target, conn, settings, &f, err);
  if( rc == NER_OK && setup_is_needed(&f) ) {
    rc = ner_enrich_begin(conn, true, err);
    /* Again: another connection may have done it since. */
    if( rc == NER_OK ) rc = setup_inspect(target, conn, settings, &f, err);
    if( rc == NER_OK && f.renamed ) rc = setup_rename(target, conn, settings, &f, err);
    if( rc == NER_OK && setup_is_needed(&f) )
      rc = setup_apply(target, conn, &f, model_name, settings, err);
    if( rc == NER_OK ) rc = ner_enrich_commit(conn, err);
    if( rc != NER_OK ) ner_enrich_rollback(conn);
    if( rc == NER_OK ) rc = setup_inspect_alone(target, conn, settings, &f, err);
  }
  if( rc == NER_OK && f.rowids_lost ) rc = ner_enrich_rowids_compare(target, conn, err);
  return rc;
}

/* ---- orphans ---- */

/* Rows with results that are not in the table. */
#define SETUP_GONE(results)                                                                        \
  " FROM (SELECT DISTINCT $($o$|, $) FROM $S.\"" results "\") AS r WHERE NOT EXISTS"               \
  " (SELECT 1 FROM $S.$T AS d WHERE $(r.$o = d.$k$| AND $))"
#define SETUP_NOTE "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change) SELECT $(r.$o$|, $), random()"

static const struct {
  int object;
  const char *any, *note;
} setup_orphans[] = {
    {NER_ENRICH_ENTITY, "SELECT 1" SETUP_GONE("$N") " LIMIT 1", SETUP_NOTE SETUP_GONE("$N")},
    {NER_ENRICH_ERROR, "SELECT 1" SETUP_GONE("$N_error") " LIMIT 1",
     SETUP_NOTE SETUP_GONE("$N_error")},
    {NER_ENRICH_HASH, "SELECT 1" SETUP_GONE("$N_hash") " LIMIT 1",
     SETUP_NOTE SETUP_GONE("$N_hash")},
};
#define SETUP_N_ORPHANS (sizeof setup_orphans / sizeof *setup_orphans)

static int setup_any_orphan(const struct ner_enrich_target *t, struct ner_enrich_connection *conn,
                            bool *any, struct ner_err *err) {
  int rc = NER_OK;
  *any = false;
  for( size_t i = 0; i < SETUP_N_ORPHANS && rc == NER_OK && !*any; i++ ) {
    sqlite3_int64 found = 0;
    if( !ner_enrich_target_needs(t, setup_orphans[i].object) ) continue;
    rc = ner_enrich_read_int64(conn, ner_enrich_sql(t, setup_orphans[i].any), &found, err);
    *any = found != 0;
  }
  return rc;
}

int ner_enrich_note_orphans(const struct ner_enrich_target *target,
                            struct ner_enrich_connection *conn, bool *found, struct ner_err *err) {
  int rc = setup_any_orphan(target, conn, found, err);
  for( size_t i = 0; i < SETUP_N_ORPHANS && rc == NER_OK && *found; i++ )
    if( ner_enrich_target_needs(target, setup_orphans[i].object) )
      rc = ner_enrich_exec(conn, ner_enrich_sql(target, setup_orphans[i].note), err);
  return rc;
}

/* Looking takes no lock that others would feel, and there is hardly ever something to find. The
** number in the state table tells whether another batch was written meanwhile: then there may be
** more. Layout 1 called the request 'sweep'. */
int ner_enrich_scan_orphans(const struct ner_enrich_target *target,
                            struct ner_enrich_connection *conn, bool *found, struct ner_err *err) {
  static const char request[] =
      "SELECT value FROM $S.\"$N_state\" WHERE key IN ('orphan_scan', 'sweep')"
      " ORDER BY key = 'sweep'";
  sqlite3_int64 number = 0;
  char *done;
  int rc = ner_enrich_read_int64(conn, ner_enrich_sql(target, request), &number, err);
  *found = false;
  if( rc != NER_OK || !number ) return rc;
  rc = setup_any_orphan(target, conn, found, err);
  if( rc == NER_OK ) rc = ner_enrich_begin(conn, true, err);
  if( rc == NER_OK && *found ) rc = ner_enrich_note_orphans(target, conn, found, err);
  if( rc == NER_OK ) {
    done = ner_enrich_sql(target, "DELETE FROM $S.\"$N_state\" WHERE key = 'sweep'"
                                  " OR key = 'orphan_scan' AND value =");
    rc = ner_enrich_exec(conn, done ? sqlite3_mprintf("%z %lld", done, number) : NULL, err);
  }
  if( rc == NER_OK ) rc = ner_enrich_commit(conn, err);
  if( rc != NER_OK ) ner_enrich_rollback(conn);
  return rc;
}
