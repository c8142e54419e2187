/*
** config.c - a model's configuration: from Hugging Face's config.json, and to and
** from the text that ner_convert() puts into its file.
**
** Sizes are never assumed: a size that config.json does not state is an error, so
** that a wrong file is told from a model that happens to have default sizes.
*/
#include "model/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An integer that must be there and within bounds. */
static int get_int(struct ner_json *json, const char *what, const char *key, int64_t min,
                   int64_t max, int32_t *out, struct ner_err *err) {
  char path[64];
  int64_t value = INT64_MIN;
  int rc;
  snprintf(path, sizeof path, "$.%s", key);
  if( (rc = ner_json_int(json, path, &value, err)) ) return rc;
  if( value == INT64_MIN )
    return ner_fail(err, NER_ERROR, "%s: %s is missing" NER_GET_ANEW, what, key);
  if( value < min || value > max )
    return ner_fail(err, NER_ERROR, "%s: %s is %lld; it must be %lld to %lld", what, key,
                    (long long)value, (long long)min, (long long)max);
  *out = (int32_t)value;
  return NER_OK;
}

/* A string that, if it is there, must be `wanted`. */
static int only_string(struct ner_json *json, const char *what, const char *key, const char *wanted,
                       struct ner_err *err) {
  char path[64], *value;
  int rc;
  snprintf(path, sizeof path, "$.%s", key);
  if( (rc = ner_json_string(json, path, &value, err)) ) return rc;
  if( value && strcmp(value, wanted) != 0 )
    rc = ner_fail(err, NER_ERROR, "%s: %s is '%.60s'; only '%s' is supported", what, key, value,
                  wanted);
  NER_FREE(value);
  return rc;
}

/* What must hold between sizes, wherever they come from. */
static int check_config(const struct ner_config *c, const char *what, struct ner_err *err) {
  char eps[NER_NUMBER_BYTES];
  if( c->hidden % c->heads != 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: hidden size %d is no multiple of the %d heads" NER_GET_ANEW, what,
                    c->hidden, c->heads);
  if( !(c->norm_eps > 0 && c->norm_eps < 1) )
    return ner_fail(err, NER_ERROR, "%s: layer_norm_eps is %s; it must be above 0 and below 1",
                    what, ner_print_number(c->norm_eps, 6, eps));
  return NER_OK;
}

/* ---- config.json ---- */

/* architectures[0] says most; without it model_type decides. */
static int get_architecture(struct ner_json *json, const char *what, struct ner_config *config,
                            struct ner_err *err) {
  static const struct {
    const char *class, *type;
    enum ner_architecture architecture;
  } known[] = {{"DistilBertForTokenClassification", "distilbert", NER_DISTILBERT},
               {"BertForTokenClassification", "bert", NER_BERT}};
  char *class = NULL, *type = NULL;
  bool found = false;
  int rc = ner_json_string(json, "$.model_type", &type, err);
  if( rc == NER_OK ) rc = ner_json_string(json, "$.architectures[0]", &class, err);
  for( size_t i = 0; i < 2 && rc == NER_OK; i++ )
    if( (class || type) && (!class || strcmp(class, known[i].class) == 0) &&
        (!type || strcmp(type, known[i].type) == 0) ) {
      config->architecture = known[i].architecture;
      found = true;
    }
  if( rc == NER_OK && !found )
    rc = ner_fail(err, NER_ERROR,
                  "%s: model_type is '%.40s' and architectures '%.60s'; a "
                  "DistilBertForTokenClassification or BertForTokenClassification is needed",
                  what, type ? type : "(missing)", class ? class : "(missing)");
  NER_FREE(class);
  NER_FREE(type);
  return rc;
}

static int get_sizes(struct ner_json *json, const char *what, struct ner_config *c,
                     struct ner_err *err) {
  bool bert = c->architecture == NER_BERT;
  double eps = 1e-12; /* hard-coded in DistilBERT, and BERT's default */
  int64_t types = 2;
  int rc;
  if( (rc =
           get_int(json, what, bert ? "hidden_size" : "dim", 1, NER_MAX_HIDDEN, &c->hidden, err)) ||
      (rc = get_int(json, what, bert ? "num_hidden_layers" : "n_layers", 0, NER_MAX_LAYERS,
                    &c->layers, err)) ||
      (rc = get_int(json, what, bert ? "num_attention_heads" : "n_heads", 1, c->hidden, &c->heads,
                    err)) ||
      (rc = get_int(json, what, bert ? "intermediate_size" : "hidden_dim", 1, NER_MAX_FFN, &c->ffn,
                    err)) ||
      (rc = get_int(json, what, "vocab_size", 1, NER_MAX_VOCAB, &c->vocab_size, err)) ||
      (rc = get_int(json, what, "max_position_embeddings", 3, NER_MAX_POSITIONS, &c->max_positions,
                    err)) )
    return rc;
  if( bert ) {
    if( (rc = ner_json_real(json, "$.layer_norm_eps", &eps, err)) ||
        (rc = ner_json_int(json, "$.type_vocab_size", &types, err)) )
      return rc;
    if( types < 1 || types > NER_MAX_TYPES )
      return ner_fail(err, NER_ERROR, "%s: type_vocab_size is %lld; it must be 1 to %d", what,
                      (long long)types, NER_MAX_TYPES);
    c->type_vocab = (int32_t)types;
  }
  /* A double beyond float's range must not be converted. */
  c->norm_eps = eps > 0 && eps < 1 ? (float)eps : 0;
  c->max_tokens = c->max_positions;
  return check_config(c, what, err);
}

/* What would make the forward pass another one. */
static int check_variants(struct ner_json *json, const char *what, const struct ner_config *c,
                          struct ner_err *err) {
  const char *activation = c->architecture == NER_BERT ? "hidden_act" : "activation";
  bool decoder = false;
  int rc;
  /* "gelu" is the erf one; "gelu_new" and others are approximations of it. */
  if( (rc = only_string(json, what, activation, "gelu", err)) ||
      (rc = only_string(json, what, "position_embedding_type", "absolute", err)) ||
      (rc = ner_json_bool(json, "$.is_decoder", &decoder, err)) )
    return rc;
  if( decoder )
    return ner_fail(err, NER_ERROR, "%s: is_decoder is true; only encoders are supported", what);
  return NER_OK;
}

struct label_walk {
  struct ner_model *model;
  const char *what;
  int64_t n;
};

static int count_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  (void)item;
  (void)err;
  ((struct label_walk *)arg)->n++;
  return NER_OK;
}

/* id2label: {"0": "O", "1": "B-PER"}; the order of the members means nothing. */
static int set_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct label_walk *walk = arg;
  int64_t i = 0;
  bool number = item->n_key > 0 && item->n_key <= 9 && (item->key[0] != '0' || item->n_key == 1);
  for( size_t k = 0; k < item->n_key && number; k++ ) {
    number = item->key[k] >= '0' && item->key[k] <= '9';
    i = i * 10 + (item->key[k] - '0');
  }
  if( !number || item->type != NER_JSON_STRING )
    return ner_fail(
        err, NER_ERROR,
        "%s: id2label has a member '%.40s' that is not of the form \"0\": \"O\"" NER_GET_ANEW,
        walk->what, item->key ? item->key : "");
  return ner_labels_set(walk->model, i, item->string, item->n_string, walk->what, err);
}

static int get_labels(struct ner_json *json, const char *what, struct ner_model *model,
                      struct ner_err *err) {
  struct label_walk walk = {.model = model, .what = what};
  int rc = ner_json_each(json, "$.id2label", count_label, &walk, err);
  if( rc || walk.n == 0 ) return rc;
  if( (rc = ner_labels_new(model, walk.n, what, err)) ||
      (rc = ner_json_each(json, "$.id2label", set_label, &walk, err)) )
    return rc;
  return ner_labels_finish(model, what, err);
}

int ner_config_from_hf(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                       struct ner_err *err) {
  struct ner_json *json;
  int rc = ner_json_open(text, n_bytes, what, &json, err);
  if( rc ) return rc;
  if( (rc = get_architecture(json, what, &model->config, err)) == NER_OK &&
      (rc = get_sizes(json, what, &model->config, err)) == NER_OK &&
      (rc = check_variants(json, what, &model->config, err)) == NER_OK )
    rc = get_labels(json, what, model, err);
  ner_json_close(json);
  return rc;
}

/* ---- our own ---- */

static const char *json_bool(bool value) {
  return value ? "true" : "false";
}

char *ner_config_to_own(const struct ner_model *model) {
  const struct ner_config *c = &model->config;
  const struct ner_text_rules *rules = ner_tokenizer_rules(model->tokenizer);
  size_t n = strlen(model->labels_json) + 1024;
  char *text = ner_alloc(n, 1), eps[NER_NUMBER_BYTES];
  if( !text ) return NULL;
  snprintf(text, n,
           "{\"architecture\":\"%s\",\"layers\":%d,\"hidden\":%d,\"heads\":%d,\"ffn\":%d,"
           "\"vocab_size\":%d,\"max_positions\":%d,\"type_vocab\":%d,\"max_tokens\":%d,"
           "\"norm_eps\":%s,\"labels\":%s,\"clean_text\":%s,\"split_cjk\":%s,"
           "\"strip_accents\":%s,\"lowercase\":%s}\n",
           ner_architecture_name(c->architecture), c->layers, c->hidden, c->heads, c->ffn,
           c->vocab_size, c->max_positions, c->type_vocab, c->max_tokens,
           ner_print_number(c->norm_eps, 9, eps), model->labels_json, json_bool(rules->clean_text),
           json_bool(rules->split_cjk), json_bool(rules->strip_accents),
           json_bool(rules->lowercase));
  return text;
}

static int set_own_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct label_walk *walk = arg;
  if( item->type != NER_JSON_STRING )
    return ner_fail(err, NER_ERROR, "%s: labels are not all strings" NER_GET_ANEW, walk->what);
  return ner_labels_set(walk->model, item->index, item->string, item->n_string, walk->what, err);
}

static int own_labels(struct ner_json *json, const char *what, struct ner_model *model,
                      struct ner_err *err) {
  struct label_walk walk = {.model = model, .what = what};
  int rc = ner_json_each(json, "$.labels", count_label, &walk, err);
  if( rc == NER_OK ) rc = ner_labels_new(model, walk.n, what, err);
  if( rc == NER_OK ) rc = ner_json_each(json, "$.labels", set_own_label, &walk, err);
  return rc ? rc : ner_labels_finish(model, what, err);
}

static int own_sizes(struct ner_json *json, const char *what, struct ner_config *c,
                     struct ner_err *err) {
  char *architecture;
  double eps = 0;
  int rc = ner_json_string(json, "$.architecture", &architecture, err);
  if( rc ) return rc;
  if( architecture && strcmp(architecture, "distilbert") == 0 )
    c->architecture = NER_DISTILBERT;
  else if( architecture && strcmp(architecture, "bert") == 0 )
    c->architecture = NER_BERT;
  else
    rc = ner_fail(err, NER_ERROR, "%s: architecture is '%.40s'; only distilbert and bert are known",
                  what, architecture ? architecture : "(missing)");
  NER_FREE(architecture);
  if( rc || (rc = get_int(json, what, "hidden", 1, NER_MAX_HIDDEN, &c->hidden, err)) ||
      (rc = get_int(json, what, "layers", 0, NER_MAX_LAYERS, &c->layers, err)) ||
      (rc = get_int(json, what, "heads", 1, c->hidden, &c->heads, err)) ||
      (rc = get_int(json, what, "ffn", 1, NER_MAX_FFN, &c->ffn, err)) ||
      (rc = get_int(json, what, "vocab_size", 1, NER_MAX_VOCAB, &c->vocab_size, err)) ||
      (rc = get_int(json, what, "max_positions", 3, NER_MAX_POSITIONS, &c->max_positions, err)) ||
      (rc = get_int(json, what, "max_tokens", 3, c->max_positions, &c->max_tokens, err)) ||
      (rc = get_int(json, what, "type_vocab", 0, NER_MAX_TYPES, &c->type_vocab, err)) ||
      (rc = ner_json_real(json, "$.norm_eps", &eps, err)) )
    return rc;
  c->norm_eps = eps > 0 && eps < 1 ? (float)eps : 0;
  return check_config(c, what, err);
}

int ner_config_from_own(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                        struct ner_text_rules *rules, struct ner_err *err) {
  struct ner_json *json;
  int rc = ner_json_open(text, n_bytes, what, &json, err);
  if( rc ) return rc;
  if( (rc = own_sizes(json, what, &model->config, err)) == NER_OK &&
      (rc = own_labels(json, what, model, err)) == NER_OK &&
      (rc = ner_json_bool(json, "$.clean_text", &rules->clean_text, err)) == NER_OK &&
      (rc = ner_json_bool(json, "$.split_cjk", &rules->split_cjk, err)) == NER_OK &&
      (rc = ner_json_bool(json, "$.strip_accents", &rules->strip_accents, err)) == NER_OK )
    rc = ner_json_bool(json, "$.lowercase", &rules->lowercase, err);
  ner_json_close(json);
  return rc;
}

int64_t ner_config_parameters(const struct ner_config *c) {
  int64_t h = c->hidden, f = c->ffn;
  int64_t layer = 4 * (h * h + h) + (f * h + f) + (h * f + h) + 4 * h;
  return (c->vocab_size + (int64_t)c->max_positions + c->type_vocab) * h + 2 * h +
         c->layers * layer + (int64_t)c->n_labels * (h + 1);
}
