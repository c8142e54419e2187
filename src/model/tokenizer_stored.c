/*
** tokenizer_stored.c - a tokenizer's rules as a one-file model stores them, written and read; see
** tokenizer_json.h.
**
** One JSON object: added_tokens, normalizer and pre_tokenizer as in a tokenizer.json, except that
** an added token also has its normalised pattern; then before and after (ids around a text), unk,
** named_unk, max_word_cp and prefix, which a tokenizer.json has elsewhere.
*/
#include "model/tokenizer_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

struct stored_printer {
  char *text; /* [n] */
  size_t n, cap;
  bool nomem;
};

static void stored_print_bytes(struct stored_printer *p, const char *bytes, size_t n) {
  if( p->nomem || ner_grow((void **)&p->text, &p->cap, p->n + n + 1, 1) ) {
    p->nomem = true;
    return;
  }
  memcpy(p->text + p->n, bytes, n);
  p->n += n;
  p->text[p->n] = 0;
}

__attribute__((format(printf, 2, 3))) static void stored_print(struct stored_printer *p,
                                                               const char *format, ...) {
  char buffer[512];
  va_list args;
  int n;
  va_start(args, format);
  n = vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  if( n > 0 ) stored_print_bytes(p, buffer, (size_t)n);
}

static void stored_print_string(struct stored_printer *p, const char *bytes, size_t n) {
  stored_print_bytes(p, "\"", 1);
  for( size_t i = 0; i < n; i++ ) {
    unsigned char c = (unsigned char)bytes[i];
    if( c == '"' || c == '\\' )
      stored_print(p, "\\%c", c);
    else if( c < 0x20 )
      stored_print(p, "\\u%04x", c);
    else
      stored_print_bytes(p, bytes + i, 1);
  }
  stored_print_bytes(p, "\"", 1);
}

static void stored_print_code_points(struct stored_printer *p, const int32_t *cp, uint32_t n) {
  stored_print_bytes(p, "\"", 1);
  for( uint32_t i = 0; i < n; i++ ) {
    char utf8[NER_UTF8_MAX];
    if( cp[i] == '"' || cp[i] == '\\' || cp[i] < 0x20 )
      stored_print(p, "\\u%04x", (unsigned)cp[i]);
    else
      stored_print_bytes(p, utf8, ner_utf8_put(utf8, cp[i]));
  }
  stored_print_bytes(p, "\"", 1);
}

static const char *stored_print_bool(bool value) {
  return value ? "true" : "false";
}

static void stored_print_normalizer(struct stored_printer *p, const struct ner_normalizer *rules) {
  stored_print(p, "{\"type\":\"Sequence\",\"normalizers\":[");
  for( size_t i = 0; i < rules->n; i++ ) {
    const struct ner_normalizer_step *s = &rules->step[i];
    stored_print(p, "%s{\"type\":\"%s\"", i ? "," : "", ner_normalizer_name(s->kind));
    if( s->kind == NER_NORMALIZER_BERT )
      stored_print(
          p, ",\"clean_text\":%s,\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s",
          stored_print_bool(s->bert.clean_text), stored_print_bool(s->bert.split_cjk),
          stored_print_bool(s->bert.strip_accents), stored_print_bool(s->bert.lowercase));
    if( s->kind == NER_NORMALIZER_STRIP )
      stored_print(p, ",\"strip_left\":%s,\"strip_right\":%s", stored_print_bool(s->left),
                   stored_print_bool(s->right));
    if( s->kind == NER_NORMALIZER_REPLACE ) {
      stored_print(p, ",\"pattern\":{\"String\":");
      stored_print_code_points(p, s->pattern, s->n_pattern);
      stored_print(p, "},\"content\":");
      stored_print_code_points(p, s->content, s->n_content);
    }
    stored_print(p, "}");
  }
  stored_print(p, "]}");
}

static void stored_print_pretokenizer(struct stored_printer *p,
                                      const struct ner_pretokenizer *rules) {
  stored_print(p, "{\"type\":\"Sequence\",\"pretokenizers\":[");
  for( size_t i = 0; i < rules->n; i++ ) {
    const struct ner_pretokenizer_step *s = &rules->step[i];
    stored_print(p, "%s{\"type\":\"%s\"", i ? "," : "", ner_pretokenizer_name(s->kind));
    if( s->kind == NER_PRETOKENIZER_PUNCTUATION )
      stored_print(p, ",\"behavior\":\"%s\"", ner_split_behavior_name(s->behavior));
    if( s->kind == NER_PRETOKENIZER_DIGITS )
      stored_print(p, ",\"individual_digits\":%s",
                   stored_print_bool(s->behavior == NER_SPLIT_ISOLATED));
    stored_print(p, "}");
  }
  stored_print(p, "]}");
}

static void stored_print_ids(struct stored_printer *p, const int32_t *id, int32_t n) {
  for( int32_t i = 0; i < n; i++ ) stored_print(p, "%s%d", i ? "," : "", id[i]);
}

/* The name and value of an added token's flag that is not the default. */
static void stored_print_flag(struct stored_printer *p, const char *name, bool value) {
  if( value ) stored_print(p, ",\"%s\":true", name);
}

static void stored_print_added(struct stored_printer *p, const struct ner_added_tokens *added) {
  for( size_t i = 0; i < added->n; i++ ) {
    const struct ner_added_token *t = &added->token[i];
    stored_print(p, "%s{\"id\":%d,\"content\":", i ? "," : "", t->id);
    stored_print_string(p, t->content, t->n_content);
    if( t->n_pattern != t->n_content || memcmp(t->pattern, t->content, t->n_pattern) != 0 ) {
      stored_print(p, ",\"pattern\":");
      stored_print_string(p, t->pattern, t->n_pattern);
    }
    stored_print_flag(p, "normalized", t->set == NER_ADDED_NORMALIZED);
    stored_print_flag(p, "single_word", t->single_word);
    stored_print_flag(p, "lstrip", t->lstrip);
    stored_print_flag(p, "rstrip", t->rstrip);
    stored_print_flag(p, "special", t->special);
    stored_print_flag(p, "as_text", t->as_text);
    stored_print(p, "}");
  }
}

char *ner_tokenizer_to_json(const struct ner_tokenizer *tokenizer) {
  const struct ner_tokenizer_parts *parts = ner_tokenizer_parts(tokenizer);
  struct stored_printer p = {0};
  size_t n_prefix;
  const char *prefix = ner_vocab_prefix(parts->vocab, &n_prefix);
  stored_print(&p, "{\"added_tokens\":[");
  stored_print_added(&p, &parts->added);
  stored_print(&p, "],\"normalizer\":");
  stored_print_normalizer(&p, &parts->normalizer);
  stored_print(&p, ",\"pre_tokenizer\":");
  stored_print_pretokenizer(&p, &parts->pretokenizer);
  stored_print(&p, ",\"before\":[");
  stored_print_ids(&p, parts->around.before, parts->around.n_before);
  stored_print(&p, "],\"after\":[");
  stored_print_ids(&p, parts->around.after, parts->around.n_after);
  stored_print(&p, "],\"unk\":%d,\"named_unk\":%d,\"max_word_cp\":%lld,\"prefix\":", parts->unk,
               parts->named_unk, (long long)parts->max_word_cp);
  stored_print_string(&p, prefix, n_prefix);
  stored_print(&p, "}");
  if( !p.nomem ) return p.text;
  NER_FREE(p.text);
  return NULL;
}

/* ---- reading what was written ---- */

struct stored_walk {
  struct ner_json *json;
  const char *what;
  int32_t vocab_size;
  struct ner_tokenizer_parts parts;
};

static int stored_bad(const struct stored_walk *walk, const char *member, struct ner_err *err) {
  return ner_fail(err, NER_ERROR,
                  "%s: the tokenizer's %s is damaged; make the file again with "
                  "ner_convert",
                  walk->what, member);
}

struct stored_token_walk {
  struct stored_walk *own;
  struct ner_added_token token;
};

static int stored_token_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_token_walk *walk = arg;
  struct ner_added_token *t = &walk->token;
  bool yes = item->type == NER_JSON_TRUE;
  if( (ner_json_key_is(item, "content") || ner_json_key_is(item, "pattern")) &&
      item->type == NER_JSON_STRING ) {
    bool content = ner_json_key_is(item, "content");
    char **into = content ? &t->content : &t->pattern;
    NER_FREE(*into);
    *into = ner_strndup(item->string, item->n_string);
    *(content ? &t->n_content : &t->n_pattern) = item->n_string;
    return *into ? NER_OK : ner_fail_nomem(err);
  }
  if( ner_json_key_is(item, "id") ) {
    if( item->type != NER_JSON_INTEGER || item->integer < 0 ||
        item->integer >= walk->own->vocab_size )
      return stored_bad(walk->own, "added token", err);
    t->id = (int32_t)item->integer;
  }
  if( ner_json_key_is(item, "normalized") ) t->set = yes ? NER_ADDED_NORMALIZED : NER_ADDED_RAW;
  if( ner_json_key_is(item, "single_word") ) t->single_word = yes;
  if( ner_json_key_is(item, "lstrip") ) t->lstrip = yes;
  if( ner_json_key_is(item, "rstrip") ) t->rstrip = yes;
  if( ner_json_key_is(item, "special") ) t->special = yes;
  if( ner_json_key_is(item, "as_text") ) t->as_text = yes;
  return NER_OK;
}

static int stored_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_walk *own = arg;
  struct stored_token_walk walk = {.own = own, .token = {.id = -1}};
  int rc = item->type == NER_JSON_OBJECT
               ? ner_json_each_in(own->json, item, stored_token_member, &walk, err)
               : stored_bad(own, "added_tokens", err);
  if( rc == NER_OK && (!walk.token.content || walk.token.id < 0) )
    rc = stored_bad(own, "added token", err);
  if( rc == NER_OK && !walk.token.pattern ) {
    walk.token.pattern = ner_strndup(walk.token.content, walk.token.n_content);
    walk.token.n_pattern = walk.token.n_content;
    if( !walk.token.pattern ) rc = ner_fail_nomem(err);
  }
  if( rc == NER_OK ) return ner_added_tokens_add(&own->parts.added, &walk.token, err);
  NER_FREE(walk.token.content);
  NER_FREE(walk.token.pattern);
  return rc;
}

static int stored_id(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_walk *own = arg;
  if( item->type != NER_JSON_INTEGER || item->integer < 0 || item->integer >= own->vocab_size )
    return stored_bad(own, "template", err);
  return NER_OK;
}

static int stored_before(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_walk *own = arg;
  int rc = stored_id(arg, item, err);
  return rc ? rc : ner_template_push(&own->parts.around, false, item->integer, own->what, err);
}
static int stored_after(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_walk *own = arg;
  int rc = stored_id(arg, item, err);
  return rc ? rc : ner_template_push(&own->parts.around, true, item->integer, own->what, err);
}

static int stored_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct stored_walk *own = arg;
  if( ner_json_key_is(item, "added_tokens") )
    return ner_json_each_in(own->json, item, stored_token, own, err);
  if( ner_json_key_is(item, "normalizer") )
    return ner_normalizer_from_json(item, own->what, &own->parts.normalizer, err);
  if( ner_json_key_is(item, "pre_tokenizer") )
    return ner_pretokenizer_from_json(item, own->what, &own->parts.pretokenizer, err);
  if( ner_json_key_is(item, "before") )
    return ner_json_each_in(own->json, item, stored_before, own, err);
  if( ner_json_key_is(item, "after") )
    return ner_json_each_in(own->json, item, stored_after, own, err);
  return NER_OK;
}

static int stored_numbers(struct stored_walk *own, struct ner_err *err) {
  int64_t unk = -1, named_unk = -1, max_word_cp = -1;
  char *prefix = NULL;
  int rc;
  if( (rc = ner_json_int(own->json, "$.unk", &unk, err)) ||
      (rc = ner_json_int(own->json, "$.named_unk", &named_unk, err)) ||
      (rc = ner_json_int(own->json, "$.max_word_cp", &max_word_cp, err)) ||
      (rc = ner_json_string(own->json, "$.prefix", &prefix, err)) )
    return rc;
  if( unk < 0 || unk >= own->vocab_size || named_unk < -1 || named_unk >= own->vocab_size ||
      max_word_cp < 0 || !prefix )
    rc = stored_bad(own, "description", err);
  else
    rc = ner_vocab_set_prefix(own->parts.vocab, prefix, strlen(prefix), err);
  own->parts.unk = (int32_t)unk;
  own->parts.named_unk = (int32_t)named_unk;
  own->parts.max_word_cp = max_word_cp;
  NER_FREE(prefix);
  return rc;
}

int ner_tokenizer_from_json(const char *text, size_t n_bytes, const char *what,
                            struct ner_vocab *vocab, int32_t vocab_size, struct ner_tokenizer **out,
                            struct ner_err *err) {
  struct stored_walk own = {.what = what, .vocab_size = vocab_size, .parts = {.vocab = vocab}};
  int rc = ner_json_open(text, n_bytes, what, &own.json, err);
  *out = NULL;
  if( rc == NER_OK ) rc = ner_json_each(own.json, "$", stored_member, &own, err);
  if( rc == NER_OK ) rc = stored_numbers(&own, err);
  ner_json_close(own.json);
  if( rc == NER_OK ) return ner_tokenizer_from_parts(&own.parts, what, out, err);
  ner_tokenizer_parts_free(&own.parts);
  return rc;
}
