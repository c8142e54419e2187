/*
** support.h - what several unit tests need: folders that go away again, and tiny
** Hugging Face models with random weights.
**
**     char dir[TEST_PATH];
**     struct tiny tiny = tiny_distilbert();
**     test_dir_make(dir);
**     tiny_write(dir, &tiny);
**     ... ner_model_open(dir, ...)
**     test_dir_remove(dir);
**
** Include after cmocka.h. All is static, so that a test is one file.
*/
#ifndef NER_TEST_SUPPORT_H
#define NER_TEST_SUPPORT_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "model/safetensors.h"

#define TEST_PATH   512
#define TEST_UNUSED __attribute__((unused)) static

/* ---- sanitizers ---- */

/* How many times longer a model computes, at the least: 5 to 15 under AddressSanitizer and 20 to 50
** under ThreadSanitizer, by the processor. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SLOWDOWN 5
#elif defined(__SANITIZE_THREAD__)
#define TEST_SLOWDOWN 20
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SLOWDOWN 5
#elif __has_feature(thread_sanitizer)
#define TEST_SLOWDOWN 20
#endif
#endif
#ifndef TEST_SLOWDOWN
#define TEST_SLOWDOWN 1
#endif

/* The size of what must keep a model busy for a while: n in the plain build. */
#define TEST_LASTING(n) ((n) / TEST_SLOWDOWN)

/* How many of a kind to try, and the step of a sweep: all n and each one, but `fewer` and each k-th
** under a sanitizer, which looks for errors of memory and threads that a varied few of them show.
** What takes all of them to show is the plain build's to find. */
#define TEST_UP_TO(n, fewer) (TEST_SLOWDOWN > 1 ? (fewer) : (n))
#define TEST_EACH(k)         (TEST_SLOWDOWN > 1 ? (k) : 1)

/* ---- files ---- */

TEST_UNUSED void test_dir_make(char *dir) {
  const char *tmp = getenv("TMPDIR");
  snprintf(dir, TEST_PATH, "%s/ner-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  assert_non_null(mkdtemp(dir));
}

TEST_UNUSED void test_dir_remove(const char *dir) {
  DIR *d = opendir(dir);
  struct dirent *entry;
  assert_non_null(d);
  while( (entry = readdir(d)) != NULL ) {
    char path[TEST_PATH + 300];
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    if( entry->d_name[0] != '.' ) remove(path);
  }
  closedir(d);
  assert_int_equal(rmdir(dir), 0);
}

TEST_UNUSED char *test_path(char *out, const char *dir, const char *name) {
  snprintf(out, TEST_PATH, "%.255s/%.255s", dir, name);
  return out;
}

TEST_UNUSED void test_write(const char *dir, const char *name, const void *bytes, size_t n) {
  char path[TEST_PATH];
  FILE *f = fopen(test_path(path, dir, name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

TEST_UNUSED void test_write_text(const char *dir, const char *name, const char *text) {
  test_write(dir, name, text, strlen(text));
}

/* The file's bytes, to be freed, with a NUL behind them. */
TEST_UNUSED char *test_read(const char *dir, const char *name, size_t *n) {
  char path[TEST_PATH], *bytes;
  FILE *f = fopen(test_path(path, dir, name), "rb");
  long size;
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  size = ftell(f);
  rewind(f);
  bytes = calloc(1, (size_t)size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, (size_t)size, f), size);
  fclose(f);
  *n = (size_t)size;
  return bytes;
}

TEST_UNUSED void test_remove(const char *dir, const char *name) {
  char path[TEST_PATH];
  assert_int_equal(remove(test_path(path, dir, name)), 0);
}

/* Replaces the first `from` in a text file by `to`. */
TEST_UNUSED void test_edit(const char *dir, const char *name, const char *from, const char *to) {
  size_t n, at;
  char *text = test_read(dir, name, &n), *hit = strstr(text, from);
  char *edited = malloc(n + strlen(to) + 1);
  assert_non_null(hit);
  assert_non_null(edited);
  at = (size_t)(hit - text);
  memcpy(edited, text, at);
  strcpy(edited + at, to);
  strcat(edited, hit + strlen(from));
  test_write_text(dir, name, edited);
  free(edited);
  free(text);
}

/* ---- tiny models ---- */

struct tiny {
  bool bert;
  int layers, hidden, heads, ffn, positions;
  enum ner_dtype dtype;  /* F32, F16, BF16 or F64 */
  bool old_names;        /* LayerNorm.gamma and .beta */
  const char *id2label;  /* JSON; NULL: none */
  int n_labels;          /* rows of the classifier */
  const char *tokenizer; /* tokenizer_config.json; NULL: no such file */
};

TEST_UNUSED struct tiny tiny_distilbert(void) {
  struct tiny t = {.layers = 2,
                   .hidden = 12,
                   .heads = 3,
                   .ffn = 20,
                   .positions = 16,
                   .dtype = NER_DTYPE_F32,
                   .id2label = "{\"2\":\"I-PER\",\"0\":\"O\",\"1\":\"B-PER\"}",
                   .n_labels = 3,
                   .tokenizer = "{\"do_lower_case\":false,\"model_max_length\":512}"};
  return t;
}

TEST_UNUSED struct tiny tiny_bert(void) {
  struct tiny t = tiny_distilbert();
  t.bert = true;
  t.tokenizer = "{\"do_lower_case\":true,\"max_len\":10}";
  return t;
}

static const char *const tiny_vocab[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",  "anna",
                                         "Anna",  "lives", "in",    "Rome",  "##e",     ".",
                                         "a",     "b",     "##a",   "##b",   "\xc3\xa9"};
#define TINY_VOCAB ((int)(sizeof tiny_vocab / sizeof tiny_vocab[0]))

/* The same vocabulary as a tokenizer.json, with rules of its own. */
TEST_UNUSED const char tiny_tokenizer_json[] =
    "{\"added_tokens\":[],\"truncation\":{\"x\":1},\"normalizer\":{\"type\":\"BertNormalizer\","
    "\"clean_text\":false,\"handle_chinese_chars\":false,\"strip_accents\":true,"
    "\"lowercase\":false},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##"
    "\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"\\u00e9\":16,\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":"
    "2,"
    "\"[SEP]\":3,\"[MASK]\":4,\"anna\":5,\"Anna\":6,\"lives\":7,\"in\":8,\"Rome\":9,\"##e\":10,"
    "\".\":11,\"a\":12,\"b\":13,\"##a\":14,\"##b\":15}}}";

/* Tensors being collected. */
struct tiny_weights {
  const struct tiny *tiny;
  struct ner_tensor tensor[64];
  char name[64][96];
  size_t n;
  uint32_t seed;
};

/* A value in (-0.5, 0.5) that F32, F16 and BF16 all hold exactly: k/128. */
static float tiny_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return (float)((int)(*seed >> 24) % 128 - 64) / 128.0f;
}

static void tiny_store(float value, enum ner_dtype dtype, unsigned char *out) {
  uint32_t bits;
  uint16_t half;
  double wide = value;
  memcpy(&bits, &value, 4);
  if( dtype == NER_DTYPE_F64 )
    memcpy(out, &wide, 8);
  else if( dtype == NER_DTYPE_F32 )
    memcpy(out, &bits, 4);
  else {
    if( dtype == NER_DTYPE_BF16 )
      half = (uint16_t)(bits >> 16);
    else if( value == 0 )
      half = 0;
    else
      half = (uint16_t)((bits >> 16 & 0x8000) | (((bits >> 23 & 255) - 112) << 10) |
                        (bits >> 13 & 0x3ff));
    memcpy(out, &half, 2);
  }
}

static void tiny_add(struct tiny_weights *w, int rows, int cols, const char *prefix,
                     const char *name) {
  struct ner_tensor *t = &w->tensor[w->n];
  uint64_t n = (uint64_t)rows * (cols ? (uint64_t)cols : 1);
  unsigned char *data = malloc(n * 8);
  assert_non_null(data);
  assert_true(w->n < 64);
  snprintf(w->name[w->n], sizeof w->name[0], "%s%s", prefix, name);
  t->name = w->name[w->n++];
  t->dtype = w->tiny->dtype;
  t->rank = cols ? 2 : 1;
  t->shape[0] = (uint64_t)rows;
  t->shape[1] = (uint64_t)cols;
  t->n_bytes = n * ner_dtype_bytes(t->dtype);
  t->data = data;
  for( uint64_t i = 0; i < n; i++ )
    tiny_store(tiny_random(&w->seed), t->dtype, data + i * ner_dtype_bytes(t->dtype));
}

static void tiny_linear(struct tiny_weights *w, const char *prefix, const char *name, int rows,
                        int cols) {
  char full[96];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  tiny_add(w, rows, cols, full, ".weight");
  tiny_add(w, rows, 0, full, ".bias");
}

static void tiny_norm(struct tiny_weights *w, const char *prefix, const char *name) {
  bool old = w->tiny->old_names && strstr(name, "LayerNorm");
  char full[96];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  tiny_add(w, w->tiny->hidden, 0, full, old ? ".gamma" : ".weight");
  tiny_add(w, w->tiny->hidden, 0, full, old ? ".beta" : ".bias");
}

static void tiny_layer(struct tiny_weights *w, int i) {
  static const char *const distil[] = {"attention.q_lin",   "attention.k_lin",  "attention.v_lin",
                                       "attention.out_lin", "sa_layer_norm",    "ffn.lin1",
                                       "ffn.lin2",          "output_layer_norm"};
  static const char *const bert[] = {"attention.self.query",
                                     "attention.self.key",
                                     "attention.self.value",
                                     "attention.output.dense",
                                     "attention.output.LayerNorm",
                                     "intermediate.dense",
                                     "output.dense",
                                     "output.LayerNorm"};
  const char *const *names = w->tiny->bert ? bert : distil;
  int hidden = w->tiny->hidden, ffn = w->tiny->ffn;
  char p[64];
  snprintf(p, sizeof p,
           w->tiny->bert ? "bert.encoder.layer.%d." : "distilbert.transformer.layer.%d.", i);
  for( int k = 0; k < 4; k++ ) tiny_linear(w, p, names[k], hidden, hidden);
  tiny_norm(w, p, names[4]);
  tiny_linear(w, p, names[5], ffn, hidden);
  tiny_linear(w, p, names[6], hidden, ffn);
  tiny_norm(w, p, names[7]);
}

TEST_UNUSED void tiny_write_weights(const char *dir, const struct tiny *tiny) {
  struct tiny_weights *w = calloc(1, sizeof *w);
  struct ner_err err = {0};
  const char *p = tiny->bert ? "bert.embeddings." : "distilbert.embeddings.";
  const char *const metadata[] = {"format", "pt", NULL};
  char path[TEST_PATH];
  assert_non_null(w);
  w->tiny = tiny;
  w->seed = 1;
  tiny_add(w, TINY_VOCAB, tiny->hidden, p, "word_embeddings.weight");
  tiny_add(w, tiny->positions, tiny->hidden, p, "position_embeddings.weight");
  if( tiny->bert ) {
    tiny_add(w, 2, tiny->hidden, p, "token_type_embeddings.weight");
    tiny_linear(w, "bert.pooler", ".dense", tiny->hidden, tiny->hidden); /* to be ignored */
  }
  tiny_norm(w, p, "LayerNorm");
  for( int i = 0; i < tiny->layers; i++ ) tiny_layer(w, i);
  tiny_linear(w, "", "classifier", tiny->n_labels, tiny->hidden);
  if( ner_safetensors_write(test_path(path, dir, "model.safetensors"), w->tensor, w->n, metadata,
                            NULL, &err) )
    fail_msg("%s", err.msg);
  for( size_t i = 0; i < w->n; i++ ) free((void *)w->tensor[i].data);
  free(w);
}

TEST_UNUSED void tiny_write_config(const char *dir, const struct tiny *t) {
  char text[2048];
  int n = snprintf(
      text, sizeof text,
      t->bert ? "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],"
                "\"hidden_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,"
                "\"intermediate_size\":%d,\"max_position_embeddings\":%d,\"vocab_size\":%d,"
                "\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\"hidden_act\":\"gelu\""
              : "{\"model_type\":\"distilbert\","
                "\"architectures\":[\"DistilBertForTokenClassification\"],"
                "\"dim\":%d,\"n_layers\":%d,\"n_heads\":%d,\"hidden_dim\":%d,"
                "\"max_position_embeddings\":%d,\"vocab_size\":%d,\"activation\":\"gelu\"",
      t->hidden, t->layers, t->heads, t->ffn, t->positions, TINY_VOCAB);
  if( t->id2label )
    n += snprintf(text + n, sizeof text - (size_t)n, ",\"id2label\":%s", t->id2label);
  snprintf(text + n, sizeof text - (size_t)n, "}");
  test_write_text(dir, "config.json", text);
}

TEST_UNUSED void tiny_write_vocab(const char *dir) {
  char text[1024] = "";
  for( int i = 0; i < TINY_VOCAB; i++ ) {
    strcat(text, tiny_vocab[i]);
    strcat(text, "\n");
  }
  test_write_text(dir, "vocab.txt", text);
}

TEST_UNUSED void tiny_write(const char *dir, const struct tiny *tiny) {
  tiny_write_config(dir, tiny);
  if( tiny->tokenizer ) test_write_text(dir, "tokenizer_config.json", tiny->tokenizer);
  tiny_write_vocab(dir);
  tiny_write_weights(dir, tiny);
}

/* Tensors i of the directory's file with i % n == part, as a file of its own. */
static void tiny_write_shard(const char *dir, const char *name, const struct ner_safetensors *file,
                        size_t part, size_t n) {
  struct ner_tensor tensor[64];
  struct ner_err err = {0};
  size_t n_tensors = 0;
  char path[TEST_PATH];
  for( size_t i = part; i < ner_safetensors_count(file); i += n ) {
    assert_true(n_tensors < 64);
    tensor[n_tensors++] = *ner_safetensors_at(file, i);
  }
  if( ner_safetensors_write(test_path(path, dir, name), tensor, n_tensors, NULL, NULL, &err) )
    fail_msg("%s", err.msg);
}

/* Cuts the weights of a tiny directory into shards a.safetensors and b.safetensors with an index,
** whose text is returned, for free(). */
TEST_UNUSED char *tiny_shard(const char *dir) {
  size_t n, n_text = 0, cap = 8192;
  char *bytes = test_read(dir, "model.safetensors", &n), *text = malloc(cap);
  struct ner_safetensors *file;
  struct ner_err err = {0};
  assert_non_null(text);
  assert_int_equal(ner_safetensors_open_bytes((unsigned char *)bytes, n, "x", &file, &err), 0);
  tiny_write_shard(dir, "a.safetensors", file, 0, 2);
  tiny_write_shard(dir, "b.safetensors", file, 1, 2);
  n_text += (size_t)snprintf(text, cap, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
  for( size_t i = 0; i < ner_safetensors_count(file); i++ )
    n_text += (size_t)snprintf(text + n_text, cap - n_text, "%s\"%s\":\"%c.safetensors\"",
                               i ? "," : "", ner_safetensors_at(file, i)->name, i % 2 ? 'b' : 'a');
  snprintf(text + n_text, cap - n_text, "}}");
  ner_safetensors_close(file);
  free(bytes);
  test_remove(dir, "model.safetensors");
  test_write_text(dir, "model.safetensors.index.json", text);
  return text;
}

#endif
