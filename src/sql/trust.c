/*
** trust.c - keeps functions that touch files or the process out of the reach of a schema; see
** sql/sql.h.
**
** SQLITE_DIRECTONLY forbids the calls that a schema may hide in views, triggers, defaults,
** generated columns and indexes. SQLite before 3.53 (3.46 among them) does not apply it to CHECK
** constraints: an INSERT into a table of a hostile database would load or write a file.
**
** So a call is allowed only if the connection's running statements leave no doubt about where it
** comes from. A SELECT evaluates no CHECK constraint. Any other statement (INSERT, UPDATE, a
** PRAGMA such as quick_check, ...) may; it must contain the call itself: the function's name, as
** an identifier, followed by '(', at a place where an expression may begin. The text is read as
** SQLite's tokenizer reads it, so that neither strings, comments, parameters nor names of tables
** and columns count. All running statements are looked at, because SQLite does not tell which of
** them is making the call.
**
** What remains: a statement that writes to a hostile table and itself calls the function lets the
** table's CHECK constraints call it too, with other arguments.
*/
#include "sql/sql.h"

#include <string.h>

/* ---- SQLite's tokens ---- */

enum trust_kind {
  TRUST_END,
  TRUST_NAME,  /* an identifier or keyword, quoted or not */
  TRUST_VALUE, /* a string, number or parameter */
  TRUST_MARK,  /* a byte of punctuation */
};
struct trust_token {
  enum trust_kind kind;
  const char *at; /* inside the quotes */
  size_t n_bytes;
  bool quoted;
};

static bool trust_is_name_byte(char c) {
  return ner_ascii_alnum(c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static const char *trust_skip_name(const char *sql) {
  while( trust_is_name_byte(*sql) ) sql++;
  return sql;
}

/* Behind blanks and comments. */
static const char *trust_skip_blanks(const char *sql) {
  for( ;; ) {
    sql += strspn(sql, " \t\n\f\r");
    if( sql[0] == '-' && sql[1] == '-' ) {
      sql += strcspn(sql, "\n");
    } else if( sql[0] == '/' && sql[1] == '*' && sql[2] ) {
      const char *end = strstr(sql + 2, "*/");
      sql = end ? end + 2 : sql + strlen(sql);
    } else {
      return sql;
    }
  }
}

/* After the quote that ends what begins at sql; a doubled one is part of it, but not in [...]. */
static const char *trust_skip_quoted(const char *sql) {
  char end = *sql == '[' ? ']' : *sql;
  for( sql++; *sql; sql++ ) {
    if( *sql != end ) continue;
    if( end == ']' || sql[1] != end ) return sql + 1;
    sql++;
  }
  return sql;
}

/* After a parameter: ?1 :a @a #a $a $a::b $a(anything but blanks). */
static const char *trust_skip_parameter(const char *sql) {
  bool may_have_suffix = *sql != '?';
  for( sql = trust_skip_name(sql + 1); may_have_suffix && sql[0] == ':' && sql[1] == ':'; )
    sql = trust_skip_name(sql + 2);
  if( may_have_suffix && *sql == '(' ) {
    const char *end = sql + strcspn(sql, ") \t\n\f\r");
    if( *end == ')' ) return end + 1;
  }
  return sql;
}

/* Reads a token and returns where it ends. */
static const char *trust_read(const char *sql, struct trust_token *token) {
  const char *end;
  sql = trust_skip_blanks(sql);
  *token = (struct trust_token){.kind = TRUST_MARK, .at = sql, .n_bytes = 1};
  switch( *sql ) {
  case 0: token->kind = TRUST_END; return sql;
  case '\'':
  case '"':
  case '`':
  case '[':
    end = trust_skip_quoted(sql);
    token->kind = *sql == '\'' ? TRUST_VALUE : TRUST_NAME;
    token->quoted = true;
    token->at = sql + 1;
    token->n_bytes = (size_t)(end - sql) > 1 ? (size_t)(end - sql) - 2 : 0;
    return end;
  case '?':
  case ':':
  case '@':
  case '#':
  case '$': token->kind = TRUST_VALUE; return trust_skip_parameter(sql);
  }
  if( !trust_is_name_byte(*sql) ) return sql + 1;
  token->kind = *sql >= '0' && *sql <= '9' ? TRUST_VALUE : TRUST_NAME;
  end = trust_skip_name(sql);
  token->n_bytes = (size_t)(end - sql);
  return end;
}

static bool trust_is_word(const struct trust_token *token, const char *word) {
  return token->kind == TRUST_NAME && strlen(word) == token->n_bytes &&
         !sqlite3_strnicmp(token->at, word, (int)token->n_bytes);
}

/* ---- where calls come from ---- */

/* May an expression begin after this token? A name after any other word is one of a table, an
** alias, a type, ... */
static bool trust_begins_expression(const struct trust_token *before) {
  static const char *const words[] = {
      "SELECT", "DISTINCT", "ALL",   "WHERE",  "AND",    "OR",     "NOT",     "ON",
      "BY",     "HAVING",   "LIMIT", "OFFSET", "CASE",   "WHEN",   "THEN",    "ELSE",
      "IS",     "LIKE",     "GLOB",  "MATCH",  "REGEXP", "ESCAPE", "BETWEEN", "RETURNING"};
  if( before->kind == TRUST_MARK ) return *before->at != '.' && *before->at != ')';
  if( before->quoted ) return false;
  for( size_t i = 0; i < sizeof words / sizeof *words; i++ )
    if( trust_is_word(before, words[i]) ) return true;
  return false;
}

bool ner_sql_calls(const char *sql, const char *function) {
  struct trust_token before = {.kind = TRUST_END}, token, after;
  for( sql = trust_read(sql, &token); token.kind != TRUST_END; sql = trust_read(sql, &token) ) {
    trust_read(sql, &after);
    if( trust_is_word(&token, function) && after.kind == TRUST_MARK && *after.at == '(' &&
        trust_begins_expression(&before) )
      return true;
    before = token;
  }
  return false;
}

/* Is it a SELECT, which evaluates no constraint? */
static bool trust_is_select(sqlite3_stmt *statement, const char *sql) {
  struct trust_token first;
  trust_read(sql, &first);
  return sqlite3_stmt_readonly(statement) &&
         (trust_is_word(&first, "SELECT") || trust_is_word(&first, "WITH") ||
          trust_is_word(&first, "VALUES"));
}

int ner_sql_check_direct(sqlite3_context *context, const char *function, struct ner_err *err) {
  sqlite3 *db = sqlite3_context_db_handle(context);
  for( sqlite3_stmt *s = sqlite3_next_stmt(db, NULL); s; s = sqlite3_next_stmt(db, s) ) {
    const char *sql;
    if( !sqlite3_stmt_busy(s) ) continue;
    sql = sqlite3_sql(s);
    if( sql && (trust_is_select(s, sql) || ner_sql_calls(sql, function)) ) continue;
    return ner_fail(err, NER_ERROR,
                    "%s() may have been called by the database's schema, by a CHECK constraint of"
                    " what '%.60s' works on; call it in a SELECT of its own",
                    function, sql ? sql : "a statement without text");
  }
  return NER_OK;
}
