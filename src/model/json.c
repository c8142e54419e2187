/*
** json.c - see json.h. The only file of the engine that calls SQLite.
**
** SQLite reads leniently: from 3.42 on its functions accept JSON5, before 3.45 they end a string at
** \u0000, and no version rejects ill-formed UTF-8. Some versions (3.40) accept a container that
** ends in a string as a member's name, ["a"] in {["a"]:1}, and then read from a null pointer when a
** member is looked up. So json_check_text() scans a document once (bytes, escapes, names, depth),
** and the document must pass json_valid(), which requires RFC 8259 in every version. After that the
** functions of all versions agree.
*/
#include "model/json.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3

#define JSON_MAX_DEPTH 64 /* levels of a document; a model's files need four */
#define JSON_MAX_NEST  4  /* walks inside walks */

struct ner_json {
  sqlite3 *db;
  char *text; /* [n_text] */
  int n_text;
  char *what;
  sqlite3_stmt *look; /* (text, path) → type, value */
  sqlite3_stmt
      *each[JSON_MAX_NEST]; /* (text, path) → type of the whole; key, type, value of a member */
  int nest;                 /* each[0, nest) are being walked */
  bool nomem;               /* ner_json_type_at() ran out of memory */
};

static int json_bad_text(struct ner_err *err, const char *what, const char *why, size_t at) {
  return ner_fail(err, NER_ERROR, "%s: not valid JSON (%s at byte %zu); fetch the file again", what,
                  why, at);
}

/* The four hex digits at s, -1 if they are none. */
static int json_hex4(const unsigned char *s, const unsigned char *end) {
  int value = 0;
  if( end - s < 4 ) return -1;
  for( int i = 0; i < 4; i++ ) {
    int c = s[i], digit;
    if( c >= '0' && c <= '9' )
      digit = c - '0';
    else if( (c | 32) >= 'a' && (c | 32) <= 'f' )
      digit = (c | 32) - 'a' + 10;
    else
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

/* Checks the escape after the backslash at s; returns its length, 0 if it is
** refused: \u0000, or half of a surrogate pair. */
static int json_check_escape(const unsigned char *s, const unsigned char *end) {
  int high, low;
  if( end - s < 2 ) return 0;
  if( s[1] != 'u' ) return 2;
  high = json_hex4(s + 2, end);
  if( high <= 0 || (high >= 0xDC00 && high <= 0xDFFF) ) return 0;
  if( high < 0xD800 || high > 0xDBFF ) return 6;
  if( end - s < 12 || s[6] != '\\' || s[7] != 'u' ) return 0;
  low = json_hex4(s + 8, end);
  return low >= 0xDC00 && low <= 0xDFFF ? 12 : 0;
}

/* Checks what json_valid() does not; see the top of the file. */
static int json_check_text(const char *text, size_t n_bytes, const char *what,
                           struct ner_err *err) {
  const unsigned char *s = (const unsigned char *)text, *end = s + n_bytes;
  bool in_string = false;
  int depth = 0, last = 0; /* last: the last byte that is not a blank */
  if( n_bytes > INT_MAX - 1 )
    return ner_fail(err, NER_ERROR, "%s: %zu bytes of JSON are too many", what, n_bytes);
  while( s < end ) {
    size_t at = (size_t)(s - (const unsigned char *)text);
    int c = *s;
    if( c >= 0x80 ) {
      utf8proc_int32_t cp;
      utf8proc_ssize_t n = utf8proc_iterate(s, end - s, &cp);
      if( n <= 0 ) return json_bad_text(err, what, "ill-formed UTF-8", at);
      s += n;
      continue;
    }
    if( c == 0 || (in_string && c < 0x20) )
      return json_bad_text(err, what, "a control character", at);
    if( in_string && c == '\\' ) {
      int n = json_check_escape(s, end);
      if( n == 0 ) return json_bad_text(err, what, "an escape that stands for no character", at);
      s += n;
      continue;
    }
    if( c == '"' ) in_string = !in_string;
    if( !in_string && (c == '[' || c == '{') && ++depth > JSON_MAX_DEPTH )
      return json_bad_text(err, what, "nested too deeply", at);
    if( !in_string && (c == ']' || c == '}') ) depth--;
    if( !in_string && c == ':' && last != '"' )
      return json_bad_text(err, what, "a name that is no string", at);
    if( c > ' ' ) last = c;
    s++;
  }
  return NER_OK;
}

/* Fails with SQLite's message for its last failure. */
static int json_fail_sqlite(const struct ner_json *json, struct ner_err *err) {
  if( !json->db || (sqlite3_errcode(json->db) & 0xff) == SQLITE_NOMEM ) return ner_fail_nomem(err);
  return ner_fail(err, NER_ERROR,
                  "%s: SQLite could not read the JSON (%s); SQLite 3.38 or newer with its JSON "
                  "functions is needed",
                  json->what, sqlite3_errmsg(json->db));
}

static int json_prepare(struct ner_json *json, const char *sql, sqlite3_stmt **out,
                        struct ner_err *err) {
  if( sqlite3_prepare_v2(json->db, sql, -1, out, NULL) != SQLITE_OK )
    return json_fail_sqlite(json, err);
  return NER_OK;
}

/* json_valid() rejects JSON5; json_type() distinguishes malformed JSON from a lack of memory. Up to
** 3.44 json_valid() also returns 0 when memory is short: then a second evaluation returns 1, or
** json_type() fails. */
static int json_check_valid(struct ner_json *json, struct ner_err *err) {
  sqlite3_stmt *stmt = NULL;
  bool valid = false, malformed = false;
  int rc = json_prepare(json, "SELECT json_valid(?1), json_type(?1)", &stmt, err);
  if( rc ) return rc;
  if( sqlite3_bind_text(stmt, 1, json->text, json->n_text, SQLITE_STATIC) != SQLITE_OK )
    rc = json_fail_sqlite(json, err);
  for( int i = 0; i < 2 && rc == NER_OK && !valid && !malformed; i++ ) {
    int step = sqlite3_step(stmt);
    if( step == SQLITE_ROW )
      valid = sqlite3_column_int(stmt, 0);
    else if( step == SQLITE_ERROR )
      malformed = true;
    else
      rc = json_fail_sqlite(json, err);
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  if( rc == NER_OK && !valid )
    rc = ner_fail(err, NER_ERROR, "%s: not valid JSON; fetch the file again", json->what);
  return rc;
}

/* Python's three literals, and numbers that SQLite reads as an infinity. */
static const struct json_literal {
  const char *name;
  size_t n_name;
  const char *number;
} json_literals[] = {{"NaN", 3, "9e999"}, {"Infinity", 8, "9e999"}};

static bool json_is_name(int c) {
  return ner_ascii_alnum((char)c) || c == '_' || c == '.' || c == '+';
}

/* The literal that begins at s (a sign before it is left in place), or NULL. */
static const struct json_literal *json_literal_at(const char *text, const char *s,
                                                  const char *end) {
  if( s > text && json_is_name((unsigned char)s[-1]) ) return NULL;
  for( size_t i = 0; i < sizeof json_literals / sizeof *json_literals; i++ ) {
    const struct json_literal *literal = &json_literals[i];
    if( (size_t)(end - s) < literal->n_name || memcmp(s, literal->name, literal->n_name) != 0 )
      continue;
    s += literal->n_name;
    return s < end && json_is_name((unsigned char)*s) ? NULL : literal;
  }
  return NULL;
}

/* A copy of text [n_bytes] with the literals, outside strings, replaced. */
static char *json_replace_literals(const char *text, size_t n_bytes, size_t *n_out) {
  const char *end = text + n_bytes;
  char *copy = ner_alloc(n_bytes + n_bytes / 3 * 2 + 1, 1), *out = copy; /* NaN grows by two */
  bool in_string = false;
  if( !copy ) return NULL;
  for( const char *s = text; s < end; ) {
    const struct json_literal *literal = in_string ? NULL : json_literal_at(text, s, end);
    if( literal ) {
      size_t n = strlen(literal->number);
      memcpy(out, literal->number, n);
      out += n;
      s += literal->n_name;
      continue;
    }
    if( *s == '"' ) in_string = !in_string;
    if( in_string && *s == '\\' && s + 1 < end ) *out++ = *s++;
    *out++ = *s++;
  }
  *out = 0;
  *n_out = (size_t)(out - copy);
  return copy;
}

/* Takes ownership of `text`, which is from ner_alloc(), also on failure. */
static int json_open(char *text, size_t n_bytes, const char *what, struct ner_json **out,
                     struct ner_err *err) {
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX;
  struct ner_json *json = ner_calloc(1, sizeof *json);
  int rc = NER_OK;
  *out = NULL;
  if( !json ) {
    NER_FREE(text);
    return ner_fail_nomem(err);
  }
  json->text = text;
  json->n_text = (int)n_bytes;
  json->what = ner_strndup(what, strlen(what));
  if( !json->text || !json->what )
    rc = ner_fail_nomem(err);
  else if( sqlite3_open_v2(":memory:", &json->db, flags, NULL) != SQLITE_OK )
    rc = json_fail_sqlite(json, err);
  else
    rc = json_check_valid(json, err);
  if( rc == NER_OK )
    rc = json_prepare(json, "SELECT json_type(?1, ?2), json_extract(?1, ?2)", &json->look, err);
  if( rc )
    ner_json_close(json);
  else
    *out = json;
  return rc;
}

static int json_check(const char *text, size_t n_bytes, const char *what, struct ner_err *err) {
#ifndef SQLITE_CORE
  if( !sqlite3_api )
    return ner_fail(err, NER_ERROR,
                    "%s: no SQLite to read JSON with; load the library as an "
                    "extension or compile it with -DSQLITE_CORE",
                    what);
#endif
  return json_check_text(text, n_bytes, what, err);
}

int ner_json_open(const char *text, size_t n_bytes, const char *what, struct ner_json **out,
                  struct ner_err *err) {
  int rc = json_check(text, n_bytes, what, err);
  *out = NULL;
  return rc ? rc : json_open(ner_strndup(text, n_bytes), n_bytes, what, out, err);
}

int ner_json_open_python(const char *text, size_t n_bytes, const char *what, struct ner_json **out,
                         struct ner_err *err) {
  int rc = json_check(text, n_bytes, what, err);
  char *copy;
  *out = NULL;
  if( rc ) return rc;
  copy = json_replace_literals(text, n_bytes, &n_bytes);
  return copy ? json_open(copy, n_bytes, what, out, err) : ner_fail_nomem(err);
}

int ner_json_replace(struct ner_json *json, const char *text, size_t n_bytes, const char *what,
                     struct ner_err *err) {
  int rc = json_check(text, n_bytes, what, err);
  if( rc != NER_OK ) return rc;
  NER_FREE(json->text);
  NER_FREE(json->what);
  json->text = ner_strndup(text, n_bytes);
  json->n_text = (int)n_bytes;
  json->what = ner_strndup(what, strlen(what));
  json->nomem = false;
  if( !json->text || !json->what ) return ner_fail_nomem(err);
  return json_check_valid(json, err);
}

void ner_json_close(struct ner_json *json) {
  if( !json ) return;
  for( int i = 0; i < JSON_MAX_NEST; i++ ) sqlite3_finalize(json->each[i]);
  sqlite3_finalize(json->look);
  sqlite3_close(json->db);
  NER_FREE(json->text);
  NER_FREE(json->what);
  NER_FREE(json);
}

/* The value's type, from json_type()'s name for it; an integer beyond int64 counts as REAL. */
static enum ner_json_type json_type_of(sqlite3_stmt *stmt, int type_column, int value_column) {
  static const char *const names[] = {
      [NER_JSON_NULL] = "null",       [NER_JSON_FALSE] = "false",  [NER_JSON_TRUE] = "true",
      [NER_JSON_INTEGER] = "integer", [NER_JSON_REAL] = "real",    [NER_JSON_STRING] = "text",
      [NER_JSON_ARRAY] = "array",     [NER_JSON_OBJECT] = "object"};
  const char *name = (const char *)sqlite3_column_text(stmt, type_column);
  if( !name ) return NER_JSON_MISSING;
  for( int i = NER_JSON_NULL; i <= NER_JSON_OBJECT; i++ )
    if( strcmp(name, names[i]) == 0 ) {
      if( i == NER_JSON_INTEGER && sqlite3_column_type(stmt, value_column) != SQLITE_INTEGER )
        return NER_JSON_REAL;
      return (enum ner_json_type)i;
    }
  return NER_JSON_MISSING;
}

static const char *json_type_name(enum ner_json_type type) {
  static const char *const names[] = {"missing",  "null",       "false",
                                      "true",     "an integer", "a number with a fraction",
                                      "a string", "an array",   "an object"};
  return names[type];
}

/* Leaves json->look at the value of `path`, to be reset by the caller. */
static int json_look(struct ner_json *json, const char *path, enum ner_json_type *type,
                     struct ner_err *err) {
  *type = NER_JSON_MISSING;
  if( json->nomem ) return ner_fail_nomem(err);
  if( sqlite3_bind_text(json->look, 1, json->text, json->n_text, SQLITE_STATIC) != SQLITE_OK ||
      sqlite3_bind_text(json->look, 2, path, -1, SQLITE_STATIC) != SQLITE_OK ||
      sqlite3_step(json->look) != SQLITE_ROW )
    return json_fail_sqlite(json, err);
  *type = json_type_of(json->look, 0, 1);
  if( *type == NER_JSON_MISSING && sqlite3_errcode(json->db) == SQLITE_NOMEM )
    return ner_fail_nomem(err);
  return NER_OK;
}

enum ner_json_type ner_json_type_at(struct ner_json *json, const char *path) {
  enum ner_json_type type;
  struct ner_err err = {0};
  if( json_look(json, path, &type, &err) == NER_NOMEM ) json->nomem = true;
  sqlite3_reset(json->look);
  return type;
}

static int json_wrong_type(struct ner_json *json, const char *path, enum ner_json_type found,
                           const char *wanted, struct ner_err *err) {
  return ner_fail(err, NER_ERROR, "%s: %s is %s; it must be %s", json->what, path,
                  json_type_name(found), wanted);
}

int ner_json_int(struct ner_json *json, const char *path, int64_t *out, struct ner_err *err) {
  enum ner_json_type type;
  int rc = json_look(json, path, &type, err);
  if( rc == NER_OK && type == NER_JSON_INTEGER )
    *out = sqlite3_column_int64(json->look, 1);
  else if( rc == NER_OK && type > NER_JSON_NULL )
    rc = json_wrong_type(json, path, type, "an integer", err);
  sqlite3_reset(json->look);
  return rc;
}

int ner_json_real(struct ner_json *json, const char *path, double *out, struct ner_err *err) {
  enum ner_json_type type;
  int rc = json_look(json, path, &type, err);
  if( rc == NER_OK && (type == NER_JSON_INTEGER || type == NER_JSON_REAL) )
    *out = sqlite3_column_double(json->look, 1);
  else if( rc == NER_OK && type > NER_JSON_NULL )
    rc = json_wrong_type(json, path, type, "a number", err);
  sqlite3_reset(json->look);
  return rc;
}

int ner_json_bool(struct ner_json *json, const char *path, bool *out, struct ner_err *err) {
  enum ner_json_type type;
  int rc = json_look(json, path, &type, err);
  if( rc == NER_OK && (type == NER_JSON_TRUE || type == NER_JSON_FALSE) )
    *out = type == NER_JSON_TRUE;
  else if( rc == NER_OK && type > NER_JSON_NULL )
    rc = json_wrong_type(json, path, type, "true or false", err);
  sqlite3_reset(json->look);
  return rc;
}

int ner_json_string(struct ner_json *json, const char *path, char **out, struct ner_err *err) {
  enum ner_json_type type;
  int rc = json_look(json, path, &type, err);
  *out = NULL;
  if( rc == NER_OK && type == NER_JSON_STRING ) {
    const char *s = (const char *)sqlite3_column_text(json->look, 1);
    if( s ) *out = ner_strndup(s, (size_t)sqlite3_column_bytes(json->look, 1));
    if( !*out ) rc = ner_fail_nomem(err);
  } else if( rc == NER_OK && type > NER_JSON_NULL )
    rc = json_wrong_type(json, path, type, "a string", err);
  sqlite3_reset(json->look);
  return rc;
}

/* Fills an item from the current row of an each-statement. */
static int json_fill_item(struct ner_json *json, sqlite3_stmt *stmt, struct ner_json_item *item,
                          struct ner_err *err) {
  memset(item, 0, sizeof *item);
  item->type = json_type_of(stmt, 2, 3);
  if( item->type == NER_JSON_MISSING ) return json_fail_sqlite(json, err);
  if( sqlite3_column_type(stmt, 1) == SQLITE_INTEGER )
    item->index = sqlite3_column_int64(stmt, 1);
  else {
    item->key = (const char *)sqlite3_column_text(stmt, 1);
    item->n_key = (size_t)sqlite3_column_bytes(stmt, 1);
    if( !item->key ) return json_fail_sqlite(json, err);
  }
  if( item->type == NER_JSON_INTEGER ) item->integer = sqlite3_column_int64(stmt, 3);
  if( item->type == NER_JSON_INTEGER || item->type == NER_JSON_REAL )
    item->real = sqlite3_column_double(stmt, 3);
  if( item->type >= NER_JSON_STRING ) {
    item->string = (const char *)sqlite3_column_text(stmt, 3);
    item->n_string = (size_t)sqlite3_column_bytes(stmt, 3);
    if( !item->string ) return json_fail_sqlite(json, err);
  }
  return NER_OK;
}

static int json_walk(struct ner_json *json, const char *text, int n_text, const char *path,
                     ner_json_fn fn, void *arg, struct ner_err *err) {
  sqlite3_stmt *stmt;
  int rc = NER_OK, step;
  if( json->nomem ) return ner_fail_nomem(err);
  if( json->nest == JSON_MAX_NEST )
    return ner_fail(err, NER_ERROR, "%s: %s is nested too deeply", json->what, path);
  /* On a value that is no container json_each() gives one row, the value itself:
  ** hence the type of the whole beside each member. */
  if( !json->each[json->nest] &&
      (rc = json_prepare(json, "SELECT json_type(?1, ?2), key, type, value FROM json_each(?1, ?2)",
                         &json->each[json->nest], err)) )
    return rc;
  stmt = json->each[json->nest++];
  if( sqlite3_bind_text(stmt, 1, text, n_text, SQLITE_STATIC) != SQLITE_OK ||
      sqlite3_bind_text(stmt, 2, path, -1, SQLITE_STATIC) != SQLITE_OK )
    rc = json_fail_sqlite(json, err);
  while( rc == NER_OK && (step = sqlite3_step(stmt)) != SQLITE_DONE ) {
    struct ner_json_item item;
    enum ner_json_type whole;
    if( step != SQLITE_ROW ) {
      rc = json_fail_sqlite(json, err);
      break;
    }
    whole = json_type_of(stmt, 0, 0);
    if( whole == NER_JSON_NULL ) break;
    if( whole == NER_JSON_MISSING )
      rc = json_fail_sqlite(json, err);
    else if( whole < NER_JSON_ARRAY )
      rc = json_wrong_type(json, path, whole, "an object or an array", err);
    else
      rc = json_fill_item(json, stmt, &item, err);
    if( rc == NER_OK ) rc = fn(arg, &item, err);
  }
  sqlite3_reset(stmt);
  json->nest--;
  return rc;
}

int ner_json_each(struct ner_json *json, const char *path, ner_json_fn fn, void *arg,
                  struct ner_err *err) {
  return json_walk(json, json->text, json->n_text, path, fn, arg, err);
}

int ner_json_each_in(struct ner_json *json, const struct ner_json_item *item, ner_json_fn fn,
                     void *arg, struct ner_err *err) {
  if( item->type < NER_JSON_ARRAY )
    return json_wrong_type(json, "$", item->type, "a container", err);
  return json_walk(json, item->string, (int)item->n_string, "$", fn, arg, err);
}

size_t ner_json_quote(const char *s, char *out) {
  size_t n = 0;
  for( const char *quote = "\"";; quote = NULL ) {
    if( out ) out[n] = '"';
    n++;
    if( !quote ) return n;
    for( ; *s; s++ ) {
      char c[8];
      int len;
      if( *s == '"' || *s == '\\' )
        len = snprintf(c, sizeof c, "\\%c", *s);
      else if( (unsigned char)*s < 0x20 )
        len = snprintf(c, sizeof c, "\\u%04x", (unsigned)*s);
      else
        len = snprintf(c, sizeof c, "%c", *s);
      if( out ) memcpy(out + n, c, (size_t)len);
      n += (size_t)len;
    }
  }
}

int ner_json_append(char **list, const char *s, struct ner_err *err) {
  size_t n = *list ? strlen(*list) - 1 : 0; /* without the bracket at the end */
  char *longer = NER_REALLOC(*list, n + ner_json_quote(s, NULL) + 3);
  if( !longer ) return ner_fail_nomem(err);
  *list = longer;
  longer[n] = n ? ',' : '[';
  n += 1 + ner_json_quote(s, longer + n + 1);
  memcpy(longer + n, "]", 2);
  return NER_OK;
}

bool ner_json_key_is(const struct ner_json_item *item, const char *key) {
  return item->key && item->n_key == strlen(key) && memcmp(item->key, key, item->n_key) == 0;
}
