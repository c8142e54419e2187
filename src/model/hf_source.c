/*
** hf_source.c - reading what a directory states about its tokenizer; see hf_source.h.
**
** tokenizer_config.json names the class, its flags and special tokens, and has the added tokens in
** added_tokens_decoder. Directories without that member keep special tokens in
** special_tokens_map.json and added tokens in added_tokens.json.
*/
#include "model/hf_source.h"

#include <string.h>
#include "base/file.h"
#include "model/file_type.h"

static const char *const hf_special_names[HF_N_SPECIAL] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
static const char *const hf_special_defaults[HF_N_SPECIAL] = {[HF_UNK] = "[UNK]",
                                                              [HF_SEP] = "[SEP]",
                                                              [HF_PAD] = "[PAD]",
                                                              [HF_CLS] = "[CLS]",
                                                              [HF_MASK] = "[MASK]"};

int hf_source_open_json(const char *path, struct ner_json **out, struct ner_err *err) {
  char *text;
  size_t n;
  int rc = ner_read_text(path, &text, &n, err);
  *out = NULL;
  if( rc ) return rc;
  rc = ner_json_open_python(text, n, path, out, err);
  NER_FREE(text);
  return rc;
}

bool hf_source_has(const char *path) {
  return ner_file_kind(path) != NER_FILE_MISSING;
}

/* ---- the class ---- */

/* Classes that transformers derives from BERT's tokenizer or repeats it in. */
static const char *const hf_bert_classes[] = {"BertTokenizer",
                                              "DistilBertTokenizer",
                                              "ElectraTokenizer",
                                              "ConvBertTokenizer",
                                              "LayoutLMTokenizer",
                                              "LxmertTokenizer",
                                              "MobileBertTokenizer",
                                              "SqueezeBertTokenizer",
                                              "DPRContextEncoderTokenizer",
                                              "DPRQuestionEncoderTokenizer"};

static bool hf_class_is(const char *class, const char *name) {
  size_t n = strlen(name);
  return strncmp(class, name, n) == 0 && (class[n] == 0 || strcmp(class + n, "Fast") == 0);
}

static int hf_take_class(struct hf_source *src, const char *class, const char *path,
                         struct ner_err *err) {
  src->bert = false;
  if( hf_class_is(class, "PreTrainedTokenizer") ) return NER_OK;
  for( size_t i = 0; i < sizeof hf_bert_classes / sizeof hf_bert_classes[0]; i++ )
    if( hf_class_is(class, hf_bert_classes[i]) ) {
      src->bert = true;
      return NER_OK;
    }
  return ner_fail(err, NER_ERROR,
                  "%s: tokenizer_class is '%.60s', which is not supported; BertTokenizer, "
                  "DistilBertTokenizer and PreTrainedTokenizerFast are",
                  path, class);
}

/* From a file that may state tokenizer_class. */
static int hf_read_class(struct hf_source *src, struct ner_json *json, const char *path,
                         bool *found, struct ner_err *err) {
  char *class;
  int rc = ner_json_string(json, "$.tokenizer_class", &class, err);
  *found = class != NULL;
  if( rc == NER_OK && class ) rc = hf_take_class(src, class, path, err);
  NER_FREE(class);
  return rc;
}

/* ---- special tokens by name ---- */

static int hf_set_special(struct hf_source *src, int which, const struct hf_token *token,
                          struct ner_err *err) {
  struct hf_token copy = {0};
  if( token ) {
    copy = *token;
    copy.content = ner_strndup(token->content, token->n_content);
    if( !copy.content ) return ner_fail_nomem(err);
  }
  NER_FREE(src->special[which].content);
  src->special[which] = copy;
  src->special_stated[which] = true;
  return NER_OK;
}

/* A token from a string or an object; *out owns its content. */
int hf_source_read_token(struct hf_walk *walk, const struct ner_json_item *item,
                         struct hf_token *out, struct ner_err *err) {
  struct ner_json_token t;
  int rc;
  *out = (struct hf_token){.index = -1};
  if( item->type == NER_JSON_STRING ) {
    out->content = ner_strndup(item->string, item->n_string);
    out->n_content = item->n_string;
    out->is_string = true;
    return out->content ? NER_OK : ner_fail_nomem(err);
  }
  if( (rc = ner_token_from_json(walk->json, item, walk->path, &t, err)) ) return rc;
  *out = (struct hf_token){.content = t.content,
                           .n_content = t.n_content,
                           .index = t.id,
                           .single_word = t.single_word,
                           .lstrip = t.lstrip,
                           .rstrip = t.rstrip,
                           .special = t.special || walk->from_map,
                           .normalized = t.normalized,
                           .normalized_stated = t.normalized_stated};
  return NER_OK;
}

static int hf_token_type(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  (void)err;
  *(bool *)arg |= ner_json_key_is(item, "__type");
  return NER_OK;
}

/* In tokenizer_config.json an object must say that it is a token. */
static int hf_check_special(struct hf_walk *walk, const struct ner_json_item *item,
                            const char *name, struct ner_err *err) {
  bool typed = walk->from_map;
  int rc = NER_OK;
  if( item->type == NER_JSON_STRING ) return NER_OK;
  if( item->type == NER_JSON_OBJECT && !typed )
    rc = ner_json_each_in(walk->json, item, hf_token_type, &typed, err);
  if( rc == NER_OK && (item->type != NER_JSON_OBJECT || !typed) )
    rc = ner_fail(err, NER_ERROR, "%s: %s is neither a string nor a token" NER_GET_ANEW, walk->path,
                  name);
  return rc;
}

struct hf_list_walk {
  struct hf_walk *walk;
  struct hf_tokens *out;
};

static int hf_list_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_list_walk *list = arg;
  const struct hf_token *seen;
  struct hf_token token;
  int rc = hf_check_special(list->walk, item, "additional_special_tokens", err);
  if( rc || (rc = hf_source_read_token(list->walk, item, &token, err)) ) return rc;
  seen = hf_tokens_find(list->out, token.content, token.n_content);
  if( !(seen && seen->is_string == token.is_string && hf_token_same(seen, &token)) &&
      hf_tokens_add(list->out, &token) )
    rc = ner_fail_nomem(err);
  NER_FREE(token.content);
  return rc;
}

/* A member of tokenizer_config.json or special_tokens_map.json that names special tokens. */
static int hf_special_member(struct hf_walk *walk, const struct ner_json_item *item,
                             struct ner_err *err) {
  struct hf_source *src = walk->src;
  struct hf_list_walk list = {walk, &src->additional};
  int rc;
  if( ner_json_key_is(item, "additional_special_tokens") && item->type == NER_JSON_ARRAY )
    return ner_json_each_in(walk->json, item, hf_list_token, &list, err);
  for( int i = 0; i < HF_N_SPECIAL; i++ ) {
    struct hf_token token = {0};
    if( !ner_json_key_is(item, hf_special_names[i]) ) continue;
    if( item->type == NER_JSON_NULL ) return hf_set_special(src, i, NULL, err);
    if( (rc = hf_check_special(walk, item, hf_special_names[i], err)) == NER_OK &&
        (rc = hf_source_read_token(walk, item, &token, err)) == NER_OK )
      rc = hf_set_special(src, i, &token, err);
    NER_FREE(token.content);
    return rc;
  }
  return NER_OK;
}

/* ---- tokenizer_config.json ---- */

/* The number that is an object's key; -1: it is none. */
static int64_t hf_key_number(const struct ner_json_item *item) {
  int64_t number = 0;
  if( item->n_key == 0 || item->n_key > 9 ) return -1;
  for( size_t i = 0; i < item->n_key; i++ ) {
    if( item->key[i] < '0' || item->key[i] > '9' ) return -1;
    number = number * 10 + (item->key[i] - '0');
  }
  return number;
}

static int hf_decoder_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_token token;
  int64_t index = item->key ? hf_key_number(item) : -1;
  int rc;
  if( index < 0 || item->type != NER_JSON_OBJECT )
    return ner_fail(err, NER_ERROR,
                    "%s: added_tokens_decoder has a member '%.40s' that is not of the form "
                    "\"7\": {\"content\": ...}" NER_GET_ANEW,
                    walk->path, item->key ? item->key : "");
  if( (rc = hf_source_read_token(walk, item, &token, err)) ) return rc;
  token.index = index;
  if( hf_tokens_add(&walk->src->decoder, &token) ) rc = ner_fail_nomem(err);
  NER_FREE(token.content);
  return rc;
}

static int hf_extra_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_list_walk list = {walk, &walk->src->extra};
  return hf_list_token(&list, item, err);
}

static int hf_config_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  if( ner_json_key_is(item, "added_tokens_decoder") && item->type == NER_JSON_OBJECT ) {
    walk->src->has_decoder = true;
    return ner_json_each_in(walk->json, item, hf_decoder_token, walk, err);
  }
  if( ner_json_key_is(item, "extra_special_tokens") && item->type == NER_JSON_OBJECT )
    return ner_json_each_in(walk->json, item, hf_extra_token, walk, err);
  /* A null here turns transformers to vocab.txt, although tokenizer.json is there. */
  if( ner_json_key_is(item, "tokenizer_file") && item->type == NER_JSON_NULL )
    walk->src->has_json = false;
  if( ner_json_key_is(item, "from_slow") && item->type == NER_JSON_TRUE )
    walk->src->has_json = false;
  return hf_special_member(walk, item, err);
}

static int hf_read_flags(struct hf_source *src, struct ner_json *json, struct ner_err *err) {
  double max_len = src->max_length;
  int rc;
  src->strip_accents_stated = ner_json_type_at(json, "$.strip_accents") > NER_JSON_NULL;
  /* max_len is model_max_length's older name. Huge numbers mean "no limit". */
  if( (rc = ner_json_bool(json, "$.do_lower_case", &src->lowercase, err)) ||
      (rc = ner_json_bool(json, "$.strip_accents", &src->strip_accents, err)) ||
      (rc = ner_json_bool(json, "$.tokenize_chinese_chars", &src->split_cjk, err)) ||
      (rc = ner_json_bool(json, "$.do_basic_tokenize", &src->basic, err)) ||
      (rc = ner_json_bool(json, "$.split_special_tokens", &src->specials_as_text, err)) ||
      (rc = ner_json_real(json, "$.max_len", &max_len, err)) )
    return rc;
  rc = ner_json_real(json, "$.model_max_length", &max_len, err);
  src->max_length = max_len;
  return rc;
}

/* tokenizer_config.json, which need not be there, and what config.json says of the class. */
int hf_source_read_config(struct hf_source *src, struct ner_err *err) {
  struct hf_walk walk = {.src = src, .path = src->tokenizer_config_path};
  bool found = false;
  int rc = NER_OK;
  src->bert = true;
  if( hf_source_has(walk.path) ) {
    if( (rc = hf_source_open_json(walk.path, &walk.json, err)) ) return rc;
    if( (rc = hf_read_class(src, walk.json, walk.path, &found, err)) == NER_OK &&
        (rc = hf_read_flags(src, walk.json, err)) == NER_OK )
      rc = ner_json_each(walk.json, "$", hf_config_member, &walk, err);
    ner_json_close(walk.json);
  }
  if( rc || found || !hf_source_has(src->config_path) ) return rc;
  if( (rc = hf_source_open_json(src->config_path, &walk.json, err)) ) return rc;
  rc = hf_read_class(src, walk.json, src->config_path, &found, err);
  ner_json_close(walk.json);
  return rc;
}

/* ---- special_tokens_map.json, added_tokens.json ---- */

static int hf_map_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  return hf_special_member(arg, item, err);
}

static bool hf_is_special_name(const struct hf_source *src, const char *content, size_t n) {
  for( int i = 0; i < HF_N_SPECIAL; i++ )
    if( src->special_stated[i] && src->special[i].content &&
        hf_token_named(&src->special[i], content, n) )
      return true;
  return hf_tokens_find(&src->additional, content, n) != NULL;
}

static int hf_added_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_token token = {0};
  if( !item->key || item->type != NER_JSON_INTEGER )
    return ner_fail(err, NER_ERROR, "%s: not an object of tokens and their ids" NER_GET_ANEW,
                    walk->path);
  token.content = (char *)item->key;
  token.n_content = item->n_key;
  token.index = item->integer;
  token.special = hf_is_special_name(walk->src, item->key, item->n_key);
  token.normalized = !token.special;
  token.normalized_stated = true;
  token.unnamed = true;
  return hf_tokens_add(&walk->src->decoder, &token) ? ner_fail_nomem(err) : NER_OK;
}

static int hf_read_members(struct hf_source *src, const char *path, bool from_map, ner_json_fn fn,
                           struct ner_err *err) {
  struct hf_walk walk = {.src = src, .path = path, .from_map = from_map};
  int rc;
  if( !hf_source_has(path) ) return NER_OK;
  if( (rc = hf_source_open_json(path, &walk.json, err)) ) return rc;
  rc = ner_json_each(walk.json, "$", fn, &walk, err);
  ner_json_close(walk.json);
  return rc;
}

/* Only where tokenizer_config.json has no added_tokens_decoder are the older files asked. */
int hf_source_read_older_files(struct hf_source *src, struct ner_err *err) {
  int rc;
  if( src->has_decoder ) return NER_OK;
  if( (rc = hf_read_members(src, src->map_path, true, hf_map_member, err)) ||
      (rc = hf_read_members(src, src->added_path, false, hf_added_member, err)) )
    return rc;
  for( size_t i = 0; i < src->json_added.n; i++ )
    if( hf_tokens_add(&src->decoder, &src->json_added.token[i]) ) return ner_fail_nomem(err);
  return NER_OK;
}

/* ---- the outcome ---- */

const struct hf_token *hf_source_special(const struct hf_source *src, int which) {
  return src->special[which].content ? &src->special[which] : NULL;
}

int hf_source_complete_specials(struct hf_source *src, struct ner_err *err) {
  for( int i = 0; i < HF_N_SPECIAL; i++ ) {
    const struct hf_token *special = &src->special[i], *token;
    int rc;
    if( !src->special_stated[i] && src->bert && hf_special_defaults[i] ) {
      const struct hf_token by_default = {.content = (char *)hf_special_defaults[i],
                                          .n_content = strlen(hf_special_defaults[i]),
                                          .is_string = true};
      if( (rc = hf_set_special(src, i, &by_default, err)) ) return rc;
      src->special_stated[i] = false;
      continue; /* defaults are not looked for there */
    }
    if( !special->content ) continue;
    token = hf_tokens_find(&src->decoder, special->content, special->n_content);
    if( token && !token->unnamed && (rc = hf_set_special(src, i, token, err)) ) return rc;
  }
  return NER_OK;
}

void hf_source_close(struct hf_source *src) {
  for( int i = 0; i < HF_N_SPECIAL; i++ ) NER_FREE(src->special[i].content);
  hf_tokens_free(&src->additional);
  hf_tokens_free(&src->extra);
  hf_tokens_free(&src->decoder);
  hf_tokens_free(&src->json_added);
  hf_added_free(&src->added);
  ner_tokenizer_parts_free(&src->parts);
  NER_FREE(src->config_path);
  NER_FREE(src->tokenizer_config_path);
  NER_FREE(src->map_path);
  NER_FREE(src->added_path);
  NER_FREE(src->vocab_path);
  NER_FREE(src->json_path);
}

int hf_source_open(struct hf_source *src, const char *dir, struct ner_model *model,
                   struct ner_err *err) {
  *src = (struct hf_source){.model = model,
                            .dir = dir,
                            .lowercase = true, /* the defaults of BertTokenizerFast */
                            .split_cjk = true,
                            .basic = true,
                            .max_length = 1e30}; /* the reference's "no limit" */
  src->config_path = ner_file_join(dir, "config.json");
  src->tokenizer_config_path = ner_file_join(dir, "tokenizer_config.json");
  src->map_path = ner_file_join(dir, "special_tokens_map.json");
  src->added_path = ner_file_join(dir, "added_tokens.json");
  src->vocab_path = ner_file_join(dir, "vocab.txt");
  src->json_path = ner_file_join(dir, "tokenizer.json");
  if( !src->config_path || !src->tokenizer_config_path || !src->map_path || !src->added_path ||
      !src->vocab_path || !src->json_path )
    return ner_fail_nomem(err);
  return NER_OK;
}
