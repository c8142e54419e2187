/*
** args.c - errors, arguments and JSON for the SQL functions; see sql/sql.h.
*/
#include "sql/cache.h"

#include <string.h>
#include "engine/registry.h"

int ner_sql_register(sqlite3 *db, const struct ner_sql_function *functions, size_t n) {
  int rc = SQLITE_OK;
  for( size_t i = 0; i < n && rc == SQLITE_OK; i++ ) {
    /* Each function holds the connection's cache; SQLite lets go of it when the connection closes,
    ** and also when this very call fails. */
    struct ner_sql_cache *cache = ner_sql_cache_acquire(db);
    if( !cache ) return SQLITE_NOMEM;
    rc = sqlite3_create_function_v2(db, functions[i].name, functions[i].n_args, functions[i].flags,
                                    cache, functions[i].call, NULL, NULL, ner_sql_cache_release);
  }
  return rc;
}

static int sqlite_code(const struct ner_err *err) {
  switch( err->code ) {
  case NER_NOMEM: return SQLITE_NOMEM;
  case NER_INTERRUPT: return SQLITE_INTERRUPT;
  default: return SQLITE_ERROR;
  }
}

void ner_sql_result_error(sqlite3_context *context, const struct ner_err *err) {
  int code = sqlite_code(err);
  char *message;
  /* The two codes bring SQLite's own messages. */
  if( code == SQLITE_NOMEM ) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if( code == SQLITE_ERROR ) {
    message = sqlite3_mprintf("ner: %s", err->msg);
    if( !message ) {
      sqlite3_result_error_nomem(context);
      return;
    }
    sqlite3_result_error(context, message, -1);
    sqlite3_free(message);
  }
  sqlite3_result_error_code(context, code);
}

int ner_sql_table_error(sqlite3_vtab *table, const struct ner_err *err) {
  int code = sqlite_code(err);
  sqlite3_free(table->zErrMsg);
  table->zErrMsg = NULL;
  if( code == SQLITE_ERROR ) {
    table->zErrMsg = sqlite3_mprintf("ner: %s", err->msg);
    if( !table->zErrMsg ) return SQLITE_NOMEM;
  }
  return code;
}

bool ner_sql_is_null(sqlite3_value *value) {
  return !value || sqlite3_value_type(value) == SQLITE_NULL;
}

int ner_sql_text(sqlite3_value *value, const char *what, struct ner_slice *out,
                 struct ner_err *err) {
  if( sqlite3_value_type(value) == SQLITE_BLOB )
    return ner_fail(err, NER_ERROR,
                    "%s is a BLOB; give text, or CAST(... AS TEXT) if it holds some", what);
  out->utf8 = (const char *)sqlite3_value_text(value);
  if( !out->utf8 ) return ner_fail_nomem(err);
  /* Bytes after text: it counts those of the UTF-8 just made. */
  out->n_bytes = (size_t)sqlite3_value_bytes(value);
  return NER_OK;
}

int ner_sql_name(sqlite3_value *value, const char *what, const char **out, struct ner_err *err) {
  struct ner_slice text;
  int rc;
  if( ner_sql_is_null(value) )
    return ner_fail(err, NER_ERROR, "%s is NULL; it must be given", what);
  rc = ner_sql_text(value, what, &text, err);
  if( rc != NER_OK ) return rc;
  if( text.n_bytes == 0 ) return ner_fail(err, NER_ERROR, "%s is empty; it must be given", what);
  if( strlen(text.utf8) != text.n_bytes )
    return ner_fail(err, NER_ERROR, "%s has a NUL character inside; take it out", what);
  *out = text.utf8;
  return NER_OK;
}

int ner_sql_model(sqlite3_value *value, struct ner_model **out, struct ner_err *err) {
  const char *name = NULL;
  *out = NULL;
  if( !ner_sql_is_null(value) ) {
    int rc = ner_sql_name(value, "the model's name", &name, err);
    if( rc != NER_OK ) return rc;
  }
  return ner_registry_get(name, NULL, out, err);
}

static const char *skip_digits(const char *s, int *n) {
  for( ; *s >= '0' && *s <= '9'; s++ ) ++*n;
  return s;
}
static const char *skip_blanks(const char *s) {
  while( *s == ' ' || (*s >= '\t' && *s <= '\r') ) s++;
  return s;
}

/* What SQLite takes for a number in full. Not sqlite3_value_numeric_type(): in 3.52 and 3.53 that
** crashes on a value that came from sqlite3_value_dup(), as ours do. */
static bool is_number(struct ner_slice text) {
  const char *s = skip_blanks(text.utf8);
  int n = 0, n_exponent = 0;
  s = skip_digits(*s == '-' || *s == '+' ? s + 1 : s, &n);
  if( *s == '.' ) s = skip_digits(s + 1, &n);
  if( n > 0 && (*s == 'e' || *s == 'E') ) {
    s = skip_digits(s[1] == '-' || s[1] == '+' ? s + 2 : s + 1, &n_exponent);
    if( n_exponent == 0 ) return false;
  }
  return n > 0 && skip_blanks(s) == text.utf8 + text.n_bytes;
}

int ner_sql_options(sqlite3_value *aggregation, sqlite3_value *threshold, struct ner_options *out,
                    struct ner_err *err) {
  memset(out, 0, sizeof *out);
  if( !ner_sql_is_null(aggregation) ) {
    const char *name;
    int rc = ner_sql_name(aggregation, "the aggregation", &name, err);
    if( rc == NER_OK ) rc = ner_aggregation_parse(name, &out->aggregation, err);
    if( rc != NER_OK ) return rc;
  }
  if( !ner_sql_is_null(threshold) ) {
    struct ner_slice text;
    char number[NER_NUMBER_BYTES];
    int type = sqlite3_value_type(threshold);
    if( type != SQLITE_INTEGER && type != SQLITE_FLOAT ) {
      int rc = ner_sql_text(threshold, "the threshold", &text, err);
      if( rc != NER_OK ) return rc;
      if( !is_number(text) )
        return ner_fail(err, NER_ERROR,
                        "the threshold '%.40s' is not a number; give one from 0 to 1", text.utf8);
    }
    out->threshold = sqlite3_value_double(threshold);
    if( !(out->threshold >= 0 && out->threshold <= 1) )
      return ner_fail(err, NER_ERROR, "the threshold is %s; give a number from 0 to 1",
                      ner_print_number(out->threshold, 6, number));
  }
  return NER_OK;
}

void ner_sql_json_string(sqlite3_str *json, const char *utf8, size_t n_bytes) {
  static const char hex[] = "0123456789abcdef";
  const unsigned char *text = (const unsigned char *)utf8;
  uint32_t at = 0, from = 0; /* bytes [from, at) need no escape and are not yet written */
  sqlite3_str_appendchar(json, 1, '"');
  while( at < n_bytes ) {
    uint32_t begin = at;
    int32_t c = ner_utf8_next(text, (uint32_t)n_bytes, &at);
    /* U+FFFD itself, when it stands in the text, takes three bytes and is good. */
    bool bad = c == 0xFFFD && !(at - begin == 3 && text[begin] == 0xEF && text[begin + 1] == 0xBF);
    if( c >= 0x20 && c != '"' && c != '\\' && !bad ) continue;
    sqlite3_str_append(json, utf8 + from, (int)(begin - from));
    from = at;
    switch( c ) {
    case '"': sqlite3_str_append(json, "\\\"", 2); break;
    case '\\': sqlite3_str_append(json, "\\\\", 2); break;
    case '\n': sqlite3_str_append(json, "\\n", 2); break;
    case '\r': sqlite3_str_append(json, "\\r", 2); break;
    case '\t': sqlite3_str_append(json, "\\t", 2); break;
    case 0xFFFD: sqlite3_str_append(json, "\xEF\xBF\xBD", 3); break;
    default:
      sqlite3_str_append(json, "\\u00", 4);
      sqlite3_str_appendchar(json, 1, hex[c >> 4 & 15]);
      sqlite3_str_appendchar(json, 1, hex[c & 15]);
    }
  }
  sqlite3_str_append(json, utf8 + from, (int)(at - from));
  sqlite3_str_appendchar(json, 1, '"');
}

void ner_sql_json_number(sqlite3_str *json, double number) {
  sqlite3_str_appendf(json, "%!.15g", number);
}

void ner_sql_result_json(sqlite3_context *context, sqlite3_str *json) {
  int rc = sqlite3_str_errcode(json), n = sqlite3_str_length(json);
  char *text = sqlite3_str_finish(json);
  if( rc == SQLITE_OK && text ) {
    sqlite3_result_text64(context, text, (sqlite3_uint64)n, sqlite3_free, SQLITE_UTF8);
    sqlite3_result_subtype(context, NER_SQL_JSON_SUBTYPE);
    return;
  }
  sqlite3_free(text);
  if( rc == SQLITE_TOOBIG )
    sqlite3_result_error_toobig(context);
  else
    sqlite3_result_error_nomem(context);
}
