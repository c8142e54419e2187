/*
** ner_redact.c - a text without its names, and a text with its names marked:
**
**     ner_redact(text [, labels [, model]])
**         'Ada lived in Paris'              -> '[PER] lived in [LOC]'
**         'Ada lived in Paris', 'PER'       -> '[PER] lived in Paris'
**     ner_html(text [, model])
**         'Ada & I' -> '<span class="ner" ...><mark class="ner-per" ...>Ada</mark> &amp; I</span>'
**
** ner_redact fails closed: whatever goes wrong is an error, never the text as it was.
**
** ner_html gives ASCII alone (everything else as &#...;), so it reads the same whatever charset
** the page around it declares or forgets to declare; and each mark brings its own
** foreground and background, so it is legible on light and dark pages alike.
*/
#include "sql/sql.h"

#include <string.h>

/* Walks a list such as 'PER, ORG': the next name, without blanks around it; false at the end.
** Empty places count as names, so that 'PER,' is found out. */
static bool next_label(struct ner_slice *list, struct ner_slice *name) {
  const char *end;
  if( !list->utf8 ) return false;
  end = memchr(list->utf8, ',', list->n_bytes);
  name->utf8 = list->utf8;
  name->n_bytes = end ? (size_t)(end - list->utf8) : list->n_bytes;
  list->n_bytes -= name->n_bytes + (end ? 1 : 0);
  list->utf8 = end ? end + 1 : NULL;
  while( name->n_bytes > 0 && name->utf8[0] == ' ' ) name->utf8++, name->n_bytes--;
  while( name->n_bytes > 0 && name->utf8[name->n_bytes - 1] == ' ' ) name->n_bytes--;
  return true;
}

static bool same_label(struct ner_slice name, const char *label) {
  return strlen(label) == name.n_bytes &&
         sqlite3_strnicmp(name.utf8, label, (int)name.n_bytes) == 0;
}

/* A misspelt label would silently redact nothing, so each must be one of the model's. */
static int check_labels(const struct ner_model *model, struct ner_slice list, struct ner_err *err) {
  struct ner_slice name;
  while( next_label(&list, &name) ) {
    bool known = false;
    for( int32_t i = 0; i < model->config.n_labels && !known; i++ )
      known = !model->label[i].is_outside && same_label(name, model->needs_strict ? model->label[i].scheme_type : model->label[i].type);
    if( !known ) {
      char quoted[44];
      ner_format(quoted, sizeof quoted, "%.*s", (int)name.n_bytes, name.utf8);
      return ner_fail(err, NER_ERROR,
                      "label '%s' is not one of the model's; its labels are %.200s", quoted,
                      model->labels_json);
    }
  }
  return NER_OK;
}

static bool in_list(struct ner_slice list, const char *label) {
  struct ner_slice name;
  while( next_label(&list, &name) )
    if( same_label(name, label) ) return true;
  return false;
}

static void result_text(sqlite3_context *context, sqlite3_str *str) {
  int rc = sqlite3_str_errcode(str), n = sqlite3_str_length(str);
  char *text = sqlite3_str_finish(str);
  if( rc == SQLITE_TOOBIG ) {
    sqlite3_free(text);
    sqlite3_result_error_toobig(context);
  } else if( rc != SQLITE_OK ) {
    sqlite3_free(text);
    sqlite3_result_error_nomem(context);
  } else if( !text ) { /* sqlite3_str gives NULL for "" */
    sqlite3_result_text(context, "", 0, SQLITE_STATIC);
  } else {
    sqlite3_result_text64(context, text, (sqlite3_uint64)n, sqlite3_free, SQLITE_UTF8);
  }
}

static void redact_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_entities found = {0};
  struct ner_model *model = NULL;
  struct ner_slice text, labels = {0};
  struct ner_options options = {0};
  struct ner_err err = {0};
  int rc;
  if( ner_sql_is_null(arg[0]) ) return;
  rc = ner_sql_text(arg[0], "the text", &text, &err);
  if( rc == NER_OK ) rc = ner_sql_model(sqlite3_context_db_handle(context), n_args > 2 ? arg[2] : NULL, &model, &err);
  if( rc == NER_OK && n_args > 1 && !ner_sql_is_null(arg[1]) ) {
    rc = ner_sql_text(arg[1], "the list of labels", &labels, &err);
    if( rc == NER_OK ) rc = check_labels(model, labels, &err);
  }
  if( rc == NER_OK ) options = ner_model_options(model);
  if( rc == NER_OK )
    rc = ner_sql_extract(sqlite3_context_db_handle(context), sqlite3_user_data(context), model, text, &options, &found, &err);
  if( rc == NER_OK ) {
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    uint32_t at = 0;
    for( size_t i = 0; i < found.n; i++ ) {
      const struct ner_entity *e = &found.entity[i];
      if( labels.utf8 && !in_list(labels, e->label) ) continue;
      /* Entities never overlap; were two to, nothing of either may show. */
      if( e->start_byte > at ) sqlite3_str_append(out, text.utf8 + at, (int)(e->start_byte - at));
      sqlite3_str_appendf(out, "[%s]", e->label);
      if( e->end_byte > at ) at = e->end_byte;
    }
    sqlite3_str_append(out, text.utf8 + at, (int)(text.n_bytes - at));
    result_text(context, out);
  } else {
    ner_sql_result_error(context, &err);
  }
  ner_entities_free(&found);
  ner_model_unref(model);
}

static void append_escaped(sqlite3_str *html, const char *utf8, uint32_t n_bytes) {
  uint32_t at = 0;
  while( at < n_bytes ) {
    uint32_t from = at;
    int32_t c = ner_utf8_next((const unsigned char *)utf8, n_bytes, &at);
    switch( c ) {
    case '&': sqlite3_str_append(html, "&amp;", 5); break;
    case '<': sqlite3_str_append(html, "&lt;", 4); break;
    case '>': sqlite3_str_append(html, "&gt;", 4); break;
    case '"': sqlite3_str_append(html, "&quot;", 6); break;
    case '\'': sqlite3_str_append(html, "&#39;", 5); break;
    case '\n':
    case '\t': sqlite3_str_appendchar(html, 1, (char)c); break;
    default:
      /* HTML has no reference for control characters, and reads &#128; to &#159; as another
      ** code page's. */
      if( c < 0x20 || (c >= 0x7F && c < 0xA0) )
        sqlite3_str_append(html, c == '\r' ? "\n" : "&#65533;", c == '\r' ? 1 : 8);
      else if( c < 0x7F )
        sqlite3_str_append(html, utf8 + from, (int)(at - from));
      else
        sqlite3_str_appendf(html, "&#%d;", (int)c);
    }
    /* A line end of two characters is one. */
    if( c == '\r' && at < n_bytes && utf8[at] == '\n' ) at++;
  }
}

/* Dark on pale, contrast above 7 : 1, the same on any page. Labels that are not CoNLL's share the
** last. */
static const char *const colours[][2] = {
    {"PER", "#cfe2ff"},  {"ORG", "#ffe2b8"}, {"LOC", "#c9efcf"},
    {"MISC", "#e9d7fb"}, {NULL, "#e4e4e4"},
};

static void append_mark(sqlite3_str *html, const char *utf8, const struct ner_entity *e) {
  size_t colour = 0;
  while( colours[colour][0] && strcmp(colours[colour][0], e->label) != 0 ) colour++;
  sqlite3_str_appendall(html, "<mark class=\"ner-");
  for( const char *c = e->label; *c; c++ )
    sqlite3_str_appendchar(html, 1, ner_ascii_alnum(*c) ? ner_ascii_lower(*c) : '-');
  sqlite3_str_appendf(html,
                      "\" style=\"background:%s;color:#111;padding:.1em .3em;border-radius:.3em\""
                      " title=\"",
                      colours[colour][1]);
  append_escaped(html, e->label, (uint32_t)strlen(e->label));
  sqlite3_str_appendf(html, " %.3f\">", (double)e->score);
  append_escaped(html, utf8 + e->start_byte, e->end_byte - e->start_byte);
  sqlite3_str_appendall(html, "<small style=\"margin-left:.4em;font-size:.7em;font-weight:700\">");
  append_escaped(html, e->label, (uint32_t)strlen(e->label));
  sqlite3_str_appendall(html, "</small></mark>");
}

static void html_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_entities found = {0};
  struct ner_model *model = NULL;
  struct ner_slice text;
  struct ner_options options = {0};
  struct ner_err err = {0};
  int rc;
  if( ner_sql_is_null(arg[0]) ) return;
  rc = ner_sql_text(arg[0], "the text", &text, &err);
  if( rc == NER_OK ) rc = ner_sql_model(sqlite3_context_db_handle(context), n_args > 1 ? arg[1] : NULL, &model, &err);
  if( rc == NER_OK ) options = ner_model_options(model);
  if( rc == NER_OK )
    rc = ner_sql_extract(sqlite3_context_db_handle(context), sqlite3_user_data(context), model, text, &options, &found, &err);
  if( rc == NER_OK ) {
    sqlite3_str *html = sqlite3_str_new(sqlite3_context_db_handle(context));
    uint32_t at = 0;
    sqlite3_str_appendall(html, "<span class=\"ner\" style=\"white-space:pre-wrap\">");
    for( size_t i = 0; i < found.n; i++ ) {
      const struct ner_entity *e = &found.entity[i];
      if( e->start_byte < at ) continue;
      append_escaped(html, text.utf8 + at, e->start_byte - at);
      append_mark(html, text.utf8, e);
      at = e->end_byte;
    }
    append_escaped(html, text.utf8 + at, (uint32_t)text.n_bytes - at);
    sqlite3_str_appendall(html, "</span>");
    result_text(context, html);
  } else {
    ner_sql_result_error(context, &err);
  }
  ner_entities_free(&found);
  ner_model_unref(model);
}

int ner_sql_register_redact(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_redact", 1, NER_SQL_INFER, redact_function},
      {"ner_redact", 2, NER_SQL_INFER, redact_function},
      {"ner_redact", 3, NER_SQL_INFER, redact_function},
      {"ner_html", 1, NER_SQL_INFER, html_function},
      {"ner_html", 2, NER_SQL_INFER, html_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
