/*
** ner_html.c - the scalar function ner_html(): a text with its entities marked.
**
**     ner_html(text [, model])
**         'Ada & I' -> '<span class="ner" ...><mark class="ner-per" ...>Ada</mark> &amp; I</span>'
**
** The result is ASCII alone (everything else as &#...;), so it reads the same whatever charset the
** page around it declares, or if it declares none. Each mark brings its own foreground and
** background, so it is legible on light and dark pages alike.
*/
#include "sql/sql.h"

#include <string.h>

static void html_append_escaped(sqlite3_str *html, const char *utf8, uint32_t n_bytes) {
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

/* Dark on pale, contrast above 7 : 1 on any page. Labels that are not CoNLL's share the last. */
static const char *const html_colours[][2] = {
    {"PER", "#cfe2ff"},  {"ORG", "#ffe2b8"}, {"LOC", "#c9efcf"},
    {"MISC", "#e9d7fb"}, {NULL, "#e4e4e4"},
};

static void html_append_mark(sqlite3_str *html, const char *utf8, const struct ner_entity *e) {
  size_t colour = 0;
  while( html_colours[colour][0] && strcmp(html_colours[colour][0], e->label) != 0 ) colour++;
  sqlite3_str_appendall(html, "<mark class=\"ner-");
  for( const char *c = e->label; *c; c++ )
    sqlite3_str_appendchar(html, 1, ner_ascii_alnum(*c) ? ner_ascii_lower(*c) : '-');
  sqlite3_str_appendf(html,
                      "\" style=\"background:%s;color:#111;padding:.1em .3em;border-radius:.3em\""
                      " title=\"",
                      html_colours[colour][1]);
  html_append_escaped(html, e->label, (uint32_t)strlen(e->label));
  sqlite3_str_appendf(html, " %.3f\">", (double)e->score);
  html_append_escaped(html, utf8 + e->start_byte, e->end_byte - e->start_byte);
  sqlite3_str_appendall(html, "<small style=\"margin-left:.4em;font-size:.7em;font-weight:700\">");
  html_append_escaped(html, e->label, (uint32_t)strlen(e->label));
  sqlite3_str_appendall(html, "</small></mark>");
}

static void html_result(sqlite3_context *context, const struct ner_sql_found *found) {
  sqlite3_str *html = sqlite3_str_new(sqlite3_context_db_handle(context));
  const char *text = found->text.utf8;
  uint32_t at = 0;
  sqlite3_str_appendall(html, "<span class=\"ner\" style=\"white-space:pre-wrap\">");
  for( size_t i = 0; i < found->entities.n; i++ ) {
    const struct ner_entity *e = &found->entities.entity[i];
    if( e->start_byte < at ) continue;
    html_append_escaped(html, text + at, e->start_byte - at);
    html_append_mark(html, text, e);
    at = e->end_byte;
  }
  html_append_escaped(html, text + at, (uint32_t)found->text.n_bytes - at);
  sqlite3_str_appendall(html, "</span>");
  ner_sql_result_str(context, html);
}

static void html_function(sqlite3_context *context, int n_args, sqlite3_value **arg) {
  struct ner_sql_found found;
  struct ner_err err = {0};
  if( ner_sql_is_null(arg[0]) ) return;
  if( ner_sql_find(context, arg[0], n_args > 1 ? arg[1] : NULL, &found, &err) == NER_OK )
    html_result(context, &found);
  else
    ner_sql_result_error(context, &err);
  ner_sql_found_free(&found);
}

int ner_sql_register_html(sqlite3 *db, struct ner_sql_cache *cache) {
  static const struct ner_sql_function functions[] = {
      {"ner_html", 1, NER_SQL_INFER, html_function},
      {"ner_html", 2, NER_SQL_INFER, html_function},
  };
  return ner_sql_register(db, cache, functions, sizeof functions / sizeof *functions);
}
