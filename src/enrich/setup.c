/*
** setup.c - the tables and triggers of ner_enrich(): found in order, or made; and which
** rows are due.
**
** Whatever is done is done in one transaction: the triggers exist from the very moment in which
** the rows that were there before are noted, so that none falls between. When all is as it should
** be, nothing is locked and nothing written.
**
** Ours are the tables whose CREATE statement is to the letter what we would write, and whose state
** names this table and column. Anything else that bears one of the names is left alone
** and reported. Triggers alone are set again when they are missing or not as they should be (the
** table was dropped and made anew, or renamed): then rows may have been changed unseen,
** and all are due.
*/
#include "enrich/enrich.h"

#include <string.h>

#define LAYOUT 1 /* of our tables; other layouts are others' */
#define REMEDY                                                                                     \
  "run sql/enrich-undo.sql for this table and column, and then ner_enrich again, which begins "    \
  "anew"

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

enum state { ABSENT, SAME, DIFFERENT };

static int look(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                enum state found[NER_ENRICH_MADE], struct ner_err *err) {
  sqlite3_stmt *statement;
  /* Triggers have names of their own. */
  char *sql = ner_enrich_sql(t, "SELECT type = ?1 AND sql = 'CREATE ' || upper(?1) || ' ' || ?2"
                                " FROM $S.sqlite_schema WHERE name = ?3 COLLATE NOCASE"
                                " AND (type = 'trigger') = (?1 = 'trigger')");
  int rc = ner_enrich_prepare(work, sql, &statement, err);
  for( int i = 0; i < NER_ENRICH_MADE && rc == NER_OK; i++ ) {
    const struct ner_enrich_object *object = &t->made[i];
    bool row = false;
    ner_enrich_bind_text(work, statement, 1, object->type, strlen(object->type));
    ner_enrich_bind_text(work, statement, 2, object->sql, strlen(object->sql));
    ner_enrich_bind_text(work, statement, 3, object->name, strlen(object->name));
    rc = ner_enrich_step(work, statement, &row, err);
    found[i] = !row ? ABSENT : sqlite3_column_int(statement, 0) ? SAME : DIFFERENT;
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  sqlite3_free(sql);
  return rc;
}

/* Is what `key` says in the state table `value`? */
static int state_is(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                    const char *key, const char *value, bool *is, struct ner_err *err) {
  sqlite3_int64 n = 0;
  char *sql = ner_enrich_sql(t, "SELECT count(*) FROM $S.\"$N_state\"");
  int rc = NER_OK;
  if( !sql ) return ner_fail_nomem(err);
  rc = ner_enrich_ask(work, sqlite3_mprintf("%z WHERE key = %Q AND value IS %Q", sql, key, value),
                      &n, err);
  *is = n == 1;
  return rc;
}

struct findings {
  bool fresh;        /* nothing of ours is there */
  bool set_triggers; /* they are not there as they should be */
  bool set_indexes;
  bool other_settings;
};

static int inspect(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                   const char *settings, struct findings *f, struct ner_err *err) {
  enum state found[NER_ENRICH_MADE];
  int rc = look(t, work, found, err);
  char layout[12];
  bool is = false;
  memset(f, 0, sizeof *f);
  if( rc != NER_OK ) return rc;

  f->fresh = found[NER_ENRICH_STATE] != SAME;
  for( int i = 0; i < NER_ENRICH_MADE; i++ ) {
    const char *name = t->made[i].name;
    bool is_trigger = i >= NER_ENRICH_INSERT;
    if( f->fresh && found[i] != ABSENT )
      return ner_fail(err, NER_ERROR,
                      "'%.150s' is there already and not of ner_enrich's making (or not as it made"
                      " it); rename it, or " REMEDY,
                      name);
    if( f->fresh || found[i] == SAME ) continue;
    if( i < NER_ENRICH_TABLES && found[i] == ABSENT )
      return ner_fail(err, NER_ERROR, "'%.150s' is missing, so what is due is not known; " REMEDY,
                      name);
    if( !is_trigger && found[i] == DIFFERENT )
      return ner_fail(err, NER_ERROR, "'%.150s' is not as ner_enrich made it; " REMEDY, name);
    if( is_trigger )
      f->set_triggers = true;
    else
      f->set_indexes = true;
  }
  if( f->fresh ) {
    f->set_triggers = f->set_indexes = f->other_settings = true;
    return NER_OK;
  }

  sqlite3_snprintf(sizeof layout, layout, "%d", LAYOUT);
  rc = state_is(t, work, "layout", layout, &is, err);
  if( rc == NER_OK && is ) rc = state_is(t, work, "table", t->table, &is, err);
  if( rc == NER_OK && is ) rc = state_is(t, work, "column", t->column, &is, err);
  if( rc == NER_OK && !is )
    rc = ner_fail(err, NER_ERROR,
                  "'%.150s' belongs to another table and column or another version of ner_enrich,"
                  " or has been changed by hand; " REMEDY,
                  t->made[NER_ENRICH_STATE].name);
  if( rc == NER_OK ) rc = state_is(t, work, "settings", settings, &is, err);
  f->other_settings = !is;
  return rc;
}

/* ---- making it ---- */

static int create(const struct ner_enrich_target *t, struct ner_enrich_work *work, int i,
                  struct ner_err *err) {
  const struct ner_enrich_object *object = &t->made[i];
  /* In capitals, since sqlite_schema keeps it as it is written by SQLite itself. */
  const char *create = i < NER_ENRICH_TABLES   ? "CREATE TABLE"
                       : i < NER_ENRICH_INSERT ? "CREATE INDEX IF NOT EXISTS"
                                               : "CREATE TRIGGER";
  char *sql = sqlite3_mprintf("%s \"%w\".%s", create, t->schema, object->sql);
  return ner_enrich_exec(work, sql, err);
}

static int drop_trigger(const struct ner_enrich_target *t, struct ner_enrich_work *work, int i,
                        struct ner_err *err) {
  char *sql = sqlite3_mprintf("DROP TRIGGER IF EXISTS \"%w\".\"%w\"", t->schema, t->made[i].name);
  return ner_enrich_exec(work, sql, err);
}

static int set_state(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                     const char *key, const char *value, struct ner_err *err) {
  char *sql = ner_enrich_sql(t, "REPLACE INTO $S.\"$N_state\"(key, value) VALUES");
  if( !sql ) return ner_fail_nomem(err);
  return ner_enrich_exec(work, sqlite3_mprintf("%z(%Q, %Q)", sql, key, value), err);
}

static int enqueue(const struct ner_enrich_target *t, struct ner_enrich_work *work, bool fresh,
                   struct ner_err *err) {
  static const char rows[] =
      "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change)"
      " SELECT $(d.$k$|, $), random() FROM $S.$T AS d WHERE d.$C IS NOT NULL";
  /* Those that have results although they are gone or empty now. */
  static const char results[] =
      "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change) SELECT *, random() FROM"
      " (SELECT $($o$|, $) FROM $S.\"$N\" UNION SELECT $($o$|, $) FROM $S.\"$N_error\")";
  int rc = ner_enrich_exec(work, ner_enrich_sql(t, rows), err);
  if( rc == NER_OK && !fresh ) rc = ner_enrich_exec(work, ner_enrich_sql(t, results), err);
  return rc;
}

static int apply(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                 const struct findings *f, const char *model_name, const char *settings,
                 struct ner_err *err) {
  char layout[12];
  int rc = NER_OK;
  if( f->fresh )
    for( int i = 0; i < NER_ENRICH_TABLES && rc == NER_OK; i++ ) rc = create(t, work, i, err);
  for( int i = NER_ENRICH_INSERT; i < NER_ENRICH_MADE && f->set_triggers && rc == NER_OK; i++ ) {
    rc = drop_trigger(t, work, i, err);
    if( rc == NER_OK ) rc = create(t, work, i, err);
  }
  if( rc == NER_OK && (f->set_triggers || f->other_settings) ) rc = enqueue(t, work, f->fresh, err);
  sqlite3_snprintf(sizeof layout, layout, "%d", LAYOUT);
  if( rc == NER_OK ) rc = set_state(t, work, "layout", layout, err);
  if( rc == NER_OK ) rc = set_state(t, work, "table", t->table, err);
  if( rc == NER_OK ) rc = set_state(t, work, "column", t->column, err);
  if( rc == NER_OK ) rc = set_state(t, work, "model", model_name, err);
  if( rc == NER_OK ) rc = set_state(t, work, "settings", settings, err);
  /* Last: from here on an interrupt can no longer be undone inside a caller's transaction (see
  ** keep_abandon), and what is there is whole but for indexes, which the next call makes. */
  for( int i = NER_ENRICH_BY_ROW; i < NER_ENRICH_INSERT && rc == NER_OK; i++ )
    rc = create(t, work, i, err);
  return rc;
}

static int inspect_at_once(const struct ner_enrich_target *t, struct ner_enrich_work *work,
                           const char *settings, struct findings *f, struct ner_err *err) {
  int rc = ner_enrich_begin(work, false, err);
  if( rc == NER_OK ) rc = inspect(t, work, settings, f, err);
  if( rc == NER_OK ) rc = ner_enrich_commit(work, err);
  if( rc != NER_OK ) ner_enrich_rollback(work);
  return rc;
}

int ner_enrich_setup(const struct ner_enrich_target *target, struct ner_enrich_work *work,
                     const char *model_name, const char *settings, struct ner_err *err) {
  struct findings f;
  int rc = inspect_at_once(target, work, settings, &f, err);
  if( rc != NER_OK || !(f.set_triggers || f.set_indexes || f.other_settings) ) return rc;
  rc = ner_enrich_begin(work, true, err);
  /* Again: somebody else may have done it while we waited. */
  if( rc == NER_OK ) rc = inspect(target, work, settings, &f, err);
  if( rc == NER_OK ) rc = apply(target, work, &f, model_name, settings, err);
  if( rc == NER_OK ) rc = ner_enrich_commit(work, err);
  if( rc != NER_OK ) ner_enrich_rollback(work);
  return rc;
}

/* Rows with results of which the table knows nothing. */
#define GONE(results)                                                                              \
  " FROM (SELECT DISTINCT $($o$|, $) FROM $S.\"" results "\") AS r WHERE NOT EXISTS"               \
  " (SELECT 1 FROM $S.$T AS d WHERE $(r.$o = d.$k$| AND $))"
#define NOTE_GONE "REPLACE INTO $S.\"$N_queue\"($($o$|, $), change) SELECT $(r.$o$|, $), random()"

/* Looking takes no lock that others would feel, and there is hardly ever something to find. The
** number tells whether somebody has done a batch meanwhile: then there may be more. */
int ner_enrich_sweep(const struct ner_enrich_target *target, struct ner_enrich_work *work,
                     bool *found, struct ner_err *err) {
  sqlite3_int64 wanted = 0, any = 0;
  char *done;
  int rc = ner_enrich_ask(
      work, ner_enrich_sql(target, "SELECT value FROM $S.\"$N_state\" WHERE key = 'sweep'"),
      &wanted, err);
  *found = false;
  if( rc != NER_OK || !wanted ) return rc;
  rc = ner_enrich_ask(work, ner_enrich_sql(target, "SELECT 1" GONE("$N") " LIMIT 1"), &any, err);
  if( rc == NER_OK && !any )
    rc = ner_enrich_ask(work, ner_enrich_sql(target, "SELECT 1" GONE("$N_error") " LIMIT 1"), &any,
                        err);
  if( rc == NER_OK ) rc = ner_enrich_begin(work, true, err);
  if( rc == NER_OK && any )
    rc = ner_enrich_exec(work, ner_enrich_sql(target, NOTE_GONE GONE("$N")), err);
  if( rc == NER_OK && any )
    rc = ner_enrich_exec(work, ner_enrich_sql(target, NOTE_GONE GONE("$N_error")), err);
  if( rc == NER_OK ) {
    done = ner_enrich_sql(target, "DELETE FROM $S.\"$N_state\" WHERE key = 'sweep' AND value =");
    rc = ner_enrich_exec(work, done ? sqlite3_mprintf("%z %lld", done, wanted) : NULL, err);
  }
  if( rc == NER_OK ) rc = ner_enrich_commit(work, err);
  if( rc != NER_OK ) ner_enrich_rollback(work);
  *found = any != 0;
  return rc;
}
