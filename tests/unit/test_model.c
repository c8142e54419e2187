/* test_model.c - directories and one-file models: what is read, how it is packed,
** what is refused and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include "model/model.h"
#include "support.h"

static struct ner_model *must_open(const char *path, enum ner_precision precision) {
  struct ner_model *model;
  struct ner_err err = {0};
  if( ner_model_open(path, precision, &model, &err) ) fail_msg("%s", err.msg);
  assert_int_equal(err.code, NER_OK);
  return model;
}

/* Opening must fail with a message that holds all of these (up to a NULL). */
static void must_fail(const char *path, enum ner_precision precision, const char *a, const char *b,
                      const char *c) {
  const char *const parts[] = {a, b, c};
  struct ner_model *model;
  struct ner_err err = {0};
  if( ner_model_open(path, precision, &model, &err) != NER_ERROR )
    fail_msg("opened, but should have said '%s'", a);
  assert_null(model);
  for( int i = 0; i < 3 && parts[i]; i++ )
    if( !strstr(err.msg, parts[i]) ) fail_msg("no '%s' in: %s", parts[i], err.msg);
  if( !strchr(err.msg, ';') ) fail_msg("no remedy in: %s", err.msg);
}

/* Element [n, k] of a packed f32 matrix. */
static float f32_at(const struct ner_linear *w, int n, int k) {
  const float *packed = w->packed;
  return packed[((size_t)(n / 16) * (size_t)w->n_in + (size_t)k) * 16 + (size_t)(n % 16)];
}

static float i8_at(const struct ner_linear *w, int n, int k) {
  const int8_t *packed = w->packed;
  size_t groups = ((size_t)w->n_in + 3) / 4;
  size_t at = (((size_t)(n / 16) * groups + (size_t)(k / 4)) * 16 + (size_t)(n % 16)) * 4;
  return w->scale[n] * (float)packed[at + (size_t)(k % 4)];
}

/* Element i of a tensor of the directory's weights. */
static float source_at(struct ner_safetensors *file, const char *name, int i) {
  const struct ner_tensor *t = ner_safetensors_find(file, name);
  float value;
  if( !t ) fail_msg("no %s", name);
  ner_tensor_to_f32(t, (uint64_t)i, 1, &value);
  return value;
}

static struct ner_safetensors *open_source(const char *dir) {
  char path[TEST_PATH];
  struct ner_safetensors *file;
  struct ner_err err = {0};
  if( ner_safetensors_open(test_path(path, dir, "model.safetensors"), &file, &err) )
    fail_msg("%s", err.msg);
  for( size_t i = 0; i < ner_safetensors_count(file); i++ )
    if( ner_safetensors_read(file, ner_safetensors_at(file, i), &err) ) fail_msg("%s", err.msg);
  return file;
}

static void distilbert_directory(void **state) {
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  struct ner_safetensors *file;
  struct ner_model *model;
  const struct ner_config *c;
  const struct ner_layer *layer;
  const char p[] = "distilbert.transformer.layer.1.";
  char name[128];
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  model = must_open(dir, NER_PRECISION_FILE);
  file = open_source(dir);
  c = &model->config;
  assert_int_equal(c->architecture, NER_DISTILBERT);
  assert_int_equal(c->layers, 2);
  assert_int_equal(c->hidden, 12);
  assert_int_equal(c->heads, 3);
  assert_int_equal(c->ffn, 20);
  assert_int_equal(c->vocab_size, TINY_VOCAB);
  assert_int_equal(c->max_positions, 16);
  assert_int_equal(c->max_tokens, 16); /* model_max_length 512 */
  assert_int_equal(c->type_vocab, 0);
  assert_true(c->norm_eps == 1e-12f);
  assert_string_equal(model->path, dir);
  assert_int_equal(model->precision, NER_PRECISION_F32);
  /* emb 17·12 + 16·12 + 24, a layer 4·156 + 260 + 252 + 48, head 39 */
  assert_int_equal(model->parameters, 420 + 2 * 1184 + 39);

  assert_int_equal(c->n_labels, 3);
  assert_string_equal(model->labels_json, "[\"O\",\"B-PER\",\"I-PER\"]");
  assert_true(model->label[0].is_outside && !model->label[1].is_outside);
  assert_int_equal(model->label[0].prefix, 'I');
  assert_int_equal(model->label[1].prefix, 'B');
  assert_string_equal(model->label[2].tag, "PER");
  assert_int_equal(model->label[1].tag_id, model->label[2].tag_id);
  assert_int_not_equal(model->label[0].tag_id, model->label[1].tag_id);

  assert_false(ner_tokenizer_rules(model->tokenizer)->lowercase);
  assert_false(ner_tokenizer_rules(model->tokenizer)->strip_accents);
  assert_true(ner_tokenizer_rules(model->tokenizer)->split_cjk);
  assert_true(ner_tokenizer_rules(model->tokenizer)->clean_text);

  layer = &model->weights.layer[1];
  assert_int_equal(layer->qkv.n_out, 36);
  assert_int_equal(layer->qkv.n_in, 12);
  assert_int_equal((uintptr_t)layer->qkv.packed % 64, 0);
  for( int part = 0; part < 3; part++ )
    for( int n = 0; n < 12; n++ ) {
      static const char *const parts[] = {"q", "k", "v"};
      float scale = part == 0 ? 0.5f : 1; /* head 4 */
      snprintf(name, sizeof name, "%sattention.%s_lin.weight", p, parts[part]);
      for( int k = 0; k < 12; k++ )
        assert_true(f32_at(&layer->qkv, part * 12 + n, k) ==
                    scale * source_at(file, name, n * 12 + k));
      snprintf(name, sizeof name, "%sattention.%s_lin.bias", p, parts[part]);
      assert_true(layer->qkv.bias[part * 12 + n] == scale * source_at(file, name, n));
    }
  for( int n = 36; n < 48; n++ ) assert_true(layer->qkv.bias[n] == 0);
  snprintf(name, sizeof name, "%sffn.lin2.weight", p);
  assert_int_equal(layer->ffn2.n_in, 20);
  assert_true(f32_at(&layer->ffn2, 11, 19) == source_at(file, name, 11 * 20 + 19));
  snprintf(name, sizeof name, "%soutput_layer_norm.bias", p);
  assert_true(layer->ffn_norm_bias[11] == source_at(file, name, 11));
  snprintf(name, sizeof name, "%ssa_layer_norm.weight", p);
  assert_true(layer->attn_norm_gain[3] == source_at(file, name, 3));
  assert_true(model->weights.position[17] ==
              source_at(file, "distilbert.embeddings.position_embeddings.weight", 17));
  assert_int_equal(model->weights.word.dtype, NER_DTYPE_F32);
  assert_true(f32_at(&model->weights.classifier, 2, 5) == source_at(file, "classifier.weight", 29));
  assert_int_equal(model->weights.classifier.n_out, 3);

  ner_safetensors_close(file);
  ner_model_unref(ner_model_ref(model));
  ner_model_unref(model);
  ner_model_unref(NULL);
  test_dir_remove(dir);
}

static void bert_directory(void **state) {
  struct tiny tiny = tiny_bert();
  char dir[TEST_PATH];
  test_dir_make(dir);
  for( int old_names = 0; old_names <= 1; old_names++ ) {
    struct ner_model *model;
    struct ner_safetensors *file;
    tiny.old_names = old_names;
    tiny_write(dir, &tiny);
    model = must_open(dir, NER_PRECISION_F32);
    file = open_source(dir);
    assert_int_equal(model->config.architecture, NER_BERT);
    assert_int_equal(model->config.type_vocab, 2);
    assert_int_equal(model->config.max_tokens, 10); /* max_len */
    assert_true(ner_tokenizer_rules(model->tokenizer)->lowercase);
    assert_true(ner_tokenizer_rules(model->tokenizer)->strip_accents);
    for( int i = 0; i < 16 * 12; i++ )
      assert_true(model->weights.position[i] ==
                  source_at(file, "bert.embeddings.position_embeddings.weight", i) +
                      source_at(file, "bert.embeddings.token_type_embeddings.weight", i % 12));
    assert_true(f32_at(&model->weights.layer[0].ffn1, 19, 11) ==
                source_at(file, "bert.encoder.layer.0.intermediate.dense.weight", 19 * 12 + 11));
    assert_true(model->weights.norm_gain[1] == source_at(file,
                                                         old_names
                                                             ? "bert.embeddings.LayerNorm.gamma"
                                                             : "bert.embeddings.LayerNorm.weight",
                                                         1));
    ner_safetensors_close(file);
    ner_model_unref(model);
  }
  test_dir_remove(dir);
}

static void narrow_weights(void **state) {
  struct tiny tiny = tiny_distilbert();
  char wide_dir[TEST_PATH], dir[TEST_PATH];
  struct ner_model *wide;
  test_dir_make(wide_dir);
  test_dir_make(dir);
  tiny_write(wide_dir, &tiny);
  wide = must_open(wide_dir, NER_PRECISION_FILE);
  for( int i = 0; i < 2; i++ ) {
    struct ner_model *model;
    float row[12];
    tiny.dtype = i ? NER_DTYPE_BF16 : NER_DTYPE_F16;
    tiny_write(dir, &tiny);
    model = must_open(dir, NER_PRECISION_FILE);
    /* The values are such that all three types hold them exactly. */
    assert_memory_equal(model->weights.layer[0].qkv.packed, wide->weights.layer[0].qkv.packed,
                        ner_packed_bytes(NER_PRECISION_F32, 36, 12));
    assert_memory_equal(model->weights.position, wide->weights.position, 16 * 12 * 4);
    assert_int_equal(model->weights.word.dtype, tiny.dtype); /* kept as it is */
    ner_widen_f32(tiny.dtype, model->weights.word.data + 5 * 12 * 2, 12, row);
    assert_memory_equal(row, wide->weights.word.data + 5 * 12 * 4, sizeof row);
    ner_model_unref(model);
  }
  ner_model_unref(wide);
  test_dir_remove(dir);
  test_dir_remove(wide_dir);
}

static void int8_directory(void **state) {
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  struct ner_model *f32, *int8;
  const struct ner_linear *a, *b;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  f32 = must_open(dir, NER_PRECISION_F32);
  int8 = must_open(dir, NER_PRECISION_INT8);
  assert_int_equal(int8->precision, NER_PRECISION_INT8);
  assert_true(int8->n_bytes < f32->n_bytes);
  a = &f32->weights.layer[1].ffn1;
  b = &int8->weights.layer[1].ffn1;
  assert_int_equal(b->precision, NER_PRECISION_INT8);
  for( int n = 0; n < 20; n++ )
    for( int k = 0; k < 12; k++ )
      assert_true(fabsf(f32_at(a, n, k) - i8_at(b, n, k)) <= b->scale[n] * 0.51f);
  for( int n = 20; n < 32; n++ ) assert_true(b->scale[n] == 0 && b->sum[n] == 0 && b->bias[n] == 0);
  assert_memory_equal(a->bias, b->bias, 32 * 4);
  assert_int_equal(int8->weights.word.dtype, NER_DTYPE_I8);
  for( int i = 0; i < TINY_VOCAB * 12; i++ ) {
    float want, scale = int8->weights.word.scale[i / 12];
    memcpy(&want, f32->weights.word.data + i * 4, 4);
    assert_true(fabsf(want - scale * (float)(int8_t)int8->weights.word.data[i]) <= scale * 0.51f);
  }
  assert_int_equal(int8->weights.classifier.precision, NER_PRECISION_F32);
  ner_model_unref(f32);
  ner_model_unref(int8);
  test_dir_remove(dir);
}

static void same_linear(const struct ner_linear *a, const struct ner_linear *b) {
  size_t padded = ner_round_up((size_t)a->n_out, 16);
  assert_int_equal(a->n_out, b->n_out);
  assert_int_equal(a->n_in, b->n_in);
  assert_int_equal(a->precision, b->precision);
  assert_int_equal((uintptr_t)b->packed % 64, 0);
  assert_memory_equal(a->packed, b->packed, ner_packed_bytes(a->precision, a->n_out, a->n_in));
  assert_memory_equal(a->bias, b->bias, padded * 4);
  assert_true((a->scale == NULL) == (b->scale == NULL));
  if( a->scale ) assert_memory_equal(a->scale, b->scale, padded * 4);
  if( a->sum ) assert_memory_equal(a->sum, b->sum, padded * 4);
}

static void same_model(const struct ner_model *a, const struct ner_model *b) {
  const struct ner_weights *x = &a->weights, *y = &b->weights;
  const size_t row = (size_t)a->config.hidden * 4;
  const struct ner_vocab *v = ner_tokenizer_vocab(a->tokenizer);
  const struct ner_vocab *w = ner_tokenizer_vocab(b->tokenizer);
  assert_memory_equal(&a->config, &b->config, sizeof a->config);
  assert_memory_equal(ner_tokenizer_rules(a->tokenizer), ner_tokenizer_rules(b->tokenizer),
                      sizeof(struct ner_text_rules));
  assert_string_equal(a->labels_json, b->labels_json);
  assert_int_equal(a->parameters, b->parameters);
  assert_int_equal(a->n_bytes, b->n_bytes);
  assert_int_equal(a->precision, b->precision);
  assert_int_equal(ner_vocab_size(v), ner_vocab_size(w));
  for( int32_t i = 0; i < ner_vocab_size(v); i++ ) {
    size_t m, n;
    const char *s = ner_vocab_piece(v, i, &m), *t = ner_vocab_piece(w, i, &n);
    assert_int_equal(m, n);
    assert_memory_equal(s, t, n);
  }
  assert_int_equal(x->word.dtype, y->word.dtype);
  assert_int_equal(x->word.rows, y->word.rows);
  assert_int_equal(x->word.width, y->word.width);
  assert_memory_equal(x->word.data, y->word.data,
                      (size_t)x->word.rows * row / 4 * ner_dtype_bytes(x->word.dtype));
  if( x->word.scale ) assert_memory_equal(x->word.scale, y->word.scale, (size_t)x->word.rows * 4);
  assert_memory_equal(x->position, y->position, (size_t)a->config.max_positions * row);
  assert_memory_equal(x->norm_gain, y->norm_gain, row);
  assert_memory_equal(x->norm_bias, y->norm_bias, row);
  for( int32_t i = 0; i < a->config.layers; i++ ) {
    const struct ner_layer *k = &x->layer[i], *l = &y->layer[i];
    same_linear(&k->qkv, &l->qkv);
    same_linear(&k->out, &l->out);
    same_linear(&k->ffn1, &l->ffn1);
    same_linear(&k->ffn2, &l->ffn2);
    assert_memory_equal(k->attn_norm_gain, l->attn_norm_gain, row);
    assert_memory_equal(k->attn_norm_bias, l->attn_norm_bias, row);
    assert_memory_equal(k->ffn_norm_gain, l->ffn_norm_gain, row);
    assert_memory_equal(k->ffn_norm_bias, l->ffn_norm_bias, row);
  }
  same_linear(&x->classifier, &y->classifier);
}

static void must_convert(const char *source, const char *target, enum ner_precision precision) {
  struct ner_err err = {0};
  if( ner_convert(source, target, precision, &err) ) fail_msg("%s", err.msg);
}

/* Adds a blank to the header: all data moves by one byte, as another tool's
** rewriting might do. */
static void shift_data(const char *dir, const char *name) {
  size_t n;
  uint64_t n_header;
  char *bytes = test_read(dir, name, &n), *shifted = malloc(n + 1);
  assert_non_null(shifted);
  memcpy(&n_header, bytes, 8);
  memcpy(shifted, bytes, 8 + n_header);
  shifted[8 + n_header] = ' ';
  memcpy(shifted + 9 + n_header, bytes + 8 + n_header, n - 8 - n_header);
  n_header++;
  memcpy(shifted, &n_header, 8);
  test_write(dir, name, shifted, n + 1);
  free(shifted);
  free(bytes);
}

/* A converted file is the directory again, to the bit. */
static void one_file(void **state) {
  static const enum ner_dtype dtypes[] = {NER_DTYPE_F32, NER_DTYPE_F16, NER_DTYPE_BF16};
  char dir[TEST_PATH], path[TEST_PATH], copy[TEST_PATH];
  test_dir_make(dir);
  test_path(path, dir, "one.safetensors");
  test_path(copy, dir, "copy.safetensors");
  for( int i = 0; i < 12; i++ ) {
    struct tiny tiny = i % 2 ? tiny_bert() : tiny_distilbert();
    enum ner_precision precision = i / 2 % 2 ? NER_PRECISION_INT8 : NER_PRECISION_F32;
    struct ner_model *model, *file;
    tiny.dtype = dtypes[i / 4];
    tiny.id2label = "{\"0\":\"O\",\"1\":\"B-\\\"\\\\\\n\xc3\xa9\",\"2\":\"\"}";
    tiny_write(dir, &tiny);
    model = must_open(dir, precision);
    must_convert(dir, path, precision);
    file = must_open(path, NER_PRECISION_FILE);
    same_model(model, file);
    assert_string_equal(file->path, path);
    ner_model_unref(file);
    file = must_open(path, precision);
    same_model(model, file);
    must_convert(path, copy, NER_PRECISION_FILE);
    ner_model_unref(file);
    file = must_open(copy, NER_PRECISION_FILE);
    same_model(model, file);
    ner_model_unref(file);
    shift_data(dir, "copy.safetensors");
    file = must_open(copy, NER_PRECISION_FILE);
    same_model(model, file);
    ner_model_unref(file);
    ner_model_unref(model);
  }
  test_dir_remove(dir);
}

static uint64_t hash_at(const char *path, enum ner_precision precision) {
  struct ner_model *model = must_open(path, precision);
  struct ner_err err = {0};
  uint64_t hash, again;
  if( ner_model_hash(model, &hash, &err) ) fail_msg("%s", err.msg);
  assert_int_equal(ner_model_hash(model, &again, &err), NER_OK);
  assert_true(hash == again && hash != 0);
  ner_model_unref(model);
  return hash;
}

/* Any tensor, any number in the configuration, any label and any piece makes another hash; another
** path or form does not. */
static void hash_covers_everything(void **state) {
  static const struct {
    const char *file, *from, *to;
  } edits[] = {
      {"config.json", "eps\":1e-12", "eps\":1e-11"},
      {"config.json", "_heads\":3", "_heads\":6"},
      {"config.json", "I-PER", "I-ORG"},
      {"tokenizer_config.json", "do_lower_case\":true", "do_lower_case\":false"},
      {"tokenizer_config.json", "10", "9"},
      {"vocab.txt", "lives", "lived"},
      {"vocab.txt", "lives\nin", "in\nlives"},
  };
  char dir[TEST_PATH], path[TEST_PATH];
  test_dir_make(dir);
  test_path(path, dir, "one");
  for( int bert = 0; bert <= 1; bert++ ) {
    struct tiny tiny = bert ? tiny_bert() : tiny_distilbert();
    struct ner_safetensors *file;
    uint64_t f32, int8;
    size_t n_bytes, n;
    char *bytes;
    tiny_write(dir, &tiny);
    f32 = hash_at(dir, NER_PRECISION_F32);
    int8 = hash_at(dir, NER_PRECISION_INT8);
    assert_true(f32 != int8);
    must_convert(dir, path, NER_PRECISION_F32);
    assert_true(hash_at(path, NER_PRECISION_FILE) == f32);
    must_convert(dir, path, NER_PRECISION_INT8);
    assert_true(hash_at(path, NER_PRECISION_FILE) == int8);
    for( size_t i = 0; i < sizeof edits / sizeof edits[0]; i++ ) {
      char *text = test_read(dir, edits[i].file, &n);
      if( strstr(text, edits[i].from) ) {
        test_edit(dir, edits[i].file, edits[i].from, edits[i].to);
        if( hash_at(dir, NER_PRECISION_F32) == f32 ) fail_msg("%s", edits[i].to);
        test_write(dir, edits[i].file, text, n);
      }
      free(text);
    }
    /* The last number of each tensor: one bit of its sign. */
    bytes = test_read(dir, "model.safetensors", &n_bytes);
    assert_int_equal(ner_safetensors_open_bytes((unsigned char *)bytes, n_bytes, "x", &file, NULL),
                     NER_OK);
    n = ner_safetensors_count(file);
    for( size_t i = 0; i < n; i++ ) {
      const struct ner_tensor *t = ner_safetensors_at(file, i);
      char *copy = malloc(n_bytes);
      struct ner_safetensors *changed;
      struct ner_err err = {0};
      const struct ner_tensor *c;
      assert_non_null(copy);
      memcpy(copy, bytes, n_bytes);
      assert_int_equal(
          ner_safetensors_open_bytes((unsigned char *)copy, n_bytes, "x", &changed, &err), NER_OK);
      c = ner_safetensors_find(changed, t->name);
      ((unsigned char *)c->data)[c->n_bytes - 1] ^= 0x80;
      test_write(dir, "model.safetensors", copy, n_bytes);
      if( (hash_at(dir, NER_PRECISION_F32) == f32) !=
          (strstr(t->name, "pooler") || strstr(t->name, "token_type")) )
        fail_msg("%s", t->name);
      ner_safetensors_close(changed);
      free(copy);
    }
    ner_safetensors_close(file);
    free(bytes);
  }
  test_dir_remove(dir);
}

static void no_layers(void **state) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_model *model, *file;
  test_dir_make(dir);
  tiny.layers = 0;
  tiny_write(dir, &tiny);
  model = must_open(dir, NER_PRECISION_FILE);
  must_convert(dir, test_path(path, dir, "one.safetensors"), NER_PRECISION_F32);
  file = must_open(path, NER_PRECISION_FILE);
  same_model(model, file);
  ner_model_unref(file);
  ner_model_unref(model);
  test_dir_remove(dir);
}

static void precisions_that_cannot_be_had(void **state) {
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH];
  struct ner_err err = {0};
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  must_convert(dir, test_path(path, dir, "int8"), NER_PRECISION_INT8);
  must_fail(path, NER_PRECISION_F32, "holds int8 weights", "cannot become f32",
            "original directory");
  must_convert(dir, test_path(path, dir, "f32"), NER_PRECISION_F32);
  must_fail(path, NER_PRECISION_INT8, "holds f32 weights", "cannot become int8",
            "original directory");
  assert_int_equal(ner_convert(path, test_path(path, dir, "x"), NER_PRECISION_INT8, &err),
                   NER_ERROR);
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_convert(dir, dir, NER_PRECISION_FILE, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "is a directory"));
  test_dir_remove(dir);
}

/* Who says what about the tokenizer, and who wins. */
static void tokenizer_files(void **state) {
  struct tiny tiny = tiny_distilbert();
  const struct ner_text_rules *rules;
  char dir[TEST_PATH];
  struct ner_model *a, *b;
  size_t n;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  a = must_open(dir, NER_PRECISION_FILE);
  /* tokenizer.json alone: its vocabulary and its rules, but those that BERT's class has by
  ** default */
  test_write_text(dir, "tokenizer.json", tiny_tokenizer_json);
  test_remove(dir, "vocab.txt");
  test_remove(dir, "tokenizer_config.json");
  b = must_open(dir, NER_PRECISION_FILE);
  rules = ner_tokenizer_rules(b->tokenizer);
  assert_true(!rules->clean_text && rules->split_cjk && rules->strip_accents && rules->lowercase);
  ner_model_unref(b);
  /* for a class that takes it as it is, its rules */
  test_write_text(dir, "tokenizer_config.json",
                  "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
  b = must_open(dir, NER_PRECISION_FILE);
  assert_int_equal(ner_tokenizer_template(b->tokenizer)->n_before, 0); /* no post_processor */
  rules = ner_tokenizer_rules(b->tokenizer);
  assert_true(!rules->clean_text && !rules->split_cjk && rules->strip_accents && !rules->lowercase);
  assert_memory_equal(ner_vocab_piece(ner_tokenizer_vocab(b->tokenizer), 16, &n), "\xc3\xa9", 2);
  assert_int_equal(b->config.max_tokens, 16);
  assert_memory_equal(&a->config, &b->config, sizeof a->config);
  ner_model_unref(b);
  /* tokenizer_config.json wins over it; null states nothing */
  test_write_text(dir, "tokenizer_config.json",
                  "{\"do_lower_case\":true,\"strip_accents\":null,\"tokenize_chinese_chars\":true,"
                  "\"model_max_length\":1000000000000000019884624838656}");
  b = must_open(dir, NER_PRECISION_FILE);
  rules = ner_tokenizer_rules(b->tokenizer);
  assert_true(!rules->clean_text && rules->split_cjk && rules->strip_accents && rules->lowercase);
  assert_int_equal(b->config.max_tokens, 16);
  ner_model_unref(b);
  /* vocab.txt beside tokenizer.json is not read; lowercasing is BERT's default */
  test_write_text(dir, "vocab.txt", "[UNK]\n");
  test_write_text(dir, "tokenizer_config.json", "{\"model_max_length\":7}");
  b = must_open(dir, NER_PRECISION_FILE);
  assert_true(ner_tokenizer_rules(b->tokenizer)->lowercase);
  assert_int_equal(b->config.max_tokens, 7);
  ner_model_unref(b);
  /* strip_accents unstated follows do_lower_case, stated it stands */
  test_remove(dir, "tokenizer.json");
  tiny_write_vocab(dir);
  test_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\":true,\"strip_accents\":false}");
  b = must_open(dir, NER_PRECISION_FILE);
  rules = ner_tokenizer_rules(b->tokenizer);
  assert_true(rules->lowercase && !rules->strip_accents);
  ner_model_unref(b);
  ner_model_unref(a);
  test_dir_remove(dir);
}

static void bad_tokenizers(void **state) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  test_remove(dir, "vocab.txt");
  must_fail(dir, NER_PRECISION_FILE, "lacks vocab.txt or tokenizer.json", dir, NULL);
  tiny_write_vocab(dir);
  test_edit(dir, "vocab.txt", "[PAD]\n", "[PAD]\n\n");
  must_fail(dir, NER_PRECISION_FILE, "vocab.txt: piece '", "has the id 17", "vocab_size 17");
  test_write_text(dir, "vocab.txt", "[PAD]\n[CLS]\n[SEP]\n");
  must_fail(dir, NER_PRECISION_FILE, "vocab.txt: the vocabulary has no [UNK]", NULL, NULL);
  tiny_write_vocab(dir);
  test_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\":\"no\"}");
  must_fail(dir, NER_PRECISION_FILE, "tokenizer_config.json: $.do_lower_case is a string", NULL,
            NULL);
  test_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\":false,\"max_len\":2}");
  must_fail(dir, NER_PRECISION_FILE, "model_max_length is 2", NULL, NULL);
  test_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\":fal");
  must_fail(dir, NER_PRECISION_FILE, "tokenizer_config.json: not valid JSON", NULL, NULL);
  test_remove(dir, "vocab.txt");
  test_write_text(dir, "tokenizer_config.json", "{\"do_lower_case\":false}");
  static const struct {
    const char *from, *to, *says;
  } edits[] = {
      {"WordPiece", "BPE", "$.model.type is 'BPE'"},
      {"BertNormalizer", "Sequence", "a 'Sequence' lacks normalizers"},
      {"BertNormalizer", "Precompiled", "normalizer 'Precompiled' is not supported"},
      {"\"lowercase\"", "\"upper\"", "a rule lacks lowercase"},
      {"BertPreTokenizer", "Split", "pre_tokenizer 'Split' is not supported"},
      {"\"[UNK]\",\"cont", "\"<unk>\",\"cont", "the vocabulary has no <unk>"},
      {"word\":100", "word\":-1", "model lacks max_input_chars_per_word"},
      {"word\":100", "word\":\"100\"", "max_input_chars_per_word is a string"},
      {"\"[SEP]\":3", "\"[SEP]\":17", "piece '[SEP]' has the id 17"},
      {"\"[SEP]\":3", "\"[SEP]\":2", "two pieces have the id 2"},
      {"{\"added_tokens\":[]", "{\"added_tokens\":[7]", "an added token is no object"},
      {"{\"added_tokens\":[]", "{\"added_tokens\":[{\"id\":7}]", "an added token has no content"},
      {"{\"added_tokens\":[]", "{\"version\":\"2.0\",\"added_tokens\":[]", "version is not"},
      {"\"vocab\"", "\"words\"", "model.vocab is missing"},
      {"\"##b\":15", "\"##b\":\"15\"", "model.vocab is not an object"},
      {"{\"added", "[\"added", "not valid JSON"},
  };
  for( size_t i = 0; i < sizeof edits / sizeof edits[0]; i++ ) {
    test_write_text(dir, "tokenizer.json", tiny_tokenizer_json);
    test_edit(dir, "tokenizer.json", edits[i].from, edits[i].to);
    must_fail(dir, NER_PRECISION_FILE, edits[i].says, "tokenizer.json", NULL);
  }
  test_dir_remove(dir);
}

static void bad_paths(void **state) {
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH];
  test_dir_make(dir);
  must_fail(test_path(path, dir, "none"), NER_PRECISION_FILE, "none' does not exist", NULL, NULL);
  must_fail("", NER_PRECISION_FILE, "'' does not exist", NULL, NULL);
  must_fail(dir, NER_PRECISION_FILE, dir, "lacks config.json", NULL);
  tiny_write(dir, &tiny);
  must_fail(test_path(path, dir, "config.json"), NER_PRECISION_FILE,
            "config.json:", "no safetensors file", NULL);
  must_fail(test_path(path, dir, "vocab.txt/x"), NER_PRECISION_FILE, "does not exist", NULL, NULL);
  must_fail(test_path(path, dir, "model.safetensors"), NER_PRECISION_FILE, "model.safetensors",
            "not written by ner_convert", "directory");
  must_fail("/dev/null", NER_PRECISION_FILE, "/dev/null: not an ordinary file; give a model", NULL,
            NULL);
  test_remove(dir, "model.safetensors");
  must_fail(dir, NER_PRECISION_FILE, dir, "lacks model.safetensors", NULL);
  test_dir_remove(dir);
}

#define X16 "xxxxxxxxxxxxxxxx"
#define X64 X16 X16 X16 X16
static void bad_configs(void **state) {
  static const struct {
    bool bert;
    const char *from, *to, *says;
  } edits[] = {
      {false, "\"dim\":12", "\"dim\":13", "hidden size 13 is no multiple of the 3 heads"},
      {false, "\"dim\":12", "\"dim\":24", "is F32 [17,12], but config.json asks for [17,24]"},
      {false, "\"dim\":12", "\"dim\":0", "dim is 0; it must be 1 to"},
      {false, "\"dim\":12", "\"dim\":1000000000", "dim is 1000000000"},
      {false, "\"dim\":12", "\"dim\":12.5", "$.dim is a number with a fraction"},
      {false, "\"dim\":12", "\"dim\":\"12\"", "$.dim is a string"},
      {false, "\"dim\"", "\"din\"", "dim is missing"},
      {false, "\"n_heads\":3", "\"n_heads\":0", "n_heads is 0"},
      {false, "\"n_layers\":2", "\"n_layers\":3", "tensor distilbert.transformer.layer.2."},
      {false, "\"n_layers\":2", "\"n_layers\":1", "only 1 layers"},
      {false, "\"n_layers\":2", "\"n_layers\":-1", "n_layers is -1"},
      {false, "\"hidden_dim\":20", "\"hidden_dim\":21", "layer.0.ffn.lin1.weight is F32 [20,12]"},
      {false, "embeddings\":16", "embeddings\":17", "position_embeddings.weight is F32 [16,12]"},
      {false, "embeddings\":16", "embeddings\":2", "max_position_embeddings is 2"},
      {false, "vocab_size\":17", "vocab_size\":18",
       "word_embeddings.weight is F32 [17,12], but config.json asks for [18,12]"},
      {false, "vocab_size\":17", "vocab_size\":16",
       "has the id 16, but config.json says vocab_size 16"},
      {false, "\"gelu\"", "\"relu\"", "activation is 'relu'; only 'gelu'"},
      {true, "\"gelu\"", "\"gelu_newer\"", "hidden_act is 'gelu_newer'; only 'gelu'"},
      {true, "\"hidden_act\"", "\"position_embedding_type\":\"relative_key\",\"hidden_act\"",
       "position_embedding_type is 'relative_key'"},
      {true, "\"hidden_act\"", "\"is_decoder\":true,\"hidden_act\"", "is_decoder is true"},
      {true, "eps\":1e-12", "eps\":1e300", "layer_norm_eps"},
      {true, "eps\":1e-12", "eps\":0", "layer_norm_eps"},
      {true, "type_vocab_size\":2", "type_vocab_size\":0", "type_vocab_size is 0"},
      {true, "type_vocab_size\":2", "type_vocab_size\":3",
       "token_type_embeddings.weight is F32 [2,12]"},
      {true, "BertForToken", "BertForSequence", "architectures 'BertForSequenceClassification'"},
      {true, "\"bert\"", "\"roberta\"", "model_type is 'roberta'"},
      {true, "\"bert\"", "\"distilbert\"", "model_type is 'distilbert'"},
      {false, "\"2\":\"I-PER\",", "",
       "classifier.weight is F32 [3,12], but config.json asks for [2,12]"},
      {false, "\"2\":", "\"3\":", "label number 3, but 3 labels must be numbered 0 to 2"},
      {false, "\"2\":", "\"1\":", "label 1 is named twice"},
      {false, "\"2\":", "\"two\":", "id2label has a member 'two'"},
      {false, "\"2\":", "\"02\":", "id2label has a member '02'"},
      {false, "\"I-PER\"", "7", "id2label has a member '2'"},
      {false, "\"I-PER\"", "\"I-" X64 X64 X64 X64 "\"", "label 2 has a name of 258 bytes; it may"},
      {false, "{\"model", "[\"model", "config.json: not valid JSON"},
  };
  char dir[TEST_PATH];
  test_dir_make(dir);
  for( size_t i = 0; i < sizeof edits / sizeof edits[0]; i++ ) {
    struct tiny tiny = edits[i].bert ? tiny_bert() : tiny_distilbert();
    tiny_write(dir, &tiny);
    test_edit(dir, "config.json", edits[i].from, edits[i].to);
    must_fail(dir, NER_PRECISION_FILE, edits[i].says, NULL, NULL);
  }
  test_dir_remove(dir);
}

/* Who lacks model_type or architectures, activation or eps, is still understood. */
static void sparse_configs(void **state) {
  static const char *const cuts[] = {"\"model_type\":\"bert\",", "\"hidden_act\":\"gelu\",",
                                     "\"architectures\":[\"BertForTokenClassification\"],",
                                     "\"layer_norm_eps\":1e-12,", "\"type_vocab_size\":2,"};
  const struct tiny tiny = tiny_bert();
  char dir[TEST_PATH];
  struct ner_model *whole;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  whole = must_open(dir, NER_PRECISION_FILE);
  for( size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++ ) {
    struct ner_model *model;
    tiny_write_config(dir, &tiny);
    test_edit(dir, "config.json", cuts[i], "");
    model = must_open(dir, NER_PRECISION_FILE);
    same_model(whole, model);
    ner_model_unref(model);
  }
  ner_model_unref(whole);
  test_dir_remove(dir);
}

static void labels_without_names(void **state) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH];
  struct ner_model *model;
  test_dir_make(dir);
  tiny.id2label = NULL;
  tiny.n_labels = 4;
  tiny_write(dir, &tiny);
  model = must_open(dir, NER_PRECISION_FILE);
  assert_string_equal(model->labels_json, "[\"LABEL_0\",\"LABEL_1\",\"LABEL_2\",\"LABEL_3\"]");
  assert_int_equal(model->label[3].prefix, 'I');
  assert_string_equal(model->label[3].tag, "LABEL_3");
  ner_model_unref(model);
  test_dir_remove(dir);
}

/* Every kind of damaged weights file: named, refused, no crash. */
static void bad_weights(void **state) {
  struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], *bytes;
  size_t n;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  bytes = test_read(dir, "model.safetensors", &n);
  test_write(dir, "model.safetensors", bytes, 0);
  must_fail(dir, NER_PRECISION_FILE, "model.safetensors: only 0 bytes", NULL, NULL);
  test_write(dir, "model.safetensors", bytes, n / 2);
  must_fail(dir, NER_PRECISION_FILE, "model.safetensors: holds", "its tensors take",
            "fetch it again");
  test_write(dir, "model.safetensors", bytes, n + 1);
  must_fail(dir, NER_PRECISION_FILE, "model.safetensors: holds", "its tensors take", NULL);
  memset(bytes, 0xa5, n);
  test_write(dir, "model.safetensors", bytes, n);
  must_fail(dir, NER_PRECISION_FILE, "model.safetensors: announces a header of", NULL, NULL);
  free(bytes);
  test_write_text(dir, "model.safetensors", "<!DOCTYPE html><html>404 Not Found</html>");
  must_fail(dir, NER_PRECISION_FILE, "no safetensors file", NULL, NULL);
  /* A part is missing: the name changed. */
  tiny_write(dir, &tiny);
  bytes = test_read(dir, "model.safetensors", &n);
  memcpy(strstr(bytes + 8, "classifier.bias"), "classifier.bent", 15);
  test_write(dir, "model.safetensors", bytes, n);
  must_fail(dir, NER_PRECISION_FILE, "tensor classifier.bias is missing", NULL, NULL);
  free(bytes);
  /* Integers where weights should be. */
  tiny_write(dir, &tiny);
  bytes = test_read(dir, "model.safetensors", &n);
  memcpy(strstr(strstr(bytes + 8, "\"classifier.bias"), "F32"), "I32", 3);
  test_write(dir, "model.safetensors", bytes, n);
  must_fail(dir, NER_PRECISION_FILE, "classifier.bias is I32 [3]", "only F32, F16 and BF16", NULL);
  free(bytes);
  test_dir_remove(dir);
}

/* Replaces text of equal length in a one-file model. */
static void patch(const char *dir, const char *from, const char *to) {
  size_t n, len = strlen(from);
  char *bytes = test_read(dir, "one", &n), *hit = NULL;
  assert_int_equal(len, strlen(to));
  for( size_t i = 8; i + len <= n && !hit; i++ )
    if( memcmp(bytes + i, from, len) == 0 ) hit = bytes + i;
  assert_non_null(hit);
  memcpy(hit, to, len);
  test_write(dir, "one", bytes, n);
  free(bytes);
}

/* An int8 file of layout version 1 may hold any weights: they are packed once more, within the
** bound that the kernels need, and stay what they were to half a step. */
static void version_one(void **state) {
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH], *bytes, *at;
  struct ner_model *before, *after;
  const struct ner_linear *a, *b;
  unsigned long long begin, end, header;
  size_t n;
  test_dir_make(dir);
  test_path(path, dir, "one");
  tiny_write(dir, &tiny);
  must_convert(dir, path, NER_PRECISION_INT8);
  before = must_open(path, NER_PRECISION_FILE);
  patch(dir, "\"version\":\"3\"", "\"version\":\"1\"");
  after = must_open(path, NER_PRECISION_FILE); /* within the bound already: unchanged */
  same_model(before, after);
  ner_model_unref(before);
  ner_model_unref(after);

  bytes = test_read(dir, "one", &n);
  memcpy(&header, bytes, 8);
  at = strstr(strstr(bytes + 8, "\"layer.1.ffn1.weight\""), "\"data_offsets\":[");
  assert_int_equal(sscanf(at, "\"data_offsets\":[%llu,%llu]", &begin, &end), 2);
  for( unsigned long long i = begin; i < end; i++ )
    bytes[8 + header + i] = (char)(i % 5 == 0 ? -127 : i % 7 == 0 ? 3 : 127);
  test_write(dir, "one", bytes, n);
  free(bytes);
  after = must_open(path, NER_PRECISION_FILE);
  patch(dir, "\"version\":\"1\"", "\"version\":\"3\"");
  before = must_open(path, NER_PRECISION_FILE);
  a = &before->weights.layer[1].ffn1;
  b = &after->weights.layer[1].ffn1;
  for( int i = 0; i < b->n_out; i++ ) {
    int total = 0;
    for( int k = 0; k < b->n_in; k++ ) {
      assert_true(fabsf(i8_at(a, i, k) - i8_at(b, i, k)) <= b->scale[i] * 0.51f);
      total += (int)lrintf(i8_at(b, i, k) / b->scale[i]);
    }
    assert_int_equal(b->sum[i], total);
    assert_true(b->scale[i] > 2 * a->scale[i]);
  }
  ner_model_unref(before);
  ner_model_unref(after);
  test_dir_remove(dir);
}

static void bad_one_files(void **state) {
  static const struct {
    const char *from, *to, *says;
  } patches[] = {
      {"\"version\":\"3\"", "\"version\":\"9\"", "layout version '9' is not known"},
      {"\"tokenizer\"", "\"tokenizar\"", "tensor tokenizer is missing"},
      {"\"unk\":1,", "\"unk\":-1", "tensor tokenizer"},
      {"\"id\":3,\"content", "\"id\":77,\"onten_", "the tokenizer's added token is damaged"},
      {"\"BertNormalizer\"", "\"BurtNormalizer\"", "normalizer 'BurtNormalizer' is not supported"},
      {"\"before\":[2]", "\"before\":[-]", "tensor tokenizer: not valid JSON"},
      {"\"after\":[3]", "\"after\":[{]", "tensor tokenizer: not valid JSON"},
      {"\"sqlite-ner\"", "\"sqlite-xyz\"", "not written by ner_convert"},
      {"\"int8\"", "\"int4\"", "precision 'int4' is unknown"},
      {"\"int8\"", "\"f32\" ", "has an unexpected type"},
      {"\"layer.1.out.sum\"", "\"layer.1.out.som\"", "tensor layer.1.out.sum is missing"},
      {"\"config\"", "\"confix\"", "tensor config is missing"},
      {"\"vocabulary\"", "\"vocabulery\"", "tensor vocabulary is missing"},
      {"\"layers\":2", "\"layers\":3", "tensor layer.2.qkv.weight is missing"},
      {"\"hidden\":12", "\"hidden\":15", "has a shape that contradicts"},
      {"\"hidden\":12", "\"hidden\":13", "no multiple of the 3 heads"},
      {"\"heads\":3", "\"heads\":0", "heads is 0"},
      {"\"vocab_size\":17", "\"vocab_size\":18", "has a shape that contradicts"},
      {"\"vocab_size\":17", "\"vocab_size\":16", "has the id 16"},
      {"\"max_tokens\":16", "\"max_tokens\":17", "max_tokens is 17"},
      {"\"distilbert\"", "\"distilbent\"", "architecture is 'distilbent'"},
      {"\"labels\":[", "\"labels\":{", "tensor config: not valid JSON"},
      {"\"B-PER\"", "\"B-PER ", "tensor config: not valid JSON"},
  };
  const struct tiny tiny = tiny_distilbert();
  char dir[TEST_PATH], path[TEST_PATH], *bytes;
  struct ner_safetensors *file;
  struct ner_err err = {0};
  size_t n;
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  test_path(path, dir, "one");
  for( size_t i = 0; i < sizeof patches / sizeof patches[0]; i++ ) {
    must_convert(dir, path, NER_PRECISION_INT8);
    patch(dir, patches[i].from, patches[i].to);
    must_fail(path, NER_PRECISION_FILE, patches[i].says, "one", NULL);
  }
  must_convert(dir, path, NER_PRECISION_INT8);
  bytes = test_read(dir, "one", &n);
  test_write(dir, "one", bytes, n - 1);
  must_fail(path, NER_PRECISION_FILE, "its tensors take", NULL, NULL);
  /* A sum that would overflow when the kernels multiply it. */
  assert_int_equal(ner_safetensors_open_bytes((unsigned char *)bytes, n, "one", &file, &err), 0);
  memset((void *)ner_safetensors_find(file, "layer.1.out.sum")->data, 0x7f, 4);
  ner_safetensors_close(file);
  test_write(dir, "one", bytes, n);
  must_fail(path, NER_PRECISION_FILE, "layer.1.out.sum holds sums that no weights", NULL, NULL);
  free(bytes);
  test_dir_remove(dir);
}

static void names(void **state) {
  enum ner_precision p;
  enum ner_aggregation a;
  struct ner_err err = {0};
  assert_int_equal(ner_precision_parse("INT8", &p, &err), NER_OK);
  assert_int_equal(p, NER_PRECISION_INT8);
  assert_int_equal(ner_precision_parse("f32", &p, &err), NER_OK);
  assert_int_equal(p, NER_PRECISION_F32);
  assert_int_equal(ner_precision_parse("f16", &p, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "'f16'; there are 'f32' and 'int8'"));
  memset(&err, 0, sizeof err);
  assert_int_equal(ner_aggregation_parse("Average", &a, &err), NER_OK);
  assert_int_equal(a, NER_AGGREGATION_AVERAGE);
  assert_int_equal(ner_aggregation_parse("max", &a, &err), NER_OK);
  assert_int_equal(a, NER_AGGREGATION_MAX);
  assert_int_equal(ner_aggregation_parse("first", &a, &err), NER_OK);
  assert_int_equal(a, NER_AGGREGATION_FIRST);
  assert_int_equal(ner_aggregation_parse("simple", &a, &err), NER_OK);
  assert_int_equal(a, NER_AGGREGATION_SIMPLE);
  assert_int_equal(ner_aggregation_parse("STRICT", &a, &err), NER_OK);
  assert_int_equal(a, NER_AGGREGATION_STRICT);
  assert_int_equal(ner_aggregation_parse("", &a, &err), NER_ERROR);
  assert_int_equal(ner_aggregation_parse("maximum", &a, NULL), NER_ERROR);
  assert_string_equal(ner_architecture_name(NER_BERT), "bert");
  assert_string_equal(ner_architecture_name(NER_DISTILBERT), "distilbert");
}

static void bundled(void **state) {
  struct ner_model *model;
  struct ner_err err = {0};
  if( ner_model_open_bundled(&model, &err) ) fail_msg("%s", err.msg);
  assert_string_equal(model->path, "(bundled)");
  assert_true(model->config.n_labels > 1);
  ner_model_unref(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(distilbert_directory),
      cmocka_unit_test(bert_directory),
      cmocka_unit_test(narrow_weights),
      cmocka_unit_test(int8_directory),
      cmocka_unit_test(one_file),
      cmocka_unit_test(hash_covers_everything),
      cmocka_unit_test(no_layers),
      cmocka_unit_test(precisions_that_cannot_be_had),
      cmocka_unit_test(tokenizer_files),
      cmocka_unit_test(bad_tokenizers),
      cmocka_unit_test(bad_paths),
      cmocka_unit_test(bad_configs),
      cmocka_unit_test(sparse_configs),
      cmocka_unit_test(labels_without_names),
      cmocka_unit_test(bad_weights),
      cmocka_unit_test(version_one),
      cmocka_unit_test(bad_one_files),
      cmocka_unit_test(names),
      cmocka_unit_test(bundled),
  };
  return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
