/*
** oom.c - every SQL function while memory runs out.
**
**     build/tests/test_oom               as part of make test: the first 60 allocations, then ever fewer
**     build/tests/test_oom -v [STEP]     with figures (make oom); only the steps whose name has STEP
**     NER_OOM=all make oom               every allocation of every step, some minutes
**
** The library is compiled with -DNER_TEST_ALLOC, so that its allocations come here; SQLite's
** come here through SQLITE_CONFIG_MALLOC, and its lookaside memory is off, so that none is missed.
** For each n a step is run on a fresh connection with the n-th allocation failing, and once more
** with all failing from the n-th on. The step must give the right answer (SQLite can do without
** some allocations) or SQLITE_NOMEM, and the right answer when it is repeated on the same
** connection. Once the connection is closed and the model unloaded, there must be as many blocks
** and bytes as before, and no file left behind.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include "engine/registry.h"
#include "sql/sql.h"
#include "support.h"

/* ---- the two allocators ---- */

static atomic_long countdown; /* at 1 the allocation fails; 0 and below: none does */
static atomic_bool from_then_on;
static atomic_bool out;             /* an allocation has failed */
static atomic_long n_live;          /* blocks of the seam */
static atomic_size_t largest_bytes; /* ever asked for at once */

static bool must_fail(void) {
  if( atomic_load(&out) && atomic_load(&from_then_on) ) return true;
  if( atomic_load(&countdown) <= 0 || atomic_fetch_sub(&countdown, 1) != 1 ) return false;
  atomic_store(&out, true);
  return true;
}

static void arm(long n, bool all) {
  atomic_store(&out, false);
  atomic_store(&from_then_on, all);
  atomic_store(&countdown, n);
}

/* Ends it. Has any allocation failed? */
static bool disarm(void) {
  atomic_store(&countdown, 0);
  atomic_store(&from_then_on, false);
  return atomic_exchange(&out, false);
}

static void note_size(size_t n_bytes) {
  size_t largest = atomic_load(&largest_bytes);
  while( n_bytes > largest && !atomic_compare_exchange_weak(&largest_bytes, &largest, n_bytes) ) {}
}

void *ner_test_malloc(size_t n_bytes) {
  note_size(n_bytes);
  void *p = must_fail() ? NULL : malloc(n_bytes);
  if( p ) atomic_fetch_add(&n_live, 1);
  return p;
}
void *ner_test_realloc(void *old, size_t n_bytes) {
  void *p = must_fail() ? NULL : realloc(old, n_bytes);
  if( p && !old ) atomic_fetch_add(&n_live, 1);
  return p;
}
void ner_test_free(void *p) {
  if( p ) atomic_fetch_sub(&n_live, 1);
  free(p);
}

void *ner_test_map(size_t n_bytes) {
  note_size(n_bytes);
  void *p = must_fail() ? NULL : ner_map(n_bytes);
  if( p ) atomic_fetch_add(&n_live, 1);
  return p;
}
void ner_test_unmap(void *p, size_t n_bytes) {
  atomic_fetch_sub(&n_live, 1);
  ner_unmap(p, n_bytes);
}

static sqlite3_mem_methods sqlite_methods;
static void *sqlite_malloc(int n_bytes) {
  return must_fail() ? NULL : sqlite_methods.xMalloc(n_bytes);
}
static void *sqlite_realloc(void *old, int n_bytes) {
  return must_fail() ? NULL : sqlite_methods.xRealloc(old, n_bytes);
}

/* ---- steps ---- */

struct step {
  const char *name;
  const char *before; /* SQL that runs with enough memory; NULL: nothing */
  const char *sql;    /* ?1 is the model's directory, ?2 the same as one file, ?3 a file to write */
  const char *after;  /* its answer is compared instead of that of `sql`; NULL: that of `sql` */
  const char *undo;   /* of what outlives a connection; NULL: nothing */
  bool opening;       /* connection and registration too, while memory is short */
  bool safe;          /* through the safe entry point */
  bool on_file;       /* not in memory */
  bool in_transaction; /* the host's own, which may remain */
  int threads;         /* 0: one */
};

#define TEXT "'Anna lives in Rome. a b é'"
#define ROWS "(VALUES(1," TEXT "),(2,NULL),(3,'in Anna'),(4,x'00'),(5,'Rome'))"
#define LONG "replace(hex(zeroblob(100)),'00','Anna lives ')"
#define DOCS                                                                                       \
  "CREATE TABLE docs(body); INSERT INTO docs VALUES(" TEXT "),(NULL),('in Anna'),(x'00'),('')"

/* Enough for three batches, two of which are labelled in the background; of few words and many
** blanks, because they are labelled many times. */
#define MANY                                                                                       \
  "CREATE TABLE docs(body); INSERT INTO docs SELECT printf('%1000s', 'Anna lives in Rome ' || "    \
  "value) FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22]');"           \
  "INSERT INTO docs VALUES(x'00'); UPDATE docs SET body = x'01' WHERE rowid = 5"

#define ENRICH "SELECT done, total, entities, errors FROM ner_enrich('docs', 'body')"
#define ENRICHED                                                                                   \
  "SELECT *, (SELECT count(*) FROM docs_body_ner_queue), (SELECT count(*) FROM "                   \
  "docs_body_ner_error)"                                                                           \
  " FROM docs_body_ner ORDER BY 1, 2, 3, 4, 5, 6"

static const struct step steps[] = {
    {.name = "open and register", .sql = "SELECT ner_version()", .opening = true},
    {.name = "open and register safely",
     .sql = "SELECT ner_version()",
     .opening = true,
     .safe = true},
    {.name = "ner", .sql = "SELECT *, start_byte, end_byte, rowid, text FROM ner(" TEXT ")"},
    {.name = "ner with all arguments",
     .sql = "SELECT *, model, aggregation FROM ner(" TEXT ", 'tiny', 'average', 0.1)"
            " WHERE label = 'PER' AND score > 0.2 AND score <= 1 ORDER BY start LIMIT 3"},
    {.name = "ner strict", .sql = "SELECT * FROM ner(" TEXT ", 'tiny', 'strict')"},
    {.name = "ner of a long text", .sql = "SELECT count(*), sum(start) FROM ner(" LONG ")"},
    {.name = "ner of a long text, 2 threads",
     .sql = "SELECT count(*), sum(start) FROM ner(" LONG ")",
     .threads = 2},
    {.name = "ner IN",
     .before = "CREATE TABLE docs(body); INSERT INTO docs VALUES(" TEXT "),(NULL),('Rome'),('')",
     .sql = "SELECT text, entity, label, score FROM ner WHERE text IN (SELECT body FROM docs)"},
    {.name = "ner IN, in the background",
     .before = MANY,
     .sql = "SELECT count(*), sum(start), sum(length(text)) FROM ner"
            " WHERE text IN (SELECT body FROM docs WHERE typeof(body) = 'text')"
            " AND model = 'tiny' AND aggregation = 'strict'",
     .threads = 2},
    {.name = "ner in a join",
     .before = DOCS,
     .sql = "SELECT d.rowid, n.* FROM docs AS d, ner(d.body) AS n WHERE typeof(d.body) <> 'blob'"},
    {.name = "ner_tokens", .sql = "SELECT * FROM ner_tokens(" TEXT ")"},
    {.name = "ner_tokens of a model", .sql = "SELECT * FROM ner_tokens(" TEXT ", 'tiny') LIMIT 2"},
    {.name = "ner_words",
     .sql = "SELECT * FROM ner_words('[\"Anna\",\"lives\",7,1.5,\"\\u00e9\"]')"},
    {.name = "ner_words of a model", .sql = "SELECT * FROM ner_words('[\"Anna\"]', 'tiny')"},
    {.name = "an error of ner_words", .sql = "SELECT * FROM ner_words('[\"Anna\"')"},
    {.name = "ner_json", .sql = "SELECT ner_json(" TEXT "), ner_json(" TEXT ", 'tiny')"},
    {.name = "ner_redact", .sql = "SELECT ner_redact(" TEXT "), ner_redact(" TEXT ", 'per')"},
    {.name = "ner_redact of a model", .sql = "SELECT ner_redact(" TEXT ", NULL, 'tiny')"},
    {.name = "ner_html", .sql = "SELECT ner_html(" TEXT ")"},
    {.name = "ner_html of a model", .sql = "SELECT ner_html(" TEXT ", 'tiny')"},
    {.name = "ner_query",
     .sql = "SELECT * FROM ner_query('SELECT * FROM "
            "(VALUES(1,''Anna lives in Rome''),(2,NULL),(3,''Rome''),(4,x''00''),(5,''Rome''))')"},
    {.name = "ner_query, 2 threads",
     .sql = "SELECT count(*), sum(start) FROM ner_query('SELECT value, ''Anna lives in Rome. ''"
            " || value FROM json_each(''[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]'')')",
     .threads = 2},
    {.name = "ner_query with all arguments",
     .sql = "SELECT * FROM ner_query('SELECT 1, ''Anna lives in Rome''', 'tiny', 'strict', 0.1)"
            " WHERE label = 'PER' AND score > 0.2 LIMIT 3"},
    {.name = "ner_query in the background",
     .before = MANY,
     .sql = "SELECT count(*), sum(key), sum(start), sum(error IS NOT NULL)"
            " FROM ner_query('SELECT rowid, body FROM docs')",
     .threads = 2},
    {.name = "ner_query given up in the background",
     .before = MANY,
     .sql = "SELECT * FROM ner_query('SELECT rowid, body FROM docs') WHERE error IS NULL LIMIT 15",
     .threads = 2},
    {.name = "an error in the midst of ner_query",
     .before = MANY,
     .sql = "SELECT count(*) FROM"
            " ner_query('SELECT rowid, json(iif(rowid < 19, ''[1]'', ''['')) || body FROM docs')",
     .threads = 2},
    {.name = "an error", .sql = "SELECT ner_json('x', 'nobody')"},
    {.name = "an error of a table", .sql = "SELECT * FROM ner('x', 'tiny', 'middle')"},
    {.name = "an error of ner_query", .sql = "SELECT * FROM ner_query('DELETE FROM x')"},
    {.name = "ner_models", .sql = "SELECT * FROM ner_models"},
    {.name = "an error of a table as a scalar", .sql = "SELECT ner_models()"},
    {.name = "an error of parameters of ner_query", .sql = "SELECT * FROM ner_query('SELECT :a, ?')"},
    {.name = "ner_threads and ner_version", .sql = "SELECT ner_threads(), ner_version()"},
    {.name = "ner_debug", .sql = "SELECT json_extract(ner_debug(), '$.models')"},
    {.name = "ner_default", .sql = "SELECT ner_default('tiny')"},
    {.name = "ner_threads", .sql = "SELECT ner_threads(1)"},
    {.name = "ner_load of a directory",
     .sql = "SELECT ner_load('other', ?1, 'int8')",
     .undo = "SELECT ner_unload('other')"},
    {.name = "ner_load of a file",
     .sql = "SELECT ner_load('other', ?2)",
     .undo = "SELECT ner_unload('other')"},
    {.name = "ner_load of shards",
     .sql = "SELECT ner_load('other', 'tests/golden/models/distil-shards')",
     .undo = "SELECT ner_unload('other')"},
    {.name = "ner_load of 64-bit weights",
     .sql = "SELECT ner_load('other', 'tests/golden/models/bert-gelu-new')",
     .undo = "SELECT ner_unload('other')"},
    {.name = "an error of ner_load of no model",
     .sql = "SELECT ner_load('other', 'tests/golden/models')"},
    {.name = "an error of ner_load", .sql = "SELECT ner_load('other', ?2, 'int8')"},
    {.name = "another error of ner_load", .sql = "SELECT ner_load('other', ?1 || '/nothing')"},
    {.name = "an error of ner_unload", .sql = "SELECT ner_unload('nobody')"},
    {.name = "an error of ner_default", .sql = "SELECT ner_default('nobody')"},
    {.name = "an error of ner_convert", .sql = "SELECT ner_convert(?1, ?3, 'f64')"},
    {.name = "ner_load over another",
     .before = "SELECT ner_load('other', ?2)",
     .sql = "SELECT ner_load('other', ?2)",
     .after = "SELECT ner_json(" TEXT ", 'other')",
     .undo = "SELECT ner_unload('other')"},
    {.name = "ner_unload",
     .before = "SELECT ner_load('other', ?2)",
     .sql = "SELECT ner_unload('other')",
     .after = "SELECT count(*) FROM ner_models",
     .undo = "SELECT ner_unload('other')"},
    {.name = "ner_convert", .sql = "SELECT ner_convert(?1, ?3, 'f32')"},
    {.name = "ner_convert to int8", .sql = "SELECT ner_convert(?1, ?3, 'int8')"},
    {.name = "ner_train",
     .sql = "SELECT epoch, step, steps, f1 IS NULL FROM ner_train('SELECT * FROM (VALUES(''Anna lives"
            " in Rome'', ''[{\"start\":0,\"end\":4,\"label\":\"PER\"}]''), (NULL, 1), (''in Rome'',"
            " ''[{\"start\":3,\"end\":7,\"label\":\"CITY\"}]''))', ?3,"
            " '{\"epochs\":1,\"labels\":\"extend\",\"valid\":0.5}')"},
    {.name = "ner_train of words",
     .sql = "SELECT epoch, step, steps, f1 IS NULL FROM ner_train('VALUES(''[\"Anna\",\"lives\"]'',"
            " ''[\"B-PER\",\"O\"]'')', ?3, '{\"epochs\":1,\"freeze\":1,\"precision\":\"int8\","
            "\"base\":\"tiny\",\"valid\":\"VALUES(''in Rome'', ''[]'')\"}')",
     .threads = 2},
    {.name = "an error of ner_train",
     .sql = "SELECT * FROM ner_train('SELECT 1, 2', ?3, '{\"epoch\":1}')"},
    {.name = "ner_enrich", .before = DOCS, .sql = ENRICH, .after = ENRICHED},
    {.name = "ner_enrich of a file",
     .before = "PRAGMA synchronous = OFF; " DOCS,
     .sql = ENRICH,
     .after = ENRICHED,
     .on_file = true},
    /* Keys that must be copied and text that must be converted to be bound. */
    {.name = "ner_enrich by keys of text",
     .before = "PRAGMA synchronous = OFF; PRAGMA encoding = 'UTF-16';"
               "CREATE TABLE docs(lang TEXT COLLATE NOCASE, no, body, PRIMARY KEY(lang, no))"
               " WITHOUT ROWID;"
               "INSERT INTO docs VALUES('it', 'first', 'in Anna'),('it', 'second', 'Rome'),"
               " ('de', 3, 'Anna'),('de', 4, x'00');"
               "SELECT * FROM ner_enrich('docs', 'body');"
               "UPDATE docs SET body = 'lives' WHERE no = 'first';"
               "UPDATE docs SET body = x'00' WHERE no = 'second';"
               "UPDATE docs SET body = 'Rome' WHERE no = 4",
     .sql = ENRICH,
     .after = ENRICHED,
     .on_file = true},
    {.name = "ner_enrich in a transaction",
     .before = DOCS "; BEGIN",
     .sql = ENRICH,
     .after = ENRICHED,
     .in_transaction = true},
    {.name = "ner_enrich with all arguments, 2 threads",
     .before = DOCS,
     .sql = "SELECT done, total, entities, errors"
            " FROM ner_enrich('docs', 'body', 'tiny', 'strict', 0.1)",
     .after = ENRICHED,
     .threads = 2},
    {.name = "ner_enrich otherwise than before",
     .before = DOCS "; SELECT * FROM ner_enrich('docs', 'body')",
     .sql = "SELECT done, total, entities, errors FROM ner_enrich('docs', 'body', NULL, 'strict')",
     .after = ENRICHED},
    {.name = "ner_enrich after VACUUM",
     .before = "PRAGMA synchronous = OFF; " DOCS "; SELECT * FROM ner_enrich('docs', 'body');"
               "DELETE FROM docs WHERE rowid = 1; VACUUM",
     .sql = ENRICH,
     .after = ENRICHED,
     .on_file = true},
    {.name = "ner_enrich of a renamed table",
     .before = DOCS "; ALTER TABLE docs RENAME TO old; SELECT * FROM ner_enrich('old', 'body');"
                    "ALTER TABLE old RENAME TO docs; UPDATE docs SET body = 'Rome' WHERE rowid = 1",
     .sql = ENRICH,
     .after = ENRICHED},
    {.name = "an error of ner_enrich", .sql = "SELECT * FROM ner_enrich('nothing', 'body')"},
    {.name = "another error of ner_enrich",
     .before = DOCS "; CREATE VIEW seen AS SELECT * FROM docs",
     .sql = "SELECT * FROM ner_enrich('seen', 'body')"},
    {.name = "ner_enrich of what is new",
     .before = DOCS "; SELECT * FROM ner_enrich('docs', 'body');"
                    " INSERT INTO docs VALUES('lives in Rome'); DELETE FROM docs WHERE rowid = 3;"
                    " UPDATE docs SET body = 'Anna' WHERE rowid = 2",
     .sql = ENRICH,
     .after = ENRICHED},
};

/* ---- running them ---- */

static char dir[TEST_PATH], model_dir[TEST_PATH], one_file[TEST_PATH], target[TEST_PATH],
    db_file[TEST_PATH];
static bool every_n, verbose;
static const char *only = "";

struct answer {
  int rc;
  char message[300];
  char text[8192]; /* "a|b;c|d;" */
  size_t n;
};

static void add(struct answer *a, const char *bytes, size_t n) {
  assert_true(a->n + n < sizeof a->text);
  memcpy(a->text + a->n, bytes, n);
  a->n += n;
  a->text[a->n] = 0;
}

/* Allocates nothing, so that only the library can run out of memory. */
static void add_column(struct answer *a, sqlite3_stmt *statement, int i) {
  char number[40];
  const char *bytes = number;
  int n;
  switch( sqlite3_column_type(statement, i) ) {
  case SQLITE_NULL: n = snprintf(number, sizeof number, "NULL"); break;
  case SQLITE_INTEGER:
    n = snprintf(number, sizeof number, "%lld", (long long)sqlite3_column_int64(statement, i));
    break;
  case SQLITE_FLOAT:
    n = snprintf(number, sizeof number, "%.9g", sqlite3_column_double(statement, i));
    break;
  default: /* the bytes as they are; as text they might be copied for their NUL */
    bytes = sqlite3_column_blob(statement, i);
    n = sqlite3_column_bytes(statement, i);
  }
  add(a, bytes, (size_t)n);
  add(a, "|", 1);
}

static int run_statement(sqlite3_stmt *statement, struct answer *a) {
  const char *const values[] = {model_dir, one_file, target};
  int rc = SQLITE_OK;
  for( int i = 1; i <= sqlite3_bind_parameter_count(statement) && rc == SQLITE_OK; i++ )
    if( sqlite3_bind_parameter_name(statement, i) )
      rc = sqlite3_bind_text(statement, i, values[i - 1], -1, SQLITE_STATIC);
  if( rc != SQLITE_OK ) return rc;
  while( (rc = sqlite3_step(statement)) == SQLITE_ROW ) {
    for( int i = 0; i < sqlite3_column_count(statement); i++ ) add_column(a, statement, i);
    add(a, ";", 1);
  }
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void run_sql(sqlite3 *db, const char *sql, struct answer *a) {
  *a = (struct answer){0};
  while( a->rc == SQLITE_OK && sql && *sql ) {
    sqlite3_stmt *statement = NULL;
    a->rc = sqlite3_prepare_v2(db, sql, -1, &statement, &sql);
    if( a->rc == SQLITE_OK && statement ) a->rc = run_statement(statement, a);
    if( a->rc != SQLITE_OK && a->rc != SQLITE_NOMEM )
      snprintf(a->message, sizeof a->message, "%s", sqlite3_errmsg(db));
    sqlite3_finalize(statement);
  }
}

static int open_db(const struct step *step, sqlite3 **db) {
  int rc = sqlite3_open(step->on_file ? db_file : ":memory:", db);
  char *message = NULL;
  if( rc == SQLITE_OK )
    rc = (step->safe ? sqlite3_ner_safe_init : sqlite3_ner_init)(*db, &message, NULL);
  sqlite3_free(message);
  return rc;
}

static void load_tiny(void) {
  struct ner_err err = {0};
  if( ner_registry_load("tiny", one_file, NER_PRECISION_FILE, NULL, &err) ||
      ner_registry_set_default("tiny", NULL, &err) )
    fail_msg("%s", err.msg);
}

/* The default model cannot be unloaded, so another one becomes the default first. */
static void unload_tiny(void) {
  struct ner_err err = {0};
  if( ner_registry_set_default("keep", NULL, &err) || ner_registry_unload("tiny", &err) )
    fail_msg("%s", err.msg);
}

static bool same(const struct answer *found, const struct answer *right) {
  return found->rc == right->rc && !strcmp(found->text, right->text) &&
         !strcmp(found->message, right->message);
}

/* The expected error, but SQLite had memory only for the text of its code, alone or behind our own
** text. */
static bool same_but_brief(const struct answer *found, const struct answer *right) {
  const char *brief = sqlite3_errstr(right->rc);
  size_t n = strlen(found->message), n_brief = strlen(brief);
  return found->rc != SQLITE_OK && found->rc == right->rc && n >= n_brief &&
         !strcmp(found->message + n - n_brief, brief);
}

static int count_files(void) {
  DIR *d = opendir(dir);
  int n = 0;
  assert_non_null(d);
  while( readdir(d) ) n++;
  closedir(d);
  return n;
}

struct tally {
  long n, n_nomem, n_right, n_wrong;
};

/* Reports the first few failures of a step. */
static void complain(struct tally *tally, const struct step *step, long n, bool all,
                     const char *format, ...) {
  char text[4000];
  va_list args;
  if( tally->n_wrong++ >= 5 ) return;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  print_message("# %s: allocation %ld%s fails: %s\n", step->name, n, all ? " and all after it" : "",
                text);
}

/* One connection's life. right: the answers it should give, filled in when n is 0. Returns whether
** an allocation failed. */
static bool live(const struct step *step, long n, bool all, struct answer right[2],
                 struct tally *tally) {
  struct answer found, again;
  sqlite3 *db = NULL;
  bool failed;
  char text[16];
  int rc;
  snprintf(text, sizeof text, "%d", step->threads ? step->threads : 1);
  setenv("NER_THREADS", text, 1);
  load_tiny();
  if( step->opening ) arm(n, all);
  rc = open_db(step, &db);
  if( rc == SQLITE_OK ) run_sql(db, step->before, &found);
  if( rc == SQLITE_OK && found.rc ) fail_msg("%s: before: %s", step->name, found.message);
  if( !step->opening ) {
    assert_int_equal(rc, SQLITE_OK);
    arm(n, all);
  }
  if( rc == SQLITE_OK )
    run_sql(db, step->sql, &found);
  else
    found = (struct answer){.rc = rc};
  failed = disarm();
  if( n == 0 ) {
    right[0] = found;
  } else if( found.rc == SQLITE_NOMEM && failed ) {
    tally->n_nomem++;
  } else if( same(&found, &right[0]) || (failed && same_but_brief(&found, &right[0])) ) {
    tally->n_right += failed;
  } else {
    complain(tally, step, n, all, "code %d, %s, gives\n  %s\nexpected\n  %s", found.rc,
             found.message, found.text, right[0].text);
  }
  if( step->opening && rc != SQLITE_OK ) { /* as a program would */
    sqlite3_close(db);
    assert_int_equal(open_db(step, &db), SQLITE_OK);
  }
  if( !sqlite3_get_autocommit(db) && !step->in_transaction )
    complain(tally, step, n, all, "a transaction is left");
  if( n == 0 || step->after == NULL || found.rc == SQLITE_NOMEM ) run_sql(db, step->sql, &again);
  if( step->after ) run_sql(db, step->after, &again);
  if( n == 0 )
    right[1] = again;
  else if( !same(&again, &right[1]) )
    complain(tally, step, n, all, "afterwards: code %d, %s, gives\n  %s\nexpected\n  %s", again.rc,
             again.message, again.text, right[1].text);
  run_sql(db, step->undo, &again);
  rc = sqlite3_close(db);
  if( rc != SQLITE_OK ) complain(tally, step, n, all, "the connection cannot be closed");
  unload_tiny();
  ner_pool_stop();
  return failed;
}

static void clear_away(const struct step *step) {
  remove(target);
  if( step->on_file ) remove(db_file);
}

/* The next n to try: all of the first 60, then at growing distances. */
static long next_n(long n) {
  return every_n || n < 60 ? n + 1 : n + n / 24;
}

static long run_step(const struct step *step) {
  struct answer right[2];
  long n_wrong = 0;
  for( int all = 0; all <= 1; all++ ) {
    struct tally tally = {0};
    long last = 0;
    bool failed = true;
    /* Twice to warm up: whatever is allocated once and kept is allocated now. */
    live(step, 0, false, right, &tally);
    clear_away(step);
    live(step, 0, false, right, &tally);
    clear_away(step);
    if( strstr(step->name, "an error") || strstr(step->name, "another error") )
      assert_int_not_equal(right[0].rc, SQLITE_OK);
    else if( right[0].rc )
      fail_msg("%s: %s", step->name, right[0].message);
    else
      assert_true(right[0].n > 0 && right[1].n > 0);
    for( long n = 1; failed; n = next_n(n) ) {
      long blocks = atomic_load(&n_live);
      sqlite3_int64 used = sqlite3_memory_used();
      int files = count_files();
      failed = live(step, n, all, right, &tally);
      clear_away(step);
      if( atomic_load(&n_live) != blocks )
        complain(&tally, step, n, all, "%ld blocks are left", atomic_load(&n_live) - blocks);
      if( sqlite3_memory_used() != used )
        complain(&tally, step, n, all, "SQLite has %lld bytes more",
                 (long long)(sqlite3_memory_used() - used));
      if( count_files() != files ) complain(&tally, step, n, all, "a file is left");
      tally.n++;
      last = n;
    }
    if( verbose )
      print_message("# %-32s %s: %5ld tried up to n = %ld, %ld out of memory, %ld right answers\n",
                    step->name, all ? "n on" : "n   ", tally.n - 1, last - 1, tally.n_nomem,
                    tally.n_right);
    assert_true(tally.n_nomem > 0);
    n_wrong += tally.n_wrong;
  }
  return n_wrong;
}

/* Every registered function and table has a step. */
static void each_has_a_step(void **state) {
  sqlite3_stmt *names;
  sqlite3 *db;
  int n_names = 0;
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  assert_int_equal(sqlite3_ner_init(db, NULL, NULL), SQLITE_OK);
  assert_int_equal(sqlite3_prepare_v2(db,
                                      "SELECT name || '(' FROM pragma_function_list"
                                      " WHERE name LIKE 'ner^_%' ESCAPE '^' UNION"
                                      " SELECT 'FROM ' || name FROM pragma_module_list"
                                      " WHERE name = 'ner' OR name LIKE 'ner^_%' ESCAPE '^'",
                                      -1, &names, NULL),
                   SQLITE_OK);
  for( ; sqlite3_step(names) == SQLITE_ROW; n_names++ ) {
    const char *name = (const char *)sqlite3_column_text(names, 0);
    bool found = false;
    for( size_t i = 0; i < sizeof steps / sizeof *steps && !found; i++ )
      found = strstr(steps[i].sql, name) != NULL;
    if( !found ) fail_msg("no step has %s", name);
  }
  sqlite3_finalize(names);
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  assert_true(n_names > 10);
}

static void out_of_memory(void **state) {
  long n_wrong = 0;
  for( size_t i = 0; i < sizeof steps / sizeof *steps; i++ )
    if( strstr(steps[i].name, only) ) n_wrong += run_step(&steps[i]);
  assert_int_equal(n_wrong, 0);
}

/* A small file may claim many tokens at once and many labels: a short text needs no memory for all
** of them. */
static void memory_follows_the_text(void **state) {
  struct tiny tiny = tiny_distilbert();
  struct answer found;
  sqlite3 *db;
  tiny.layers = 1;
  tiny.positions = 16384; /* as logits 268 MB, and 20 MB of a session's scratch */
  tiny.n_labels = 4096;
  tiny.id2label = NULL;
  tiny.tokenizer = "{\"do_lower_case\":false}";
  tiny_write(model_dir, &tiny);
  setenv("NER_THREADS", "2", 1);
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  assert_int_equal(sqlite3_ner_init(db, NULL, NULL), SQLITE_OK);
  run_sql(db, "SELECT ner_load('wide', ?1)", &found);
  if( found.rc ) fail_msg("%s", found.message);
  atomic_store(&largest_bytes, 0);
  run_sql(db, "SELECT count(*), max(\"end\") FROM ner(" TEXT ", 'wide')", &found);
  if( found.rc ) fail_msg("%s", found.message);
  assert_true(found.n > 0);
  if( verbose ) print_message("# the largest of all: %zu bytes\n", atomic_load(&largest_bytes));
  assert_in_range(atomic_load(&largest_bytes), 1, 32 << 20);
  run_sql(db, "SELECT ner_unload('wide')", &found);
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  ner_pool_stop();
}

/* ---- setting up ---- */

static int set_up(void **state) {
  struct tiny tiny = tiny_distilbert();
  struct ner_err err = {0};
  tiny.layers = 1;
  test_dir_make(dir);
  test_path(model_dir, dir, "model");
  test_path(one_file, dir, "one.safetensors");
  test_path(target, dir, "target.safetensors");
  test_path(db_file, dir, "db");
  assert_int_equal(mkdir(model_dir, 0700), 0);
  tiny_write(model_dir, &tiny);
  if( ner_convert(model_dir, one_file, NER_PRECISION_F32, &err) ||
      ner_registry_load("keep", one_file, NER_PRECISION_FILE, NULL, &err) )
    fail_msg("%s", err.msg);
  return 0;
}

static int tear_down(void **state) {
  test_dir_remove(model_dir);
  test_dir_remove(dir);
  return 0;
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_has_a_step),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(memory_follows_the_text),
  };
  sqlite3_mem_methods methods;
  const char *all = getenv("NER_OOM");
  every_n = all && !strcmp(all, "all");
  verbose = every_n || argc > 1;
  if( argc > 2 ) only = argv[2];
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_methods);
  methods = sqlite_methods;
  methods.xMalloc = sqlite_malloc;
  methods.xRealloc = sqlite_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  return cmocka_run_group_tests_name("out of memory", tests, set_up, tear_down);
}
