/*
** tokenizer_json.c - reading and writing a tokenizer's rules; see tokenizer_json.h.
*/
#include "model/tokenizer_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Documents nested in one another: each has a connection of its own. */
#define MAX_RULE_DEPTH 8

static int rules_rule_open(const struct ner_json_item *item, const char *what, const char *member,
                           struct ner_json **out, struct ner_err *err) {
  *out = NULL;
  if( item->type != NER_JSON_OBJECT )
    return ner_fail(err, NER_ERROR, "%s: %s is neither an object nor null" NER_GET_ANEW, what,
                    member);
  return ner_json_open(item->string, item->n_string, what, out, err);
}

/* Fails with the names of what there is instead. */
static int rules_rule_unknown(const char *what, const char *member, const char *found,
                              const char *const *names, size_t n_names, struct ner_err *err) {
  char list[256];
  size_t n = 0;
  for( size_t i = 0; i < n_names && n < sizeof list; i++ )
    n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", names[i]);
  return ner_fail(err, NER_ERROR, "%s: %s '%.60s' is not supported; there are %s", what, member,
                  found, list);
}

/* The "type" of a rule, one of the names; its index. */
static int rules_rule_type(struct ner_json *json, const char *what, const char *member,
                           const char *const *names, size_t n_names, size_t *out,
                           struct ner_err *err) {
  char *type;
  int rc = ner_json_string(json, "$.type", &type, err);
  if( rc ) return rc;
  for( *out = 0; *out < n_names; ++*out )
    if( type && strcmp(type, names[*out]) == 0 ) break;
  if( *out == n_names )
    rc = rules_rule_unknown(what, member, type ? type : "(without a type)", names, n_names, err);
  NER_FREE(type);
  return rc;
}

/* A boolean that must be there. */
static int rules_rule_bool(struct ner_json *json, const char *what, const char *path, bool *out,
                           struct ner_err *err) {
  enum ner_json_type type = ner_json_type_at(json, path);
  int rc = ner_json_bool(json, path, out, err);
  if( rc == NER_OK && type <= NER_JSON_NULL )
    rc = ner_fail(err, NER_ERROR, "%s: a rule lacks %s" NER_GET_ANEW, what, path + 2);
  return rc;
}

/* Calls fn for each of a Sequence's rules, which must be there. */
static int rules_rule_each(struct ner_json *json, const char *what, const char *path,
                           ner_json_fn fn, void *arg, struct ner_err *err) {
  enum ner_json_type type = ner_json_type_at(json, path);
  int rc = ner_json_each(json, path, fn, arg, err);
  if( rc == NER_OK && type != NER_JSON_ARRAY )
    rc = ner_fail(err, NER_ERROR, "%s: a 'Sequence' lacks %s" NER_GET_ANEW, what, path + 2);
  return rc;
}

/* ---- normalizer ---- */

static const char *const rules_normalizer_names[] = {
    [NER_NORMALIZER_BERT] = "BertNormalizer",
    [NER_NORMALIZER_NFC] = "NFC",
    [NER_NORMALIZER_NFD] = "NFD",
    [NER_NORMALIZER_NFKC] = "NFKC",
    [NER_NORMALIZER_NFKD] = "NFKD",
    [NER_NORMALIZER_LOWERCASE] = "Lowercase",
    [NER_NORMALIZER_STRIP_ACCENTS] = "StripAccents",
    [NER_NORMALIZER_STRIP] = "Strip",
    [NER_NORMALIZER_REPLACE] = "Replace",
    [NER_NORMALIZER_REPLACE + 1] = "Sequence",
};
#define N_NORMALIZERS (sizeof rules_normalizer_names / sizeof rules_normalizer_names[0])

/* A string's code points; *out is for NER_FREE. */
static int rules_rule_code_points(struct ner_json *json, const char *what, const char *path,
                                  int32_t **out, uint32_t *n, struct ner_err *err) {
  char *text;
  uint32_t at = 0, n_bytes;
  int rc = ner_json_string(json, path, &text, err);
  *n = 0;
  if( rc ) return rc;
  if( !text ) return ner_fail(err, NER_ERROR, "%s: a rule lacks %s" NER_GET_ANEW, what, path + 2);
  n_bytes = (uint32_t)strlen(text);
  *out = ner_alloc((size_t)n_bytes + 1, sizeof **out);
  if( !*out ) rc = ner_fail_nomem(err);
  while( rc == NER_OK && at < n_bytes )
    (*out)[(*n)++] = ner_utf8_next((const unsigned char *)text, n_bytes, &at);
  NER_FREE(text);
  return rc;
}

static int rules_read_replace(struct ner_json *json, const char *what,
                              struct ner_normalizer_step *step, struct ner_err *err) {
  int rc;
  if( ner_json_type_at(json, "$.pattern.Regex") != NER_JSON_MISSING )
    return ner_fail(err, NER_ERROR,
                    "%s: normalizer 'Replace' with a regular expression is not supported; only "
                    "one with a plain string is",
                    what);
  if( (rc = rules_rule_code_points(json, what, "$.pattern.String", &step->pattern, &step->n_pattern,
                                   err)) ||
      (rc =
           rules_rule_code_points(json, what, "$.content", &step->content, &step->n_content, err)) )
    return rc;
  if( step->n_pattern == 0 )
    return ner_fail(err, NER_ERROR, "%s: normalizer 'Replace' has an empty pattern; remove it",
                    what);
  return NER_OK;
}

static int rules_read_bert(struct ner_json *json, const char *what, struct ner_text_rules *rules,
                           struct ner_err *err) {
  int rc;
  if( (rc = rules_rule_bool(json, what, "$.clean_text", &rules->clean_text, err)) ||
      (rc = rules_rule_bool(json, what, "$.handle_chinese_chars", &rules->split_cjk, err)) ||
      (rc = rules_rule_bool(json, what, "$.lowercase", &rules->lowercase, err)) )
    return rc;
  rules->strip_accents = rules->lowercase; /* unless stated */
  return ner_json_bool(json, "$.strip_accents", &rules->strip_accents, err);
}

struct rules_normalizer_walk {
  struct ner_normalizer *out;
  const char *what;
  int depth;
};

static int rules_read_normalizer(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_normalizer_walk *walk = arg;
  struct ner_normalizer_step step = {0};
  struct ner_json *json;
  size_t type = 0;
  bool owned = true; /* the step's strings are still ours */
  int rc = rules_rule_open(item, walk->what, "normalizer", &json, err);
  if( rc ) return rc;
  rc = rules_rule_type(json, walk->what, "normalizer", rules_normalizer_names, N_NORMALIZERS, &type,
                       err);
  step.kind = (enum ner_normalizer_kind)type;
  if( rc == NER_OK && type == NER_NORMALIZER_REPLACE + 1 ) {
    if( ++walk->depth > MAX_RULE_DEPTH )
      rc = ner_fail(err, NER_ERROR, "%s: normalizer is nested too deeply; flatten it", walk->what);
    else
      rc = rules_rule_each(json, walk->what, "$.normalizers", rules_read_normalizer, walk, err);
    walk->depth--;
    ner_json_close(json);
    return rc;
  }
  if( rc == NER_OK && step.kind == NER_NORMALIZER_BERT )
    rc = rules_read_bert(json, walk->what, &step.bert, err);
  if( rc == NER_OK && step.kind == NER_NORMALIZER_STRIP &&
      (rc = rules_rule_bool(json, walk->what, "$.strip_left", &step.left, err)) == NER_OK )
    rc = rules_rule_bool(json, walk->what, "$.strip_right", &step.right, err);
  if( rc == NER_OK && step.kind == NER_NORMALIZER_REPLACE )
    rc = rules_read_replace(json, walk->what, &step, err);
  if( rc == NER_OK ) {
    owned = false;
    rc = ner_normalizer_add(walk->out, &step, err);
    if( rc == NER_ERROR ) ner_fail_prefix(err, "%s: ", walk->what);
  }
  if( owned ) {
    NER_FREE(step.pattern);
    NER_FREE(step.content);
  }
  ner_json_close(json);
  return rc;
}

int ner_normalizer_from_json(const struct ner_json_item *item, const char *what,
                             struct ner_normalizer *out, struct ner_err *err) {
  struct rules_normalizer_walk walk = {.out = out, .what = what};
  return item->type == NER_JSON_NULL ? NER_OK : rules_read_normalizer(&walk, item, err);
}

/* ---- pre-tokenizer ---- */

static const char *const rules_pretokenizer_names[] = {
    [NER_PRETOKENIZER_BERT] = "BertPreTokenizer",
    [NER_PRETOKENIZER_WHITESPACE] = "Whitespace",
    [NER_PRETOKENIZER_WHITESPACE_SPLIT] = "WhitespaceSplit",
    [NER_PRETOKENIZER_PUNCTUATION] = "Punctuation",
    [NER_PRETOKENIZER_DIGITS] = "Digits",
    [NER_PRETOKENIZER_DIGITS + 1] = "Sequence",
};
#define N_PRETOKENIZERS (sizeof rules_pretokenizer_names / sizeof rules_pretokenizer_names[0])

static const char *const rules_behavior_names[] = {
    [NER_SPLIT_REMOVED] = "Removed",
    [NER_SPLIT_ISOLATED] = "Isolated",
    [NER_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
    [NER_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
    [NER_SPLIT_CONTIGUOUS] = "Contiguous",
};
#define N_BEHAVIORS (sizeof rules_behavior_names / sizeof rules_behavior_names[0])

static int rules_read_behavior(struct ner_json *json, const char *what,
                               enum ner_split_behavior *out, struct ner_err *err) {
  char *name;
  size_t i = NER_SPLIT_ISOLATED;
  int rc = ner_json_string(json, "$.behavior", &name, err);
  if( rc ) return rc;
  for( i = 0; name && i < N_BEHAVIORS; i++ )
    if( strcmp(name, rules_behavior_names[i]) == 0 ) break;
  if( name && i == N_BEHAVIORS )
    rc = rules_rule_unknown(what, "pre_tokenizer 'Punctuation': behavior", name,
                            rules_behavior_names, N_BEHAVIORS, err);
  *out = name ? (enum ner_split_behavior)i : NER_SPLIT_ISOLATED;
  NER_FREE(name);
  return rc;
}

struct rules_pretokenizer_walk {
  struct ner_pretokenizer *out;
  const char *what;
  int depth;
};

static int rules_read_pretokenizer(void *arg, const struct ner_json_item *item,
                                   struct ner_err *err) {
  struct rules_pretokenizer_walk *walk = arg;
  struct ner_pretokenizer_step step = {0};
  struct ner_json *json;
  size_t type = 0;
  bool individual = false;
  int rc = rules_rule_open(item, walk->what, "pre_tokenizer", &json, err);
  if( rc ) return rc;
  rc = rules_rule_type(json, walk->what, "pre_tokenizer", rules_pretokenizer_names, N_PRETOKENIZERS,
                       &type, err);
  step.kind = (enum ner_pretokenizer_kind)type;
  if( rc == NER_OK && type == NER_PRETOKENIZER_DIGITS + 1 ) {
    if( ++walk->depth > MAX_RULE_DEPTH )
      rc = ner_fail(err, NER_ERROR, "%s: pre_tokenizer is nested too deeply; flatten it",
                    walk->what);
    else
      rc = rules_rule_each(json, walk->what, "$.pretokenizers", rules_read_pretokenizer, walk, err);
    walk->depth--;
    ner_json_close(json);
    return rc;
  }
  if( rc == NER_OK && step.kind == NER_PRETOKENIZER_PUNCTUATION )
    rc = rules_read_behavior(json, walk->what, &step.behavior, err);
  if( rc == NER_OK && step.kind == NER_PRETOKENIZER_DIGITS ) {
    rc = rules_rule_bool(json, walk->what, "$.individual_digits", &individual, err);
    step.behavior = individual ? NER_SPLIT_ISOLATED : NER_SPLIT_CONTIGUOUS;
  }
  if( rc == NER_OK ) {
    rc = ner_pretokenizer_add(walk->out, &step, err);
    if( rc == NER_ERROR ) ner_fail_prefix(err, "%s: ", walk->what);
  }
  ner_json_close(json);
  return rc;
}

int ner_pretokenizer_from_json(const struct ner_json_item *item, const char *what,
                               struct ner_pretokenizer *out, struct ner_err *err) {
  struct rules_pretokenizer_walk walk = {.out = out, .what = what};
  return item->type == NER_JSON_NULL ? NER_OK : rules_read_pretokenizer(&walk, item, err);
}

/* ---- post-processor ---- */

static int rules_template_push(struct ner_template *t, bool after, int64_t id, const char *what,
                               struct ner_err *err) {
  int32_t *n = after ? &t->n_after : &t->n_before;
  if( *n == NER_TEMPLATE_IDS )
    return ner_fail(err, NER_ERROR,
                    "%s: post_processor adds more than %d tokens on one side; shorten it", what,
                    NER_TEMPLATE_IDS);
  if( id < 0 || id > INT32_MAX )
    return ner_fail(err, NER_ERROR, "%s: post_processor has an id that is no id" NER_GET_ANEW,
                    what);
  (after ? t->after : t->before)[(*n)++] = (int32_t)id;
  return NER_OK;
}

struct rules_template_walk {
  struct ner_json *json; /* the post-processor */
  struct ner_template *out;
  const char *what;
  bool token_types;
  int n_texts;         /* how often the text itself stood there so far */
  int64_t id;          /* ids of a special token: the last one */
  const char *special; /* its name */
  size_t n_special;
  bool found;
};

static int rules_template_id(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_template_walk *walk = arg;
  return rules_template_push(walk->out, walk->n_texts > 0,
                             item->type == NER_JSON_INTEGER ? item->integer : -1, walk->what, err);
}

static int rules_template_ids_member(void *arg, const struct ner_json_item *item,
                                     struct ner_err *err) {
  struct rules_template_walk *walk = arg;
  if( item->n_key != 3 || memcmp(item->key, "ids", 3) != 0 ) return NER_OK;
  walk->found = true;
  return ner_json_each_in(walk->json, item, rules_template_id, walk, err);
}

/* A member of special_tokens. */
static int rules_template_special(void *arg, const struct ner_json_item *item,
                                  struct ner_err *err) {
  struct rules_template_walk *walk = arg;
  if( item->n_key != walk->n_special || memcmp(item->key, walk->special, walk->n_special) != 0 )
    return NER_OK;
  return ner_json_each_in(walk->json, item, rules_template_ids_member, walk, err);
}

/* {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}} */
static int rules_template_piece(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_template_walk *walk = arg;
  struct ner_json *json;
  char *special = NULL, *sequence = NULL;
  int64_t type_a = 0, type_b = 0;
  int rc = rules_rule_open(item, walk->what, "post_processor", &json, err);
  if( rc ) return rc;
  if( (rc = ner_json_string(json, "$.SpecialToken.id", &special, err)) == NER_OK &&
      (rc = ner_json_string(json, "$.Sequence.id", &sequence, err)) == NER_OK &&
      (rc = ner_json_int(json, "$.SpecialToken.type_id", &type_a, err)) == NER_OK )
    rc = ner_json_int(json, "$.Sequence.type_id", &type_b, err);
  if( rc == NER_OK && walk->token_types && (type_a != 0 || type_b != 0) )
    rc = ner_fail(err, NER_ERROR,
                  "%s: post_processor gives a text the token type %lld; only 0 is supported",
                  walk->what, (long long)(type_a ? type_a : type_b));
  if( rc == NER_OK && special ) {
    walk->special = special;
    walk->n_special = strlen(special);
    walk->found = false;
    rc = ner_json_each(walk->json, "$.special_tokens", rules_template_special, walk, err);
    if( rc == NER_OK && !walk->found )
      rc = ner_fail(err, NER_ERROR, "%s: post_processor: special_tokens lacks '%.40s'" NER_GET_ANEW,
                    walk->what, special);
  } else if( rc == NER_OK && sequence && strcmp(sequence, "A") == 0 && walk->n_texts == 0 ) {
    walk->n_texts = 1;
  } else if( rc == NER_OK ) {
    rc = ner_fail(err, NER_ERROR,
                  "%s: post_processor: a template for one text holds special tokens and the text, "
                  "once; this one does not",
                  walk->what);
  }
  NER_FREE(special);
  NER_FREE(sequence);
  ner_json_close(json);
  return rc;
}

/* ["[SEP]", 102] */
static int rules_template_pair_id(struct ner_json *json, const char *path, bool after,
                                  const char *what, struct ner_template *out, struct ner_err *err) {
  int64_t id = -1;
  int rc = ner_json_int(json, path, &id, err);
  return rc ? rc : rules_template_push(out, after, id, what, err);
}

int ner_template_from_json(const struct ner_json_item *item, bool token_types, const char *what,
                           struct ner_template *out, struct ner_err *err) {
  static const char *const names[] = {"TemplateProcessing", "BertProcessing"};
  struct rules_template_walk walk = {.out = out, .what = what, .token_types = token_types};
  size_t type;
  int rc;
  *out = (struct ner_template){0};
  if( item->type == NER_JSON_NULL ) return NER_OK;
  if( (rc = rules_rule_open(item, what, "post_processor", &walk.json, err)) ) return rc;
  rc = rules_rule_type(walk.json, what, "post_processor", names, 2, &type, err);
  if( rc == NER_OK && type == 0 ) {
    rc = ner_json_each(walk.json, "$.single", rules_template_piece, &walk, err);
    if( rc == NER_OK && walk.n_texts != 1 )
      rc = ner_fail(err, NER_ERROR,
                    "%s: post_processor: its template for one text has no text" NER_GET_ANEW, what);
  } else if( rc == NER_OK ) {
    rc = rules_template_pair_id(walk.json, "$.cls[1]", false, what, out, err);
    if( rc == NER_OK ) rc = rules_template_pair_id(walk.json, "$.sep[1]", true, what, out, err);
  }
  ner_json_close(walk.json);
  return rc;
}

/* ---- added tokens ---- */

struct rules_token_walk {
  struct ner_json_token *out;
  const char *what;
};

static bool rules_key_is(const struct ner_json_item *item, const char *key) {
  return item->key && item->n_key == strlen(key) && memcmp(item->key, key, item->n_key) == 0;
}

static int rules_token_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  static const char *const flags[] = {"single_word", "lstrip", "rstrip", "special", "normalized"};
  struct rules_token_walk *walk = arg;
  struct ner_json_token *t = walk->out;
  bool *const into[] = {&t->single_word, &t->lstrip, &t->rstrip, &t->special, &t->normalized};
  if( rules_key_is(item, "content") && item->type == NER_JSON_STRING ) {
    NER_FREE(t->content);
    t->content = ner_strndup(item->string, item->n_string);
    t->n_content = item->n_string;
    return t->content ? NER_OK : ner_fail_nomem(err);
  }
  if( rules_key_is(item, "id") && item->type == NER_JSON_INTEGER ) t->id = item->integer;
  for( size_t i = 0; i < 5; i++ ) {
    if( !rules_key_is(item, flags[i]) ) continue;
    if( item->type != NER_JSON_TRUE && item->type != NER_JSON_FALSE )
      return ner_fail(err, NER_ERROR,
                      "%s: an added token's %s is neither true nor false" NER_GET_ANEW, walk->what,
                      flags[i]);
    *into[i] = item->type == NER_JSON_TRUE;
    if( i == 4 ) t->normalized_stated = true;
  }
  return NER_OK;
}

int ner_token_from_json(struct ner_json *json, const struct ner_json_item *item, const char *what,
                        struct ner_json_token *out, struct ner_err *err) {
  struct rules_token_walk walk = {.out = out, .what = what};
  int rc = NER_OK;
  *out = (struct ner_json_token){.id = -1};
  if( item->type != NER_JSON_OBJECT )
    rc = ner_fail(err, NER_ERROR, "%s: an added token is no object" NER_GET_ANEW, what);
  else
    rc = ner_json_each_in(json, item, rules_token_member, &walk, err);
  if( rc == NER_OK && !out->content )
    rc = ner_fail(err, NER_ERROR, "%s: an added token has no content" NER_GET_ANEW, what);
  if( rc ) {
    NER_FREE(out->content);
    out->content = NULL;
  }
  return rc;
}

/* ---- writing ---- */

struct rules_printer {
  char *text; /* [n] */
  size_t n, cap;
  bool nomem;
};

static void rules_print_bytes(struct rules_printer *p, const char *bytes, size_t n) {
  if( p->nomem || ner_grow((void **)&p->text, &p->cap, p->n + n + 1, 1) ) {
    p->nomem = true;
    return;
  }
  memcpy(p->text + p->n, bytes, n);
  p->n += n;
  p->text[p->n] = 0;
}

__attribute__((format(printf, 2, 3))) static void rules_print(struct rules_printer *p,
                                                              const char *format, ...) {
  char buffer[512];
  va_list args;
  int n;
  va_start(args, format);
  n = vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  if( n > 0 ) rules_print_bytes(p, buffer, (size_t)n);
}

static void rules_print_string(struct rules_printer *p, const char *bytes, size_t n) {
  rules_print_bytes(p, "\"", 1);
  for( size_t i = 0; i < n; i++ ) {
    unsigned char c = (unsigned char)bytes[i];
    if( c == '"' || c == '\\' )
      rules_print(p, "\\%c", c);
    else if( c < 0x20 )
      rules_print(p, "\\u%04x", c);
    else
      rules_print_bytes(p, bytes + i, 1);
  }
  rules_print_bytes(p, "\"", 1);
}

static void rules_print_code_points(struct rules_printer *p, const int32_t *cp, uint32_t n) {
  rules_print_bytes(p, "\"", 1);
  for( uint32_t i = 0; i < n; i++ ) {
    char utf8[NER_UTF8_MAX];
    if( cp[i] == '"' || cp[i] == '\\' || cp[i] < 0x20 )
      rules_print(p, "\\u%04x", (unsigned)cp[i]);
    else
      rules_print_bytes(p, utf8, ner_utf8_put(utf8, cp[i]));
  }
  rules_print_bytes(p, "\"", 1);
}

static const char *rules_print_bool(bool value) {
  return value ? "true" : "false";
}

static void rules_print_normalizer(struct rules_printer *p, const struct ner_normalizer *rules) {
  rules_print(p, "{\"type\":\"Sequence\",\"normalizers\":[");
  for( size_t i = 0; i < rules->n; i++ ) {
    const struct ner_normalizer_step *s = &rules->step[i];
    rules_print(p, "%s{\"type\":\"%s\"", i ? "," : "", rules_normalizer_names[s->kind]);
    if( s->kind == NER_NORMALIZER_BERT )
      rules_print(
          p, ",\"clean_text\":%s,\"handle_chinese_chars\":%s,\"strip_accents\":%s,\"lowercase\":%s",
          rules_print_bool(s->bert.clean_text), rules_print_bool(s->bert.split_cjk),
          rules_print_bool(s->bert.strip_accents), rules_print_bool(s->bert.lowercase));
    if( s->kind == NER_NORMALIZER_STRIP )
      rules_print(p, ",\"strip_left\":%s,\"strip_right\":%s", rules_print_bool(s->left),
                  rules_print_bool(s->right));
    if( s->kind == NER_NORMALIZER_REPLACE ) {
      rules_print(p, ",\"pattern\":{\"String\":");
      rules_print_code_points(p, s->pattern, s->n_pattern);
      rules_print(p, "},\"content\":");
      rules_print_code_points(p, s->content, s->n_content);
    }
    rules_print(p, "}");
  }
  rules_print(p, "]}");
}

static void rules_print_pretokenizer(struct rules_printer *p,
                                     const struct ner_pretokenizer *rules) {
  rules_print(p, "{\"type\":\"Sequence\",\"pretokenizers\":[");
  for( size_t i = 0; i < rules->n; i++ ) {
    const struct ner_pretokenizer_step *s = &rules->step[i];
    rules_print(p, "%s{\"type\":\"%s\"", i ? "," : "", rules_pretokenizer_names[s->kind]);
    if( s->kind == NER_PRETOKENIZER_PUNCTUATION )
      rules_print(p, ",\"behavior\":\"%s\"", rules_behavior_names[s->behavior]);
    if( s->kind == NER_PRETOKENIZER_DIGITS )
      rules_print(p, ",\"individual_digits\":%s",
                  rules_print_bool(s->behavior == NER_SPLIT_ISOLATED));
    rules_print(p, "}");
  }
  rules_print(p, "]}");
}

static void rules_print_ids(struct rules_printer *p, const int32_t *id, int32_t n) {
  for( int32_t i = 0; i < n; i++ ) rules_print(p, "%s%d", i ? "," : "", id[i]);
}

/* The name and value of an added token's flag that is not the default. */
static void rules_print_flag(struct rules_printer *p, const char *name, bool value) {
  if( value ) rules_print(p, ",\"%s\":true", name);
}

static void rules_print_added(struct rules_printer *p, const struct ner_added_tokens *added) {
  for( size_t i = 0; i < added->n; i++ ) {
    const struct ner_added_token *t = &added->token[i];
    rules_print(p, "%s{\"id\":%d,\"content\":", i ? "," : "", t->id);
    rules_print_string(p, t->content, t->n_content);
    if( t->n_pattern != t->n_content || memcmp(t->pattern, t->content, t->n_pattern) != 0 ) {
      rules_print(p, ",\"pattern\":");
      rules_print_string(p, t->pattern, t->n_pattern);
    }
    rules_print_flag(p, "normalized", t->set == NER_ADDED_NORMALIZED);
    rules_print_flag(p, "single_word", t->single_word);
    rules_print_flag(p, "lstrip", t->lstrip);
    rules_print_flag(p, "rstrip", t->rstrip);
    rules_print_flag(p, "special", t->special);
    rules_print_flag(p, "as_text", t->as_text);
    rules_print(p, "}");
  }
}

char *ner_tokenizer_to_json(const struct ner_tokenizer *tokenizer) {
  const struct ner_tokenizer_parts *parts = ner_tokenizer_parts(tokenizer);
  struct rules_printer p = {0};
  size_t n_prefix;
  const char *prefix = ner_vocab_prefix(parts->vocab, &n_prefix);
  rules_print(&p, "{\"added_tokens\":[");
  rules_print_added(&p, &parts->added);
  rules_print(&p, "],\"normalizer\":");
  rules_print_normalizer(&p, &parts->normalizer);
  rules_print(&p, ",\"pre_tokenizer\":");
  rules_print_pretokenizer(&p, &parts->pretokenizer);
  rules_print(&p, ",\"before\":[");
  rules_print_ids(&p, parts->around.before, parts->around.n_before);
  rules_print(&p, "],\"after\":[");
  rules_print_ids(&p, parts->around.after, parts->around.n_after);
  rules_print(&p, "],\"unk\":%d,\"named_unk\":%d,\"max_word_cp\":%lld,\"prefix\":", parts->unk,
              parts->named_unk, (long long)parts->max_word_cp);
  rules_print_string(&p, prefix, n_prefix);
  rules_print(&p, "}");
  if( !p.nomem ) return p.text;
  NER_FREE(p.text);
  return NULL;
}

/* ---- reading what was written ---- */

struct rules_own_walk {
  struct ner_json *json;
  const char *what;
  int32_t vocab_size;
  struct ner_tokenizer_parts parts;
};

static int rules_own_bad(const struct rules_own_walk *walk, const char *member,
                         struct ner_err *err) {
  return ner_fail(err, NER_ERROR,
                  "%s: the tokenizer's %s is damaged; make the file again with "
                  "ner_convert",
                  walk->what, member);
}

struct rules_own_token_walk {
  struct rules_own_walk *own;
  struct ner_added_token token;
};

static int rules_own_token_member(void *arg, const struct ner_json_item *item,
                                  struct ner_err *err) {
  struct rules_own_token_walk *walk = arg;
  struct ner_added_token *t = &walk->token;
  bool yes = item->type == NER_JSON_TRUE;
  if( (rules_key_is(item, "content") || rules_key_is(item, "pattern")) &&
      item->type == NER_JSON_STRING ) {
    bool content = rules_key_is(item, "content");
    char **into = content ? &t->content : &t->pattern;
    NER_FREE(*into);
    *into = ner_strndup(item->string, item->n_string);
    *(content ? &t->n_content : &t->n_pattern) = item->n_string;
    return *into ? NER_OK : ner_fail_nomem(err);
  }
  if( rules_key_is(item, "id") ) {
    if( item->type != NER_JSON_INTEGER || item->integer < 0 ||
        item->integer >= walk->own->vocab_size )
      return rules_own_bad(walk->own, "added token", err);
    t->id = (int32_t)item->integer;
  }
  if( rules_key_is(item, "normalized") ) t->set = yes ? NER_ADDED_NORMALIZED : NER_ADDED_RAW;
  if( rules_key_is(item, "single_word") ) t->single_word = yes;
  if( rules_key_is(item, "lstrip") ) t->lstrip = yes;
  if( rules_key_is(item, "rstrip") ) t->rstrip = yes;
  if( rules_key_is(item, "special") ) t->special = yes;
  if( rules_key_is(item, "as_text") ) t->as_text = yes;
  return NER_OK;
}

static int rules_own_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_own_walk *own = arg;
  struct rules_own_token_walk walk = {.own = own, .token = {.id = -1}};
  int rc = item->type == NER_JSON_OBJECT
               ? ner_json_each_in(own->json, item, rules_own_token_member, &walk, err)
               : rules_own_bad(own, "added_tokens", err);
  if( rc == NER_OK && (!walk.token.content || walk.token.id < 0) )
    rc = rules_own_bad(own, "added token", err);
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

static int rules_own_id(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_own_walk *own = arg;
  if( item->type != NER_JSON_INTEGER || item->integer < 0 || item->integer >= own->vocab_size )
    return rules_own_bad(own, "template", err);
  return NER_OK;
}

static int rules_own_before(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_own_walk *own = arg;
  int rc = rules_own_id(arg, item, err);
  return rc ? rc : rules_template_push(&own->parts.around, false, item->integer, own->what, err);
}
static int rules_own_after(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_own_walk *own = arg;
  int rc = rules_own_id(arg, item, err);
  return rc ? rc : rules_template_push(&own->parts.around, true, item->integer, own->what, err);
}

static int rules_own_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct rules_own_walk *own = arg;
  if( rules_key_is(item, "added_tokens") )
    return ner_json_each_in(own->json, item, rules_own_token, own, err);
  if( rules_key_is(item, "normalizer") )
    return ner_normalizer_from_json(item, own->what, &own->parts.normalizer, err);
  if( rules_key_is(item, "pre_tokenizer") )
    return ner_pretokenizer_from_json(item, own->what, &own->parts.pretokenizer, err);
  if( rules_key_is(item, "before") )
    return ner_json_each_in(own->json, item, rules_own_before, own, err);
  if( rules_key_is(item, "after") )
    return ner_json_each_in(own->json, item, rules_own_after, own, err);
  return NER_OK;
}

static int rules_own_numbers(struct rules_own_walk *own, struct ner_err *err) {
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
    rc = rules_own_bad(own, "description", err);
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
  struct rules_own_walk own = {.what = what, .vocab_size = vocab_size, .parts = {.vocab = vocab}};
  int rc = ner_json_open(text, n_bytes, what, &own.json, err);
  *out = NULL;
  if( rc == NER_OK ) rc = ner_json_each(own.json, "$", rules_own_member, &own, err);
  if( rc == NER_OK ) rc = rules_own_numbers(&own, err);
  ner_json_close(own.json);
  if( rc == NER_OK ) return ner_tokenizer_from_parts(&own.parts, what, out, err);
  ner_tokenizer_parts_free(&own.parts);
  return rc;
}
