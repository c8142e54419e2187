/*
** args.c - reads the arguments of SQL functions and tables; see sql/sql.h.
*/
#include "sql/sql.h"

#include <string.h>
#include "engine/registry.h"

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

int ner_sql_model(sqlite3 *db, sqlite3_value *value, struct ner_model **out, struct ner_err *err) {
  const char *name = NULL;
  struct ner_sql_cancel cancel;
  int rc = NER_OK;
  *out = NULL;
  if( !ner_sql_is_null(value) ) rc = ner_sql_name(value, "the model's name", &name, err);
  if( rc != NER_OK ) return rc;
  ner_sql_cancel_open(&cancel, db);
  rc = ner_registry_get(name, &cancel.base, out, err);
  ner_sql_cancel_close(&cancel);
  return rc;
}

int ner_sql_precision(sqlite3_value *value, enum ner_precision *out, struct ner_err *err) {
  const char *name;
  int rc;
  *out = NER_PRECISION_FILE;
  if( ner_sql_is_null(value) ) return NER_OK;
  rc = ner_sql_name(value, "the precision", &name, err);
  return rc == NER_OK ? ner_precision_parse(name, out, err) : rc;
}

static const char *args_skip_digits(const char *s, int *n) {
  for( ; *s >= '0' && *s <= '9'; s++ ) ++*n;
  return s;
}
static const char *args_skip_blanks(const char *s) {
  while( *s == ' ' || (*s >= '\t' && *s <= '\r') ) s++;
  return s;
}

/* What SQLite takes for a number in full. Not sqlite3_value_numeric_type(): in 3.52 and 3.53 that
** crashes on a value that came from sqlite3_value_dup(), as ours do. */
static bool args_is_number(struct ner_slice text) {
  const char *s = args_skip_blanks(text.utf8);
  int n = 0, n_exponent = 0;
  s = args_skip_digits(*s == '-' || *s == '+' ? s + 1 : s, &n);
  if( *s == '.' ) s = args_skip_digits(s + 1, &n);
  if( n > 0 && (*s == 'e' || *s == 'E') ) {
    s = args_skip_digits(s[1] == '-' || s[1] == '+' ? s + 2 : s + 1, &n_exponent);
    if( n_exponent == 0 ) return false;
  }
  return n > 0 && args_skip_blanks(s) == text.utf8 + text.n_bytes;
}

int ner_sql_options(sqlite3_value *aggregation, sqlite3_value *threshold, struct ner_options *out,
                    struct ner_err *err) {
  *out = (struct ner_options){0};
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
      if( !args_is_number(text) )
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
