/*
** hf_tokenizer.c - a directory's tokenizer: tokenizer_config.json, vocab.txt,
** tokenizer.json.
**
** Three of the four models this was made for ship vocab.txt and no tokenizer.json,
** so vocab.txt comes first. For the text rules tokenizer_config.json wins over
** tokenizer.json, as in transformers' BertTokenizerFast. What neither states has
** the reference's default, but for lowercasing: transformers 4 and 5 differ there, and
** the wrong guess ruins the results silently, so it must be stated.
*/
#include "model/internal.h"

#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "model/file_type.h"

/* true, false or not stated. */
enum { NO, YES, UNSTATED };

/* What a directory says about its tokenizer. */
struct source {
  struct ner_model *model;
  char *config_path, *vocab_path, *json_path;
  int lowercase, strip_accents, split_cjk, clean_text;
  double max_length;
  struct ner_vocab *vocab;
  size_t n_pieces; /* of tokenizer.json */
};

static int get_bool(struct ner_json *json, const char *path, int *out, struct ner_err *err) {
  bool value = false;
  enum ner_json_type type = ner_json_type_at(json, path);
  int rc = ner_json_bool(json, path, &value, err);
  if( rc == NER_OK && type > NER_JSON_NULL && *out == UNSTATED ) *out = value ? YES : NO;
  return rc;
}

static int open_json(const char *path, struct ner_json **out, struct ner_err *err) {
  char *text;
  size_t n;
  int rc = ner_read_text(path, &text, &n, err);
  *out = NULL;
  if( rc ) return rc;
  rc = ner_json_open_python(text, n, path, out, err);
  NER_FREE(text);
  return rc;
}

/* ---- tokenizer_config.json ---- */

static int read_config(struct source *src, struct ner_err *err) {
  struct ner_json *json;
  double max_len = src->max_length;
  char number[NER_NUMBER_BYTES];
  int rc;
  if( ner_file_kind(src->config_path) == NER_FILE_MISSING ) return NER_OK;
  if( (rc = open_json(src->config_path, &json, err)) ) return rc;
  /* max_len is model_max_length's older name. Huge numbers mean "no limit". */
  if( (rc = get_bool(json, "$.do_lower_case", &src->lowercase, err)) == NER_OK &&
      (rc = get_bool(json, "$.strip_accents", &src->strip_accents, err)) == NER_OK &&
      (rc = get_bool(json, "$.tokenize_chinese_chars", &src->split_cjk, err)) == NER_OK &&
      (rc = ner_json_real(json, "$.max_len", &max_len, err)) == NER_OK )
    rc = ner_json_real(json, "$.model_max_length", &max_len, err);
  ner_json_close(json);
  if( rc == NER_OK && !(max_len >= 3) )
    rc = ner_fail(err, NER_ERROR,
                  "%s: model_max_length is %s; [CLS], a token and [SEP] need at least 3",
                  src->config_path, ner_print_number(max_len, 6, number));
  src->max_length = max_len;
  return rc;
}

/* ---- tokenizer.json ---- */

/* A value that, if it is there, must be this string. */
static int expect(struct ner_json *json, const char *what, const char *path, const char *wanted,
                  struct ner_err *err) {
  char *value;
  int rc = ner_json_string(json, path, &value, err);
  if( rc == NER_OK && value && strcmp(value, wanted) != 0 )
    rc = ner_fail(err, NER_ERROR, "%s: %s is '%.40s'; only '%s' is supported", what, path, value,
                  wanted);
  NER_FREE(value);
  return rc;
}

static int add_piece(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct source *src = arg;
  if( item->type != NER_JSON_INTEGER || !item->key )
    return ner_fail(err, NER_ERROR,
                    "%s: model.vocab is not an object of pieces and their numbers" NER_GET_ANEW,
                    src->json_path);
  src->n_pieces++;
  return ner_vocab_add(src->vocab, item->key, item->n_key, item->integer, err);
}

static int read_vocab_json(struct source *src, struct ner_json *json, struct ner_err *err) {
  int64_t max_chars = 100;
  int rc;
  if( (rc = expect(json, src->json_path, "$.model.type", "WordPiece", err)) ||
      (rc = expect(json, src->json_path, "$.model.unk_token", "[UNK]", err)) ||
      (rc = expect(json, src->json_path, "$.model.continuing_subword_prefix", "##", err)) ||
      (rc = ner_json_int(json, "$.model.max_input_chars_per_word", &max_chars, err)) )
    return rc;
  if( max_chars != 100 )
    return ner_fail(err, NER_ERROR,
                    "%s: model.max_input_chars_per_word is %lld; only 100 is supported",
                    src->json_path, (long long)max_chars);
  if( (rc = ner_vocab_new(&src->vocab, err)) ||
      (rc = ner_json_each(json, "$.model.vocab", add_piece, src, err)) )
    return rc;
  if( src->n_pieces == 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: model.vocab is missing or empty; a WordPiece tokenizer is needed",
                    src->json_path);
  return ner_vocab_finish(src->vocab, src->json_path, err);
}

static int read_normalizer(struct source *src, struct ner_json *json, struct ner_err *err) {
  int rc;
  if( (rc = expect(json, src->json_path, "$.normalizer.type", "BertNormalizer", err)) ||
      (rc = expect(json, src->json_path, "$.pre_tokenizer.type", "BertPreTokenizer", err)) ||
      (rc = get_bool(json, "$.normalizer.clean_text", &src->clean_text, err)) ||
      (rc = get_bool(json, "$.normalizer.lowercase", &src->lowercase, err)) ||
      (rc = get_bool(json, "$.normalizer.strip_accents", &src->strip_accents, err)) )
    return rc;
  return get_bool(json, "$.normalizer.handle_chinese_chars", &src->split_cjk, err);
}

/* Its `truncation` and `padding` are overridden by the reference at every call. */
static int read_json(struct source *src, struct ner_err *err) {
  struct ner_json *json;
  int rc = open_json(src->json_path, &json, err);
  if( rc ) return rc;
  rc = read_normalizer(src, json, err);
  if( rc == NER_OK && !src->vocab ) rc = read_vocab_json(src, json, err);
  ner_json_close(json);
  return rc;
}

/* ---- together ---- */

static int read_vocab_txt(struct source *src, struct ner_err *err) {
  char *text;
  size_t n;
  int rc = ner_read_text(src->vocab_path, &text, &n, err);
  if( rc ) return rc;
  rc = ner_vocab_from_lines(text, n, src->vocab_path, &src->vocab, err);
  NER_FREE(text);
  return rc;
}

static int check_vocab_size(const struct source *src, const char *vocab_from, struct ner_err *err) {
  int32_t found = ner_vocab_size(src->vocab), wanted = src->model->config.vocab_size;
  if( found == wanted ) return NER_OK;
  return ner_fail(err, NER_ERROR,
                  "%s: holds %d pieces, but config.json says vocab_size %d; both must come from "
                  "the same model",
                  vocab_from, found, wanted);
}

static int read_files(struct source *src, const char *dir, struct ner_err *err) {
  bool has_vocab = ner_file_kind(src->vocab_path) != NER_FILE_MISSING;
  bool has_json = ner_file_kind(src->json_path) != NER_FILE_MISSING;
  const char *vocab_from = has_vocab ? src->vocab_path : src->json_path;
  int rc;
  if( !has_vocab && !has_json )
    return ner_fail(err, NER_ERROR,
                    "%s: lacks vocab.txt or tokenizer.json; fetch the model's vocabulary", dir);
  if( (rc = read_config(src, err)) ) return rc;
  if( has_vocab && (rc = read_vocab_txt(src, err)) ) return rc;
  /* Beside vocab.txt it is read only for what is not known yet: it is large. */
  if( has_json && (!has_vocab || src->lowercase == UNSTATED) && (rc = read_json(src, err)) )
    return rc;
  if( src->lowercase == UNSTATED )
    return ner_fail(err, NER_ERROR,
                    "%s: nothing says whether text is lowercased; state do_lower_case (true for "
                    "an uncased model, false for a cased one) in it",
                    src->config_path);
  return check_vocab_size(src, vocab_from, err);
}

static int make_tokenizer(struct source *src, struct ner_err *err) {
  struct ner_model *model = src->model;
  struct ner_vocab *vocab = src->vocab;
  struct ner_text_rules rules;
  rules.lowercase = src->lowercase == YES;
  rules.clean_text = src->clean_text != NO;
  rules.split_cjk = src->split_cjk != NO;
  /* Unstated (null): accents go when case goes. */
  rules.strip_accents =
      src->strip_accents == UNSTATED ? rules.lowercase : src->strip_accents == YES;
  if( src->max_length < model->config.max_tokens )
    model->config.max_tokens = (int32_t)src->max_length;
  src->vocab = NULL; /* taken over, even on failure */
  return ner_tokenizer_new(vocab, &rules, model->path, &model->tokenizer, err);
}

int ner_tokenizer_from_hf(const char *dir, struct ner_model *model, struct ner_err *err) {
  struct source src = {.model = model,
                       .lowercase = UNSTATED,
                       .strip_accents = UNSTATED,
                       .split_cjk = UNSTATED,
                       .clean_text = UNSTATED,
                       .max_length = 1e30}; /* the reference's "no limit" */
  int rc;
  src.config_path = ner_file_join(dir, "tokenizer_config.json");
  src.vocab_path = ner_file_join(dir, "vocab.txt");
  src.json_path = ner_file_join(dir, "tokenizer.json");
  if( !src.config_path || !src.vocab_path || !src.json_path )
    rc = ner_fail_nomem(err);
  else
    rc = read_files(&src, dir, err);
  if( rc == NER_OK ) rc = make_tokenizer(&src, err);
  ner_vocab_free(src.vocab);
  NER_FREE(src.config_path);
  NER_FREE(src.vocab_path);
  NER_FREE(src.json_path);
  return rc;
}
