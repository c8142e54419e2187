/*
** hf_tokenizer.c - a directory's tokenizer, as transformers 4.48 would load it.
**
**   1. The class: tokenizer_config.json's tokenizer_class, else config.json's, else the one that
**      goes with model_type. BERT's and those that are BERT's under another name, and
**      PreTrainedTokenizerFast, are known; any other is an error.
**   2. tokenizer.json counts, where there is one. BERT's classes put do_lower_case, strip_accents
**      and tokenize_chinese_chars of tokenizer_config.json in place of its BertNormalizer's; what
**      that file does not state has the class's default, lowercasing among them (transformers 5
**      has other defaults). PreTrainedTokenizerFast takes tokenizer.json as it is.
**      Without tokenizer.json, BERT's classes make the same from vocab.txt.
**   3. Added tokens, in rounds: those of tokenizer.json; then added_tokens_decoder in
**      tokenizer_config.json or, if that is not there, added_tokens.json and tokenizer.json again;
**      then the special tokens by their names (unk_token, ...) in tokenizer_config.json and, again
**      without added_tokens_decoder, special_tokens_map.json.
*/
#include "model/internal.h"

#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "model/file_type.h"
#include "model/hf_added.h"
#include "model/tokenizer_json.h"

/* In the order in which transformers adds them. */
enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK, N_SPECIAL };
static const char *const hf_special_names[N_SPECIAL] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
static const char *const hf_special_defaults[N_SPECIAL] = {
    [UNK] = "[UNK]", [SEP] = "[SEP]", [PAD] = "[PAD]", [CLS] = "[CLS]", [MASK] = "[MASK]"};

/* What a directory says about its tokenizer. */
struct hf_source {
  struct ner_model *model;
  const char *dir;
  char *config_path, *tokenizer_config_path, *map_path, *added_path, *vocab_path, *json_path;
  bool bert;                        /* the class is one of BERT's */
  bool has_json;                    /* tokenizer.json is read */
  bool lowercase, split_cjk, basic; /* BERT's class; `basic`: do_basic_tokenize */
  bool strip_accents, strip_accents_stated;
  bool no_normalizer;    /* tokenizer.json has none: null */
  bool specials_as_text; /* split_special_tokens */
  double max_length;
  struct hf_token special[N_SPECIAL]; /* content NULL: none */
  bool special_stated[N_SPECIAL];
  struct hf_tokens additional; /* additional_special_tokens */
  struct hf_tokens extra;      /* extra_special_tokens */
  struct hf_tokens decoder;    /* added_tokens_decoder, by id in the end */
  bool has_decoder;            /* tokenizer_config.json has it */
  struct hf_tokens json_added; /* tokenizer.json's added_tokens */
  struct ner_tokenizer_parts parts;
  struct hf_added added;
};

static int hf_open_json(const char *path, struct ner_json **out, struct ner_err *err) {
  char *text;
  size_t n;
  int rc = ner_read_text(path, &text, &n, err);
  *out = NULL;
  if( rc ) return rc;
  rc = ner_json_open_python(text, n, path, out, err);
  NER_FREE(text);
  return rc;
}

static bool hf_is_there(const char *path) {
  return ner_file_kind(path) != NER_FILE_MISSING;
}

static bool hf_key_is(const struct ner_json_item *item, const char *key) {
  return item->key && item->n_key == strlen(key) && memcmp(item->key, key, item->n_key) == 0;
}

/* A document and the source, for walks. */
struct hf_walk {
  struct hf_source *src;
  struct ner_json *json;
  const char *path; /* of the file */
  bool from_map;    /* special_tokens_map.json: objects are tokens, and special */
};

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
static int hf_read_token(struct hf_walk *walk, const struct ner_json_item *item,
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
  *(bool *)arg |= hf_key_is(item, "__type");
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
  if( rc || (rc = hf_read_token(list->walk, item, &token, err)) ) return rc;
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
  if( hf_key_is(item, "additional_special_tokens") && item->type == NER_JSON_ARRAY )
    return ner_json_each_in(walk->json, item, hf_list_token, &list, err);
  for( int i = 0; i < N_SPECIAL; i++ ) {
    struct hf_token token = {0};
    if( !hf_key_is(item, hf_special_names[i]) ) continue;
    if( item->type == NER_JSON_NULL ) return hf_set_special(src, i, NULL, err);
    if( (rc = hf_check_special(walk, item, hf_special_names[i], err)) == NER_OK &&
        (rc = hf_read_token(walk, item, &token, err)) == NER_OK )
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
  if( (rc = hf_read_token(walk, item, &token, err)) ) return rc;
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
  if( hf_key_is(item, "added_tokens_decoder") && item->type == NER_JSON_OBJECT ) {
    walk->src->has_decoder = true;
    return ner_json_each_in(walk->json, item, hf_decoder_token, walk, err);
  }
  if( hf_key_is(item, "extra_special_tokens") && item->type == NER_JSON_OBJECT )
    return ner_json_each_in(walk->json, item, hf_extra_token, walk, err);
  /* A null here turns transformers to vocab.txt, although tokenizer.json is there. */
  if( hf_key_is(item, "tokenizer_file") && item->type == NER_JSON_NULL )
    walk->src->has_json = false;
  if( hf_key_is(item, "from_slow") && item->type == NER_JSON_TRUE ) walk->src->has_json = false;
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
static int hf_read_config(struct hf_source *src, struct ner_err *err) {
  struct hf_walk walk = {.src = src, .path = src->tokenizer_config_path};
  bool found = false;
  int rc = NER_OK;
  src->bert = true;
  if( hf_is_there(walk.path) ) {
    if( (rc = hf_open_json(walk.path, &walk.json, err)) ) return rc;
    if( (rc = hf_read_class(src, walk.json, walk.path, &found, err)) == NER_OK &&
        (rc = hf_read_flags(src, walk.json, err)) == NER_OK )
      rc = ner_json_each(walk.json, "$", hf_config_member, &walk, err);
    ner_json_close(walk.json);
  }
  if( rc || found || !hf_is_there(src->config_path) ) return rc;
  if( (rc = hf_open_json(src->config_path, &walk.json, err)) ) return rc;
  rc = hf_read_class(src, walk.json, src->config_path, &found, err);
  ner_json_close(walk.json);
  return rc;
}

/* ---- special_tokens_map.json, added_tokens.json ---- */

static int hf_map_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  return hf_special_member(arg, item, err);
}

static bool hf_is_special_name(const struct hf_source *src, const char *content, size_t n) {
  for( int i = 0; i < N_SPECIAL; i++ )
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
  if( !hf_is_there(path) ) return NER_OK;
  if( (rc = hf_open_json(path, &walk.json, err)) ) return rc;
  rc = ner_json_each(walk.json, "$", fn, &walk, err);
  ner_json_close(walk.json);
  return rc;
}

/* Only where tokenizer_config.json has no added_tokens_decoder are the older files asked. */
static int hf_read_older_files(struct hf_source *src, struct ner_err *err) {
  int rc;
  if( src->has_decoder ) return NER_OK;
  if( (rc = hf_read_members(src, src->map_path, true, hf_map_member, err)) ||
      (rc = hf_read_members(src, src->added_path, false, hf_added_member, err)) )
    return rc;
  for( size_t i = 0; i < src->json_added.n; i++ )
    if( hf_tokens_add(&src->decoder, &src->json_added.token[i]) ) return ner_fail_nomem(err);
  return NER_OK;
}

/* ---- tokenizer.json ---- */

static int hf_json_added_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_token token;
  int rc;
  if( item->type != NER_JSON_OBJECT )
    return ner_fail(err, NER_ERROR, "%s: an added token is no object" NER_GET_ANEW, walk->path);
  if( (rc = hf_read_token(walk, item, &token, err)) ) return rc;
  if( hf_tokens_add(&walk->src->json_added, &token) ) rc = ner_fail_nomem(err);
  NER_FREE(token.content);
  return rc;
}

/* Its `truncation` and `padding` are overridden by the reference at every call, its `decoder` is
** used for words that users do not see. */
static int hf_json_member(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_source *src = walk->src;
  bool token_types = src->model->config.architecture == NER_BERT;
  if( hf_key_is(item, "normalizer") ) src->no_normalizer = item->type == NER_JSON_NULL;
  if( hf_key_is(item, "normalizer") )
    return ner_normalizer_from_json(item, walk->path, &src->parts.normalizer, err);
  if( hf_key_is(item, "pre_tokenizer") )
    return ner_pretokenizer_from_json(item, walk->path, &src->parts.pretokenizer, err);
  if( hf_key_is(item, "post_processor") )
    return ner_template_from_json(item, token_types, walk->path, &src->parts.around, err);
  if( hf_key_is(item, "added_tokens") && item->type != NER_JSON_NULL )
    return ner_json_each_in(walk->json, item, hf_json_added_token, walk, err);
  if( hf_key_is(item, "version") &&
      !(item->type == NER_JSON_STRING && item->n_string == 3 && !memcmp(item->string, "1.0", 3)) )
    return ner_fail(err, NER_ERROR, "%s: version is not \"1.0\"" NER_GET_ANEW, walk->path);
  return NER_OK;
}

static int hf_add_piece(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_source *src = arg;
  if( item->type != NER_JSON_INTEGER || !item->key )
    return ner_fail(err, NER_ERROR,
                    "%s: model.vocab is not an object of pieces and their numbers" NER_GET_ANEW,
                    src->json_path);
  return ner_vocab_add(src->parts.vocab, item->key, item->n_key, item->integer, err);
}

static int hf_read_vocab_json(struct hf_source *src, struct ner_json *json, struct ner_err *err) {
  struct ner_vocab *vocab;
  int rc = ner_vocab_new(&src->parts.vocab, err);
  if( rc ) return rc;
  vocab = src->parts.vocab;
  ner_vocab_set_limit(vocab, src->model->config.vocab_size);
  ner_vocab_allow_holes(vocab);
  if( (rc = ner_json_each(json, "$.model.vocab", hf_add_piece, src, err)) ) return rc;
  if( ner_vocab_size(vocab) == 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: model.vocab is missing or empty; a WordPiece tokenizer is needed",
                    src->json_path);
  return ner_vocab_finish(vocab, src->json_path, err);
}

/* The id of model.unk_token. */
static int hf_find_unk(struct hf_source *src, const char *unk, const char *path,
                       struct ner_err *err) {
  src->parts.unk = ner_vocab_find(src->parts.vocab, unk, strlen(unk));
  if( src->parts.unk >= 0 ) return NER_OK;
  return ner_fail(err, NER_ERROR, "%s: the vocabulary has no %.40s; is it that of a BERT model?",
                  path, unk);
}

static int hf_read_model(struct hf_source *src, struct ner_json *json, struct ner_err *err) {
  char *type = NULL, *unk = NULL, *prefix = NULL;
  int64_t max_chars = -1;
  int rc;
  if( (rc = ner_json_string(json, "$.model.type", &type, err)) ||
      (rc = ner_json_string(json, "$.model.unk_token", &unk, err)) ||
      (rc = ner_json_string(json, "$.model.continuing_subword_prefix", &prefix, err)) ||
      (rc = ner_json_int(json, "$.model.max_input_chars_per_word", &max_chars, err)) )
    ;
  else if( type && strcmp(type, "WordPiece") != 0 )
    rc = ner_fail(err, NER_ERROR, "%s: $.model.type is '%.40s'; only 'WordPiece' is supported",
                  src->json_path, type);
  else if( !unk || !prefix || max_chars < 0 )
    rc = ner_fail(err, NER_ERROR, "%s: model lacks %s; a WordPiece tokenizer is needed",
                  src->json_path,
                  !unk      ? "unk_token"
                  : !prefix ? "continuing_subword_prefix"
                            : "max_input_chars_per_word");
  else if( (rc = hf_read_vocab_json(src, json, err)) == NER_OK &&
           (rc = ner_vocab_set_prefix(src->parts.vocab, prefix, strlen(prefix), err)) == NER_OK )
    rc = hf_find_unk(src, unk, src->json_path, err);
  src->parts.max_word_cp = max_chars;
  NER_FREE(type);
  NER_FREE(unk);
  NER_FREE(prefix);
  return rc;
}

static int hf_read_json(struct hf_source *src, struct ner_err *err) {
  struct hf_walk walk = {.src = src, .path = src->json_path};
  int rc = hf_open_json(src->json_path, &walk.json, err);
  if( rc ) return rc;
  src->no_normalizer = true; /* unless it says otherwise */
  rc = ner_json_each(walk.json, "$", hf_json_member, &walk, err);
  if( rc == NER_OK ) rc = hf_read_model(src, walk.json, err);
  ner_json_close(walk.json);
  return rc;
}

/* ---- vocab.txt ---- */

static struct ner_text_rules hf_bert_rules(const struct hf_source *src, bool clean_text) {
  struct ner_text_rules rules = {
      .clean_text = clean_text, .split_cjk = src->split_cjk, .lowercase = src->lowercase};
  /* Unstated (null): accents go when case goes. */
  rules.strip_accents = src->strip_accents_stated ? src->strip_accents : src->lowercase;
  return rules;
}

static int hf_read_vocab_txt(struct hf_source *src, struct ner_err *err) {
  struct ner_normalizer_step normalize = {.kind = NER_NORMALIZER_BERT,
                                          .bert = hf_bert_rules(src, true)};
  struct ner_pretokenizer_step split = {.kind = NER_PRETOKENIZER_BERT};
  char *text;
  size_t n;
  int rc = ner_read_text(src->vocab_path, &text, &n, err);
  if( rc ) return rc;
  rc = ner_vocab_from_file(text, n, src->model->config.vocab_size, src->vocab_path,
                           &src->parts.vocab, err);
  NER_FREE(text);
  /* Patterns of added tokens are normalised by what the slow tokenizer has. */
  if( !src->basic ) normalize.bert = (struct ner_text_rules){.clean_text = true};
  if( rc || (rc = ner_normalizer_add(&src->parts.normalizer, &normalize, err)) ||
      (rc = ner_pretokenizer_add(&src->parts.pretokenizer, &split, err)) )
    return rc;
  src->parts.max_word_cp = NER_MAX_WORD_CP;
  return NER_OK;
}

/* The special token with this name, stated or by default. */
static const struct hf_token *hf_special_of(const struct hf_source *src, int which) {
  return src->special[which].content ? &src->special[which] : NULL;
}

/* ids of the slow tokenizer, which the template is made with: a token has the id that
** added_tokens_decoder or added_tokens.json gives it, or its id in the vocabulary, or one behind
** all of them. */
static int64_t hf_slow_id(const struct hf_source *src, const struct hf_tokens *specials,
                          const struct hf_token *wanted) {
  const struct ner_vocab *vocab = src->parts.vocab;
  const struct hf_tokens *decoder = &src->decoder;
  const struct hf_token *given = hf_tokens_find(decoder, wanted->content, wanted->n_content);
  int64_t next = (int64_t)ner_vocab_distinct(vocab);
  if( given ) return given->index;
  for( size_t i = 0; i < decoder->n; i++ )
    next += ner_vocab_find(vocab, decoder->token[i].content, decoder->token[i].n_content) < 0;
  for( size_t i = 0; i < specials->n; i++ ) {
    const struct hf_token *t = &specials->token[i];
    int32_t id = ner_vocab_find(vocab, t->content, t->n_content);
    if( hf_token_named(t, wanted->content, wanted->n_content) ) return id >= 0 ? id : next;
    next += id < 0 && !hf_tokens_find(decoder, t->content, t->n_content);
  }
  return -1;
}

static int hf_make_template(struct hf_source *src, const struct hf_tokens *specials,
                            struct ner_err *err) {
  struct ner_template *around = &src->parts.around;
  for( int i = 0; i < 2; i++ ) {
    const struct hf_token *token = hf_special_of(src, i ? SEP : CLS);
    int64_t id = token ? hf_slow_id(src, specials, token) : -1;
    if( id < 0 || id >= src->model->config.vocab_size )
      return ner_fail(err, NER_ERROR,
                      "%s: the vocabulary has no %.40s; is it that of a BERT model?",
                      src->vocab_path,
                      token ? token->content
                      : i   ? "sep_token"
                            : "cls_token");
    (i ? around->after : around->before)[0] = (int32_t)id;
  }
  around->n_before = around->n_after = 1;
  return NER_OK;
}

/* ---- added tokens ---- */

/* A special token that is in the decoder is the decoder's; what is not stated has the class's
** default. */
static int hf_settle_specials(struct hf_source *src, struct ner_err *err) {
  for( int i = 0; i < N_SPECIAL; i++ ) {
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

/* All special tokens in transformers' order, each content once. */
static int hf_all_specials(const struct hf_source *src, struct hf_tokens *out,
                           struct ner_err *err) {
  for( size_t i = 0; i < N_SPECIAL + src->additional.n + src->extra.n; i++ ) {
    const struct hf_token *token = i < N_SPECIAL ? hf_special_of(src, (int)i)
                                   : i < N_SPECIAL + src->additional.n
                                       ? &src->additional.token[i - N_SPECIAL]
                                       : &src->extra.token[i - N_SPECIAL - src->additional.n];
    if( token && token->n_content > 0 && !hf_tokens_find(out, token->content, token->n_content) &&
        hf_tokens_add(out, token) )
      return ner_fail_nomem(err);
  }
  return NER_OK;
}

/* The round that transformers adds: the decoder's tokens, and special tokens that are not among
** the added ones yet. */
static int hf_add_round(struct hf_source *src, const struct hf_tokens *specials,
                        struct ner_err *err) {
  struct hf_tokens round = {0};
  size_t n_decoder = src->decoder.n;
  int rc = NER_OK;
  for( size_t i = 0; i < n_decoder && rc == NER_OK; i++ )
    if( hf_tokens_add(&round, &src->decoder.token[i]) ) rc = ner_fail_nomem(err);
  for( size_t i = 0; i < specials->n && rc == NER_OK; i++ ) {
    const struct hf_token *token = &specials->token[i];
    bool there =
        token->is_string && hf_added_entry(&src->added, token->content, token->n_content) != NULL;
    const struct hf_token *other = hf_tokens_find(&src->decoder, token->content, token->n_content);
    there |= other && (token->is_string || hf_token_same(other, token));
    if( !there && hf_tokens_add(&round, token) ) rc = ner_fail_nomem(err);
  }
  for( size_t i = 0; i < round.n; i++ )
    round.token[i].special |=
        hf_tokens_find(specials, round.token[i].content, round.token[i].n_content) != NULL;
  if( rc == NER_OK ) rc = hf_added_round(&src->added, round.token, round.n, err);
  hf_tokens_free(&round);
  return rc;
}

/* A token that the model lacks an embedding for may go if a text without it is nothing unusual:
** [PAD] and [MASK], and what the class has by default. */
static bool hf_may_drop(const void *arg, const struct hf_token *token) {
  static const int which[] = {PAD, MASK, BOS, EOS};
  const struct hf_source *src = arg;
  for( size_t i = 0; i < sizeof which / sizeof which[0]; i++ ) {
    const struct hf_token *special = hf_special_of(src, which[i]);
    if( special && hf_token_named(special, token->content, token->n_content) ) return true;
  }
  return false;
}

static int hf_add_tokens(struct hf_source *src, struct ner_err *err) {
  struct hf_tokens specials = {0};
  const struct hf_token *unk;
  int rc = NER_OK;
  src->added.vocab = src->parts.vocab;
  if( hf_tokens_sort(&src->decoder) ) rc = ner_fail_nomem(err);
  if( rc == NER_OK && (rc = hf_settle_specials(src, err)) == NER_OK &&
      (rc = hf_all_specials(src, &specials, err)) == NER_OK && !src->has_json )
    rc = hf_make_template(src, &specials, err);
  if( rc == NER_OK )
    rc = hf_added_round(&src->added, src->json_added.token, src->has_json ? src->json_added.n : 0,
                        err);
  if( rc == NER_OK ) rc = hf_add_round(src, &specials, err);
  if( rc == NER_OK )
    rc = hf_added_finish(&src->added, &src->parts.normalizer, src->model->config.vocab_size,
                         src->specials_as_text, hf_may_drop, src, src->dir, &src->parts.added, err);
  unk = hf_special_of(src, UNK);
  src->parts.named_unk = -1;
  if( rc == NER_OK && unk )
    src->parts.named_unk = hf_added_find(&src->added, unk->content, unk->n_content);
  hf_tokens_free(&specials);
  return rc;
}

/* ---- together ---- */

/* BERT's classes replace a BertNormalizer that disagrees with tokenizer_config.json. */
static int hf_override_normalizer(struct hf_source *src, struct ner_err *err) {
  struct ner_normalizer *rules = &src->parts.normalizer;
  if( !src->bert ) return NER_OK;
  if( src->has_json && src->no_normalizer )
    return ner_fail(err, NER_ERROR,
                    "%s: has no normalizer, which the tokenizer_class asks for; state "
                    "tokenizer_class PreTrainedTokenizerFast in tokenizer_config.json",
                    src->json_path);
  if( rules->n == 1 && rules->step[0].kind == NER_NORMALIZER_BERT )
    rules->step[0].bert = hf_bert_rules(src, rules->step[0].bert.clean_text);
  return NER_OK;
}

static int hf_check_template(const struct hf_source *src, struct ner_err *err) {
  const struct ner_template *t = &src->parts.around;
  const int32_t limit = src->model->config.vocab_size;
  for( int32_t i = 0; i < t->n_before + t->n_after; i++ ) {
    int32_t id = i < t->n_before ? t->before[i] : t->after[i - t->n_before];
    if( id >= limit )
      return ner_fail(
          err, NER_ERROR,
          "%s: post_processor adds the id %d, but config.json says vocab_size %d; both must "
          "come from the same model",
          src->json_path, id, limit);
  }
  return NER_OK;
}

static int hf_check_length(struct hf_source *src, struct ner_err *err) {
  struct ner_config *config = &src->model->config;
  const int needed = ner_template_tok(&src->parts.around) + 1;
  char number[NER_NUMBER_BYTES];
  if( !(src->max_length >= needed) )
    return ner_fail(
        err, NER_ERROR, "%s: model_max_length is %s; a token and those around it need at least %d",
        src->tokenizer_config_path, ner_print_number(src->max_length, 6, number), needed);
  if( src->max_length < config->max_tokens ) config->max_tokens = (int32_t)src->max_length;
  return NER_OK;
}

static int hf_read_files(struct hf_source *src, struct ner_err *err) {
  bool has_vocab = hf_is_there(src->vocab_path);
  int rc;
  src->has_json = hf_is_there(src->json_path);
  if( !has_vocab && !src->has_json )
    return ner_fail(err, NER_ERROR,
                    "%s: lacks vocab.txt or tokenizer.json; fetch the model's vocabulary",
                    src->dir);
  if( (rc = hf_read_config(src, err)) ) return rc;
  if( !src->has_json && (!src->bert || !has_vocab) )
    return ner_fail(err, NER_ERROR, "%s: lacks %s; fetch it", src->dir,
                    src->bert ? "vocab.txt, which tokenizer_config.json asks for"
                              : "tokenizer.json, which its tokenizer_class needs");
  rc = src->has_json ? hf_read_json(src, err) : hf_read_vocab_txt(src, err);
  if( rc == NER_OK ) rc = hf_read_older_files(src, err);
  if( rc == NER_OK ) rc = hf_add_tokens(src, err);
  if( rc == NER_OK && !src->has_json )
    rc = hf_find_unk(src, hf_special_of(src, UNK) ? src->special[UNK].content : "unk_token",
                     src->vocab_path, err);
  if( rc == NER_OK ) rc = hf_override_normalizer(src, err);
  if( rc == NER_OK ) rc = hf_check_template(src, err);
  return rc ? rc : hf_check_length(src, err);
}

static void hf_source_free(struct hf_source *src) {
  for( int i = 0; i < N_SPECIAL; i++ ) NER_FREE(src->special[i].content);
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

int ner_tokenizer_from_hf(const char *dir, struct ner_model *model, struct ner_err *err) {
  struct hf_source src = {.model = model,
                          .dir = dir,
                          .lowercase = true, /* the defaults of transformers' BertTokenizerFast */
                          .split_cjk = true,
                          .basic = true,
                          .max_length = 1e30}; /* the reference's "no limit" */
  int rc;
  src.config_path = ner_file_join(dir, "config.json");
  src.tokenizer_config_path = ner_file_join(dir, "tokenizer_config.json");
  src.map_path = ner_file_join(dir, "special_tokens_map.json");
  src.added_path = ner_file_join(dir, "added_tokens.json");
  src.vocab_path = ner_file_join(dir, "vocab.txt");
  src.json_path = ner_file_join(dir, "tokenizer.json");
  if( !src.config_path || !src.tokenizer_config_path || !src.map_path || !src.added_path ||
      !src.vocab_path || !src.json_path )
    rc = ner_fail_nomem(err);
  else
    rc = hf_read_files(&src, err);
  if( rc == NER_OK ) rc = ner_tokenizer_from_parts(&src.parts, dir, &model->tokenizer, err);
  hf_source_free(&src);
  return rc;
}
