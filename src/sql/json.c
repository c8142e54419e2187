/*
** json.c - writes JSON for SQL functions; see sql/sql.h. (model/json.c reads it.)
*/
#include "sql/sql.h"

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
