/*
** tokenizer_json.c - reading the rules of a tokenizer.json; see tokenizer_json.h.
*/
#include "model/tokenizer_json.h"

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

const char *ner_normalizer_name(enum ner_normalizer_kind kind) {
  return rules_normalizer_names[kind];
}

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

const char *ner_pretokenizer_name(enum ner_pretokenizer_kind kind) {
  return rules_pretokenizer_names[kind];
}

static const char *const rules_behavior_names[] = {
    [NER_SPLIT_REMOVED] = "Removed",
    [NER_SPLIT_ISOLATED] = "Isolated",
    [NER_SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
    [NER_SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
    [NER_SPLIT_CONTIGUOUS] = "Contiguous",
};
#define N_BEHAVIORS (sizeof rules_behavior_names / sizeof rules_behavior_names[0])

const char *ner_split_behavior_name(enum ner_split_behavior behavior) {
  return rules_behavior_names[behavior];
}

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

int ner_template_push(struct ner_template *t, bool after, int64_t id, const char *what,
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
  return ner_template_push(walk->out, walk->n_texts > 0,
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
  return rc ? rc : ner_template_push(out, after, id, what, err);
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

static int rules_token_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  static const char *const flags[] = {"single_word", "lstrip", "rstrip", "special", "normalized"};
  struct rules_token_walk *walk = arg;
  struct ner_json_token *t = walk->out;
  bool *const into[] = {&t->single_word, &t->lstrip, &t->rstrip, &t->special, &t->normalized};
  if( ner_json_key_is(item, "content") && item->type == NER_JSON_STRING ) {
    NER_FREE(t->content);
    t->content = ner_strndup(item->string, item->n_string);
    t->n_content = item->n_string;
    return t->content ? NER_OK : ner_fail_nomem(err);
  }
  if( ner_json_key_is(item, "id") && item->type == NER_JSON_INTEGER ) t->id = item->integer;
  for( size_t i = 0; i < 5; i++ ) {
    if( !ner_json_key_is(item, flags[i]) ) continue;
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
