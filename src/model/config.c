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
static int config_int(struct ner_json *json, const char *what, const char *key, int64_t min,
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

/* DistilBERT has names of its own for three sizes; transformers takes BERT's for them too (the
** attribute_map of its configuration). */
static int config_size(struct ner_json *json, const char *what, const struct ner_config *c,
                       const char *distilbert, const char *bert, int64_t min, int64_t max,
                       int32_t *out, struct ner_err *err) {
  const char *key = c->architecture == NER_BERT ? bert : distilbert;
  char path[64];
  snprintf(path, sizeof path, "$.%s", key);
  if( key == distilbert && ner_json_type_at(json, path) == NER_JSON_MISSING ) {
    snprintf(path, sizeof path, "$.%s", bert);
    if( ner_json_type_at(json, path) != NER_JSON_MISSING ) key = bert;
  }
  return config_int(json, what, key, min, max, out, err);
}

/* A string that, if it is there, must be `wanted`. */
static int config_only_string(struct ner_json *json, const char *what, const char *key,
                              const char *wanted, struct ner_err *err) {
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
static int config_check(struct ner_config *c, double eps, const char *what, struct ner_err *err) {
  char number[NER_NUMBER_BYTES];
  if( c->hidden % c->heads != 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: hidden size %d is no multiple of the %d heads" NER_GET_ANEW, what,
                    c->hidden, c->heads);
  c->norm_eps = eps > 0 && eps < 1 ? (float)eps : 0; /* some doubles have no float */
  if( !(c->norm_eps > 0 && c->norm_eps < 1) )
    return ner_fail(err, NER_ERROR, "%s: layer_norm_eps is %s; it must be above 0 and below 1",
                    what, ner_print_number(eps, 6, number));
  return NER_OK;
}

/* ---- config.json ---- */

/* model_type decides, as in transformers; `architectures` names the classes that saved the model,
** of which there may be several, unknown ones and the base class among them: whether the tensors of
** a token classifier are there shows when they are read. */
static const struct config_family {
  const char *type, *class; /* model_type; how its classes' names begin */
  enum ner_architecture architecture;
} config_families[] = {{"distilbert", "DistilBert", NER_DISTILBERT}, {"bert", "Bert", NER_BERT}};
#define N_CONFIG_FAMILIES (sizeof config_families / sizeof *config_families)

/* The entries of `architectures`. */
struct config_classes {
  char first[64]; /* the first entry */
  bool of_family[N_CONFIG_FAMILIES];
  bool token_classifier;     /* one of them is */
  char other_classifier[64]; /* one with a classifier for whole texts; "" */
};

static int config_on_class(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct config_classes *classes = arg;
  const char *name = item->string;
  (void)err;
  if( item->type != NER_JSON_STRING ) return NER_OK;
  if( !classes->first[0] ) snprintf(classes->first, sizeof classes->first, "%s", name);
  for( size_t i = 0; i < N_CONFIG_FAMILIES; i++ ) {
    size_t n = strlen(config_families[i].class);
    if( strncmp(name, config_families[i].class, n) == 0 && name[n] >= 'A' && name[n] <= 'Z' )
      classes->of_family[i] = true;
  }
  if( strstr(name, "ForTokenClassification") ) classes->token_classifier = true;
  if( strstr(name, "ForSequenceClassification") || strstr(name, "ForMultipleChoice") )
    snprintf(classes->other_classifier, sizeof classes->other_classifier, "%s", name);
  return NER_OK;
}

/* The family by model_type or, without one, by the classes; -1 if it is none of ours. */
static int config_find_family(const char *type, const struct config_classes *classes) {
  for( size_t i = 0; i < N_CONFIG_FAMILIES; i++ )
    if( type ? strcmp(type, config_families[i].type) == 0 : classes->of_family[i] ) return (int)i;
  return -1;
}

static int config_check_family(const char *type, const struct config_classes *classes,
                               const char *what, int family, struct ner_err *err) {
  bool ours = false;
  for( size_t i = 0; i < N_CONFIG_FAMILIES; i++ ) ours = ours || classes->of_family[i];
  if( !type && !classes->first[0] )
    return ner_fail(err, NER_ERROR,
                    "%s: has neither model_type nor architectures, so it is no model's "
                    "configuration" NER_GET_ANEW,
                    what);
  if( family < 0 )
    return ner_fail(err, NER_ERROR,
                    "%s: %s%.40s%sarchitecture %.60s is not supported; DistilBERT and BERT are",
                    what, type ? "model_type is '" : "", type ? type : "", type ? "': " : "",
                    classes->first[0] && !ours ? classes->first : type);
  if( ours && !classes->of_family[family] )
    return ner_fail(err, NER_ERROR,
                    "%s: model_type is '%.40s' but architectures '%.60s'" NER_GET_ANEW, what,
                    config_families[family].type, classes->first);
  if( classes->other_classifier[0] && !classes->token_classifier )
    return ner_fail(err, NER_ERROR,
                    "%s: architectures '%.60s' label whole texts; a token classification model is "
                    "needed",
                    what, classes->other_classifier);
  return NER_OK;
}

static int config_architecture(struct ner_json *json, const char *what, struct ner_config *config,
                               struct ner_err *err) {
  struct config_classes classes = {.first = ""};
  char *type = NULL;
  int family = -1, rc = ner_json_string(json, "$.model_type", &type, err);
  if( rc == NER_OK && ner_json_type_at(json, "$.architectures") == NER_JSON_ARRAY )
    rc = ner_json_each(json, "$.architectures", config_on_class, &classes, err);
  if( rc == NER_OK ) {
    family = config_find_family(type, &classes);
    rc = config_check_family(type, &classes, what, family, err);
  }
  if( rc == NER_OK ) config->architecture = config_families[family].architecture;
  NER_FREE(type);
  return rc;
}

static int config_sizes(struct ner_json *json, const char *what, struct ner_config *c,
                        struct ner_err *err) {
  bool bert = c->architecture == NER_BERT;
  double eps = 1e-12; /* hard-coded in DistilBERT, and BERT's default */
  int64_t types = 2;
  int rc;
  if( (rc = config_size(json, what, c, "dim", "hidden_size", 1, NER_MAX_HIDDEN, &c->hidden, err)) ||
      (rc = config_size(json, what, c, "n_layers", "num_hidden_layers", 0, NER_MAX_LAYERS,
                        &c->layers, err)) ||
      (rc = config_size(json, what, c, "n_heads", "num_attention_heads", 1, c->hidden, &c->heads,
                        err)) ||
      (rc = config_int(json, what, bert ? "intermediate_size" : "hidden_dim", 1, NER_MAX_FFN,
                       &c->ffn, err)) ||
      (rc = config_int(json, what, "vocab_size", 1, NER_MAX_VOCAB, &c->vocab_size, err)) ||
      (rc = config_int(json, what, "max_position_embeddings", 3, NER_MAX_POSITIONS,
                       &c->max_positions, err)) )
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
  c->max_tokens = c->max_positions;
  return config_check(c, eps, what, err);
}

/* transformers' names for the two forms of GELU (activations.py). */
static int config_activation(struct ner_json *json, const char *what, struct ner_config *c,
                             struct ner_err *err) {
  static const struct {
    const char *name;
    enum ner_activation activation;
  } known[] = {{"gelu", NER_GELU},
               {"gelu_python", NER_GELU},
               {"gelu_new", NER_GELU_TANH},
               {"gelu_fast", NER_GELU_TANH},
               {"gelu_pytorch_tanh", NER_GELU_TANH}};
  const char *key = c->architecture == NER_BERT ? "hidden_act" : "activation";
  char path[64], *name;
  int rc;
  snprintf(path, sizeof path, "$.%s", key);
  if( (rc = ner_json_string(json, path, &name, err)) ) return rc;
  if( name ) {
    size_t i = 0, n = sizeof known / sizeof *known;
    while( i < n && strcmp(name, known[i].name) != 0 ) i++;
    if( i < n )
      c->activation = known[i].activation;
    else
      rc = ner_fail(err, NER_ERROR,
                    "%s: %s is '%.60s'; only 'gelu', 'gelu_python', 'gelu_new', 'gelu_fast' and "
                    "'gelu_pytorch_tanh' are supported",
                    what, key, name);
  }
  NER_FREE(name);
  return rc;
}

/* What would make the forward pass another one. */
static int config_check_variants(struct ner_json *json, const char *what, struct ner_err *err) {
  bool decoder = false;
  int rc;
  if( (rc = config_only_string(json, what, "position_embedding_type", "absolute", err)) ||
      (rc = ner_json_bool(json, "$.is_decoder", &decoder, err)) )
    return rc;
  if( decoder )
    return ner_fail(err, NER_ERROR, "%s: is_decoder is true; only encoders are supported", what);
  return NER_OK;
}

struct config_labels {
  struct ner_model *model;
  const char *what;
  int64_t n;
};

static int config_count_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  (void)item;
  (void)err;
  ((struct config_labels *)arg)->n++;
  return NER_OK;
}

/* id2label: {"0": "O", "1": "B-PER"}; the order of the members means nothing. */
static int config_set_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct config_labels *walk = arg;
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

/* label2id: {"O": 0, "B-PER": 1}, where nothing else names the labels. */
static int config_set_inverted_label(void *arg, const struct ner_json_item *item,
                                     struct ner_err *err) {
  struct config_labels *walk = arg;
  if( item->type != NER_JSON_INTEGER || !item->key )
    return ner_fail(err, NER_ERROR,
                    "%s: label2id has a member that is not of the form \"O\": 0" NER_GET_ANEW,
                    walk->what);
  return ner_labels_set(walk->model, item->integer, item->key, item->n_key, walk->what, err);
}

static int config_get_labels(struct ner_json *json, const char *what, struct ner_model *model,
                             struct ner_err *err) {
  struct config_labels walk = {.model = model, .what = what};
  const char *path = "$.id2label";
  int rc = ner_json_each(json, path, config_count_label, &walk, err);
  if( rc == NER_OK && walk.n == 0 )
    rc = ner_json_each(json, path = "$.label2id", config_count_label, &walk, err);
  if( rc || walk.n == 0 ) return rc;
  if( (rc = ner_labels_new(model, walk.n, what, err)) ||
      (rc = ner_json_each(json, path,
                          strcmp(path, "$.id2label") == 0 ? config_set_label
                                                          : config_set_inverted_label,
                          &walk, err)) )
    return rc;
  return ner_labels_finish(model, what, err);
}

int ner_config_from_hf(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                       struct ner_err *err) {
  struct ner_json *json;
  int rc = ner_json_open_python(text, n_bytes, what, &json, err);
  if( rc ) return rc;
  if( (rc = config_architecture(json, what, &model->config, err)) == NER_OK &&
      (rc = config_sizes(json, what, &model->config, err)) == NER_OK &&
      (rc = config_activation(json, what, &model->config, err)) == NER_OK &&
      (rc = config_check_variants(json, what, err)) == NER_OK )
    rc = config_get_labels(json, what, model, err);
  ner_json_close(json);
  return rc;
}

/* ---- our own ---- */

char *ner_config_to_own(const struct ner_model *model) {
  const struct ner_config *c = &model->config;
  size_t n = strlen(model->labels_json) + 1024;
  char *text = ner_alloc(n, 1), eps[NER_NUMBER_BYTES];
  if( !text ) return NULL;
  snprintf(text, n,
           "{\"architecture\":\"%s\",\"layers\":%d,\"hidden\":%d,\"heads\":%d,\"ffn\":%d,"
           "\"vocab_size\":%d,\"max_positions\":%d,\"type_vocab\":%d,\"max_tokens\":%d,"
           "\"norm_eps\":%s,\"activation\":\"%s\",\"labels\":%s}\n",
           ner_architecture_name(c->architecture), c->layers, c->hidden, c->heads, c->ffn,
           c->vocab_size, c->max_positions, c->type_vocab, c->max_tokens,
           ner_print_number(c->norm_eps, 9, eps), ner_activation_name(c->activation),
           model->labels_json);
  return text;
}

static int config_set_own_label(void *arg, const struct ner_json_item *item, struct ner_err *err) {
  struct config_labels *walk = arg;
  if( item->type != NER_JSON_STRING )
    return ner_fail(err, NER_ERROR, "%s: labels are not all strings" NER_GET_ANEW, walk->what);
  return ner_labels_set(walk->model, item->index, item->string, item->n_string, walk->what, err);
}

static int config_own_labels(struct ner_json *json, const char *what, struct ner_model *model,
                             struct ner_err *err) {
  struct config_labels walk = {.model = model, .what = what};
  int rc = ner_json_each(json, "$.labels", config_count_label, &walk, err);
  if( rc == NER_OK ) rc = ner_labels_new(model, walk.n, what, err);
  if( rc == NER_OK ) rc = ner_json_each(json, "$.labels", config_set_own_label, &walk, err);
  return rc ? rc : ner_labels_finish(model, what, err);
}

/* Files of version 1 state none: their models all have the exact form. */
static int config_own_activation(struct ner_json *json, const char *what, struct ner_config *c,
                                 struct ner_err *err) {
  char *name;
  int rc = ner_json_string(json, "$.activation", &name, err);
  if( rc == NER_OK && name && strcmp(name, ner_activation_name(NER_GELU_TANH)) == 0 )
    c->activation = NER_GELU_TANH;
  else if( rc == NER_OK && name && strcmp(name, ner_activation_name(NER_GELU)) != 0 )
    rc = ner_fail(err, NER_ERROR, "%s: activation is '%.40s'; only gelu and gelu_new are known",
                  what, name);
  NER_FREE(name);
  return rc;
}

static int config_own_sizes(struct ner_json *json, const char *what, struct ner_config *c,
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
  if( rc || (rc = config_int(json, what, "hidden", 1, NER_MAX_HIDDEN, &c->hidden, err)) ||
      (rc = config_int(json, what, "layers", 0, NER_MAX_LAYERS, &c->layers, err)) ||
      (rc = config_int(json, what, "heads", 1, c->hidden, &c->heads, err)) ||
      (rc = config_int(json, what, "ffn", 1, NER_MAX_FFN, &c->ffn, err)) ||
      (rc = config_int(json, what, "vocab_size", 1, NER_MAX_VOCAB, &c->vocab_size, err)) ||
      (rc =
           config_int(json, what, "max_positions", 3, NER_MAX_POSITIONS, &c->max_positions, err)) ||
      (rc = config_int(json, what, "max_tokens", 3, c->max_positions, &c->max_tokens, err)) ||
      (rc = config_int(json, what, "type_vocab", 0, NER_MAX_TYPES, &c->type_vocab, err)) ||
      (rc = ner_json_real(json, "$.norm_eps", &eps, err)) )
    return rc;
  return (rc = config_own_activation(json, what, c, err)) ? rc : config_check(c, eps, what, err);
}

int ner_config_from_own(const char *text, size_t n_bytes, const char *what, struct ner_model *model,
                        struct ner_text_rules *rules, struct ner_err *err) {
  struct ner_json *json;
  int rc = ner_json_open(text, n_bytes, what, &json, err);
  if( rc ) return rc;
  if( (rc = config_own_sizes(json, what, &model->config, err)) == NER_OK &&
      (rc = config_own_labels(json, what, model, err)) == NER_OK &&
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
