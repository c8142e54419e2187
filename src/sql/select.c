/*
** select.c - SQL text that a user gives as an argument: one SELECT that only reads; see sql/sql.h.
*/
#include "sql/sql.h"

#include <string.h>

/* The first word after blanks and comments. */
static const char *select_first_word(const char *sql) {
  for( ;; ) {
    sql += strspn(sql, " \t\n\f\r;");
    if( sql[0] == '-' && sql[1] == '-' ) {
      sql += strcspn(sql, "\n");
    } else if( sql[0] == '/' && sql[1] == '*' ) {
      const char *end = strstr(sql + 2, "*/");
      if( !end ) return "";
      sql = end + 2;
    } else {
      return sql;
    }
  }
}

static bool select_begins_with(const char *sql, const char *word) {
  size_t n = strlen(word);
  return !sqlite3_strnicmp(sql, word, (int)n) && !ner_ascii_alnum(sql[n]) && sql[n] != '_';
}

int ner_sql_select_failed(sqlite3 *db, const char *function, const char *what,
                          struct ner_err *err) {
  int rc = sqlite3_errcode(db);
  if( rc == SQLITE_NOMEM ) return ner_fail_nomem(err);
  if( rc == SQLITE_INTERRUPT ) return ner_fail_interrupted(err);
  return ner_fail(err, NER_ERROR, "%s: %s: %s", function, what, sqlite3_errmsg(db));
}

/* A parameter would be NULL, and the query silently another. */
static int select_refuse_parameters(sqlite3_stmt *statement, const char *function,
                                    struct ner_err *err) {
  char names[200] = "";
  size_t used = 0;
  int n = sqlite3_bind_parameter_count(statement);
  for( int i = 1; i <= n && used + 4 < sizeof names; i++ ) {
    const char *name = sqlite3_bind_parameter_name(statement, i);
    ner_format(names + used, sizeof names - used, "%s%s", used ? ", " : "", name ? name : "?");
    used += strlen(names + used);
  }
  if( n == 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "%s: nothing can be bound to the parameters of the query (%s); put their"
                  " values into its text, with format('... %%Q ...', value)",
                  function, names);
}

int ner_sql_select(sqlite3 *db, const char *function, const char *sql, const char *columns,
                   sqlite3_stmt **out, struct ner_err *err) {
  const char *tail, *word = select_first_word(sql);
  int n;
  if( !select_begins_with(word, "SELECT") && !select_begins_with(word, "WITH") &&
      !select_begins_with(word, "VALUES") )
    return ner_fail(err, NER_ERROR, "%s takes a SELECT of %s, not '%.60s'", function, columns,
                    word);
  if( sqlite3_prepare_v2(db, word, -1, out, &tail) != SQLITE_OK )
    return ner_sql_select_failed(db, function, "the query cannot be run", err);
  if( *select_first_word(tail) )
    return ner_fail(err, NER_ERROR,
                    "%s takes one statement, but '%.60s' follows the first; leave it out", function,
                    select_first_word(tail));
  if( !sqlite3_stmt_readonly(*out) )
    return ner_fail(err, NER_ERROR, "%s takes a SELECT that only reads; '%.60s' writes", function,
                    word);
  n = sqlite3_column_count(*out);
  if( n != 2 )
    return ner_fail(err, NER_ERROR, "%s takes a SELECT of two columns, %s; this one has %d",
                    function, columns, n);
  return select_refuse_parameters(*out, function, err);
}
