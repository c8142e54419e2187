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
#include "model/hf_source.h"

#include <string.h>
#include "model/file_type.h"

/* ---- tokenizer.json ---- */

static int hf_json_added_token(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct hf_walk *walk = arg;
  struct hf_token token;
  int rc;
  if( item->type != NER_JSON_OBJECT )
    return ner_fail(err, NER_ERROR, "%s: an added token is no object" NER_GET_ANEW, walk->path);
  if( (rc = hf_source_read_token(walk, item, &token, err)) ) return rc;
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
  if( ner_json_key_is(item, "normalizer") ) src->no_normalizer = item->type == NER_JSON_NULL;
  if( ner_json_key_is(item, "normalizer") )
    return ner_normalizer_from_json(item, walk->path, &src->parts.normalizer, err);
  if( ner_json_key_is(item, "pre_tokenizer") )
    return ner_pretokenizer_from_json(item, walk->path, &src->parts.pretokenizer, err);
  if( ner_json_key_is(item, "post_processor") )
    return ner_template_from_json(item, token_types, walk->path, &src->parts.around, err);
  if( ner_json_key_is(item, "added_tokens") && item->type != NER_JSON_NULL )
    return ner_json_each_in(walk->json, item, hf_json_added_token, walk, err);
  if( ner_json_key_is(item, "version") &&
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
  int rc = hf_source_open_json(src->json_path, &walk.json, err);
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
    const struct hf_token *token = hf_source_special(src, i ? HF_SEP : HF_CLS);
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

/* All special tokens in transformers' order, each content once. */
static int hf_all_specials(const struct hf_source *src, struct hf_tokens *out,
                           struct ner_err *err) {
  for( size_t i = 0; i < HF_N_SPECIAL + src->additional.n + src->extra.n; i++ ) {
    const struct hf_token *token = i < HF_N_SPECIAL ? hf_source_special(src, (int)i)
                                   : i < HF_N_SPECIAL + src->additional.n
                                       ? &src->additional.token[i - HF_N_SPECIAL]
                                       : &src->extra.token[i - HF_N_SPECIAL - src->additional.n];
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
  static const int which[] = {HF_PAD, HF_MASK, HF_BOS, HF_EOS};
  const struct hf_source *src = arg;
  for( size_t i = 0; i < sizeof which / sizeof which[0]; i++ ) {
    const struct hf_token *special = hf_source_special(src, which[i]);
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
  if( rc == NER_OK && (rc = hf_source_complete_specials(src, err)) == NER_OK &&
      (rc = hf_all_specials(src, &specials, err)) == NER_OK && !src->has_json )
    rc = hf_make_template(src, &specials, err);
  if( rc == NER_OK )
    rc = hf_added_round(&src->added, src->json_added.token, src->has_json ? src->json_added.n : 0,
                        err);
  if( rc == NER_OK ) rc = hf_add_round(src, &specials, err);
  if( rc == NER_OK )
    rc = hf_added_finish(&src->added, &src->parts.normalizer, src->model->config.vocab_size,
                         src->specials_as_text, hf_may_drop, src, src->dir, &src->parts.added, err);
  unk = hf_source_special(src, HF_UNK);
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
  bool has_vocab = hf_source_has(src->vocab_path);
  int rc;
  src->has_json = hf_source_has(src->json_path);
  if( !has_vocab && !src->has_json )
    return ner_fail(err, NER_ERROR,
                    "%s: lacks vocab.txt or tokenizer.json; fetch the model's vocabulary",
                    src->dir);
  if( (rc = hf_source_read_config(src, err)) ) return rc;
  if( !src->has_json && (!src->bert || !has_vocab) )
    return ner_fail(err, NER_ERROR, "%s: lacks %s; fetch it", src->dir,
                    src->bert ? "vocab.txt, which tokenizer_config.json asks for"
                              : "tokenizer.json, which its tokenizer_class needs");
  rc = src->has_json ? hf_read_json(src, err) : hf_read_vocab_txt(src, err);
  if( rc == NER_OK ) rc = hf_source_read_older_files(src, err);
  if( rc == NER_OK ) rc = hf_add_tokens(src, err);
  if( rc == NER_OK && !src->has_json )
    rc = hf_find_unk(src, hf_source_special(src, HF_UNK) ? src->special[HF_UNK].content : "unk_token",
                     src->vocab_path, err);
  if( rc == NER_OK ) rc = hf_override_normalizer(src, err);
  if( rc == NER_OK ) rc = hf_check_template(src, err);
  return rc ? rc : hf_check_length(src, err);
}

int ner_tokenizer_from_hf(const char *dir, struct ner_model *model, struct ner_err *err) {
  struct hf_source src;
  int rc = hf_source_open(&src, dir, model, err);
  if( rc == NER_OK ) rc = hf_read_files(&src, err);
  if( rc == NER_OK ) rc = ner_tokenizer_from_parts(&src.parts, dir, &model->tokenizer, err);
  hf_source_close(&src);
  return rc;
}
