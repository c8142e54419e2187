/*
** test_rowids.c - rowids of the table-valued functions. SQLite answers an OR by several look-ups
** and drops rows whose rowid it has seen: a row must have one rowid, however it is found, and rows
** of different calls must have different ones.
**
** Random queries with OR and LEFT JOIN ... ON ... OR run over each table-valued function, and over
** an ordinary table that holds the rows of every call they can make. The results must be the same.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "enrich.h"

static unsigned seed;
static unsigned roll(unsigned n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

/* A table-valued function and what can be asked of it. */
static const struct {
  const char *name, *argument;
  const char *value[6]; /* of the argument, all different */
  const char *columns;
  const char *filter[6];
} tables[] = {
    {"ner",
     "text",
     {"'Wolfgang lives in Berlin'", "'Angela Merkel saw Paris'", "'Angela met Reuters in Berlin'",
      "7", "'7'", "''"},
     "text, model, entity, label, score, start, \"end\"",
     {"n.label = 'PER'", "n.label = 'LOC'", "n.score > 0.4", "n.score >= 0.3", "n.start < 15",
      "n.entity LIKE '%e%'"}},
    {"ner_tokens",
     "text",
     {"'Wolfgang lives in Berlin'", "'Angela Merkel saw Paris'", "'Angela met Reuters in Berlin'",
      "7", "'7'", "''"},
     "text, model, idx, token, label, score, start, \"end\"",
     {"n.label = 'O'", "n.label <> 'O'", "n.score > 0.4", "n.idx < 3", "n.start < 15",
      "n.token LIKE '%e%'"}},
    {"ner_words",
     "json_array",
     {"'[\"Wolfgang\",\"lives\"]'", "'[\"Angela\",\"Merkel\",\"saw\",\"Paris\"]'",
      "'[\"Angela\",\"met\",\"Reuters\"]'", "'[\"7\"]'", "'[7]'", "'[]'"},
     "json_array, model, idx, word, label, score",
     {"n.label = 'O'", "n.label <> 'O'", "n.score > 0.4", "n.idx < 2", "n.idx > 0",
      "n.word LIKE '%e%'"}},
    {"ner_query",
     "sql",
     {"'SELECT 1, ''Wolfgang lives in Berlin'''", "'SELECT 1, ''Angela Merkel saw Paris'''",
      "'SELECT id, a FROM docs'", "'SELECT id, b FROM docs ORDER BY id DESC'",
      "'SELECT id, CASE id WHEN 2 THEN x''00'' ELSE a END FROM docs'",
      "'SELECT id, NULL FROM docs'"},
     "sql, model, key, entity, label, score, start, \"end\", error",
     {"n.label = 'PER'", "n.label = 'LOC'", "n.score > 0.4", "n.key < 4", "n.start < 15",
      "n.error IS NULL"}},
};
#define N_TABLES ((int)(sizeof tables / sizeof *tables))

/* docs(id, a, b, k): a and b name arguments; truth_NAME: the rows of every call. */
static sqlite3 *open_with_truth(int t) {
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE docs(id INTEGER PRIMARY KEY, a, b, k)");
  for( int i = 0; i < 12; i++ )
    do_sqlf(db, "INSERT INTO docs(a, b, k) VALUES(%s, %s, %d)", tables[t].value[roll(6)],
            tables[t].value[roll(6)], (int)roll(8));
  if( !strcmp(tables[t].name, "ner_query") ) /* the SQL reads texts */
    do_sql(db, "UPDATE docs SET a = 'Angela met ' || k, b = 'Berlin and Paris'");
  for( int v = 0; v < 6; v++ )
    for( int m = 0; m < 3; m++ )
      do_sqlf(db,
              v + m == 0 ? "CREATE TABLE truth_%s AS SELECT %s FROM %s(%s%s)"
                         : "INSERT INTO truth_%s SELECT %s FROM %s(%s%s)",
              tables[t].name, tables[t].columns, tables[t].name, tables[t].value[v],
              m == 0   ? ""
              : m == 1 ? ", 'tiny'"
                       : ", 'other'");
  return db;
}

/* One side of an OR: always with an argument. Sides with the same argument name the same model:
** what all sides have in common SQLite takes out of the OR, and then there is one call, which has
** no second argument. */
static void add_branch(sqlite3_str *sql, int t, bool joined) {
  static const char *const models[] = {" IS NULL", " = 'tiny'", " = 'other'"};
  bool by_query = !strcmp(tables[t].name, "ner_query");
  unsigned first = roll(6), second = roll(6), model;
  if( joined && !by_query && roll(2) ) {
    sqlite3_str_appendf(sql, "(n.%s = d.%c", tables[t].argument, "ab"[first % 2]);
    model = first % 2;
  } else if( roll(4) == 0 ) {
    sqlite3_str_appendf(sql, "(n.%s IN (%s, %s)", tables[t].argument, tables[t].value[first],
                        tables[t].value[second]);
    model = first + second;
  } else {
    sqlite3_str_appendf(sql, "(n.%s = %s", tables[t].argument, tables[t].value[first]);
    model = first;
  }
  sqlite3_str_appendf(sql, " AND n.model%s", models[model % 3]);
  for( unsigned n = roll(3); n > 0; n-- )
    sqlite3_str_appendf(sql, " AND %s", tables[t].filter[roll(6)]);
  if( joined && roll(2) ) sqlite3_str_appendf(sql, " AND d.k < %d", (int)roll(8));
  sqlite3_str_appendall(sql, ")");
}

static char *make_query(int t) {
  sqlite3_str *sql = sqlite3_str_new(NULL);
  unsigned form = roll(3);
  if( form == 0 )
    sqlite3_str_appendf(sql, "SELECT %s FROM $ AS n WHERE ", tables[t].columns);
  else
    sqlite3_str_appendf(sql, "SELECT d.id, %s FROM docs AS d %s $ AS n ON ", tables[t].columns,
                        form == 1 ? "LEFT JOIN" : "JOIN");
  for( unsigned n = 2 + roll(3); n > 0; n-- ) {
    add_branch(sql, t, form > 0);
    if( n > 1 ) sqlite3_str_appendall(sql, " OR ");
  }
  return sqlite3_str_finish(sql);
}

/* The rows of `sql` with the table in place of '$', sorted. */
static char *answer(sqlite3 *db, const char *sql, const char *prefix, const char *table) {
  const char *at = strchr(sql, '$');
  char *full = sqlite3_mprintf("SELECT * FROM (%.*s%s%s%s) ORDER BY 1, 2, 3, 4, 5, 6",
                               (int)(at - sql), sql, prefix, table, at + 1);
  char *found = ask(db, full);
  sqlite3_free(full);
  return found;
}

static int count_lookups(sqlite3 *db, const char *sql, const char *table) {
  const char *at = strchr(sql, '$');
  char *full = sqlite3_mprintf("EXPLAIN QUERY PLAN %.*s%s%s", (int)(at - sql), sql, table, at + 1);
  char *plan = ask(db, full);
  int n = strstr(plan, "MULTI-INDEX OR") != NULL;
  sqlite3_free(full);
  sqlite3_free(plan);
  return n;
}

static void an_or_loses_and_doubles_nothing(void **state) {
  for( int t = 0; t < N_TABLES; t++ ) {
    int n_lookups = 0, n_rows = 0;
    for( unsigned round = 0; round < 4; round++ ) {
      sqlite3 *db;
      seed = 100 * (unsigned)t + round;
      db = open_with_truth(t);
      for( int i = 0; i < 60; i++ ) {
        char *sql = make_query(t), *found, *expected;
        found = answer(db, sql, "", tables[t].name);
        expected = answer(db, sql, "truth_", tables[t].name);
        if( strstr(expected, "error: ") ) fail_msg("%s: %s", sql, expected);
        if( strcmp(found, expected) )
          fail_msg("%s over %s\n  gives    %s\n  expected %s", sql, tables[t].name, found,
                   expected);
        n_lookups += count_lookups(db, sql, tables[t].name);
        n_rows += strcmp(found, "nothing") != 0;
        sqlite3_free(sql);
        sqlite3_free(found);
        sqlite3_free(expected);
      }
      close_db(db);
    }
    /* The queries are of the kind that matters, and have answers. */
    assert_in_range(n_lookups, 100, 240);
    assert_in_range(n_rows, 100, 240);
  }
}

/* The smallest case. */
static void rows_of_two_texts_are_told_apart(void **state) {
  sqlite3 *db = open_db(":memory:");
  check(db,
        "SELECT count(DISTINCT text) FROM ner WHERE model IS NULL AND"
        " ((text = 'Angela met Reuters in Berlin' AND score >= 0) OR"
        " (text = 'Wolfgang met Reuters in Rome' AND score >= 0))",
        "2;");
  check(db,
        "SELECT count(*) = count(DISTINCT n.rowid), min(n.rowid) > 0 FROM"
        " (VALUES('Angela met Reuters'), ('Wolfgang met Reuters')) AS v, ner_tokens(v.column1)"
        " AS n",
        "1|1;");
  close_db(db);
}

/* ner_enrich() works while it is asked: a table that is up to date gives one row. */
static void ner_enrich_is_told_apart(void **state) {
  static const char or_query[] =
      "SELECT \"table\", \"column\", done, total FROM ner_enrich WHERE (\"table\" = 'x' AND"
      " \"column\" = 'a' AND done >= 0) OR (\"table\" = 'x' AND \"column\" = 'b' AND total >= 0)"
      " OR (\"table\" = 'y' AND \"column\" = 'a') ORDER BY 1, 2";
  sqlite3 *db = open_db(":memory:");
  do_sql(db, "CREATE TABLE x(a, b); INSERT INTO x VALUES('Angela met Reuters', 'Berlin');"
             "CREATE TABLE y(a); INSERT INTO y VALUES('Angela')");
  check(db, or_query, "x|a|1|1;x|b|1|1;y|a|1|1;");
  check(db, or_query, "x|a|0|0;x|b|0|0;y|a|0|0;");
  close_db(db);
}

static void ner_models_is_told_apart(void **state) {
  sqlite3 *db = open_db(":memory:");
  check(db,
        "SELECT name FROM ner_models WHERE name = 'tiny' OR name = 'other' OR is_default"
        " ORDER BY 1",
        "other;tiny;");
  check(db, "SELECT count(DISTINCT rowid) = count(*), count(*) >= 2 FROM ner_models", "1|1;");
  close_db(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_or_loses_and_doubles_nothing),
      cmocka_unit_test(rows_of_two_texts_are_told_apart),
      cmocka_unit_test(ner_enrich_is_told_apart),
      cmocka_unit_test(ner_models_is_told_apart),
  };
  setenv("NER_THREADS", "2", 1);
  return cmocka_run_group_tests(tests, begin_models, NULL);
}
