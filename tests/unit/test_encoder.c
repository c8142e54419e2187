/*
** test_encoder.c - the forward pass against a naive one in double precision, over
** small random models made in memory; and that a text's logits are the same to
** the bit alone, in any company, and with any team.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/encoder.h"

static uint64_t seed;
static uint32_t rnd(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33);
}
static int below(int n) {
  return (int)(rnd() % (uint32_t)n);
}
static float bell(void) {
  float sum = 0;
  for( int i = 0; i < 4; i++ ) sum += (float)below(2000001) / 1e6f - 1;
  return sum * 0.866f; /* variance 1 */
}

/* ---- a random model ---- */

struct dense {
  int n_out, n_in;
  float *w, *b;       /* [n_out, n_in], [n_out] */
  float *dequantised; /* [n_out, n_in] what int8 makes of w */
};

struct toy {
  struct ner_model model;
  struct dense *dense; /* [layers, 4] qkv, out, ffn1, ffn2; then the classifier */
  float *word;         /* [vocab_size, hidden] as the model sees it */
  void *held[256];
  int n_held;
};

static void *hold(struct toy *t, size_t n_bytes) {
  void *p = ner_aligned_alloc(n_bytes + 64, 1);
  assert_non_null(p);
  assert_true(t->n_held < 256);
  memset(p, 0, n_bytes + 64);
  return t->held[t->n_held++] = p;
}

static float *random_floats(struct toy *t, size_t n, float scale, float mean) {
  float *p = hold(t, n * sizeof *p);
  for( size_t i = 0; i < n; i++ ) p[i] = bell() * scale + mean;
  return p;
}

static void dense_init(struct toy *t, struct dense *d, struct ner_linear *lin, int n_out, int n_in,
                       enum ner_precision precision) {
  size_t n = (size_t)n_out * (size_t)n_in, padded = ner_round_up((size_t)n_out, NER_PANEL);
  void *packed = hold(t, ner_packed_bytes(precision, n_out, n_in));
  float *scale = hold(t, padded * 4), *bias = hold(t, padded * 4);
  int32_t *sum = hold(t, padded * 4);
  *d = (struct dense){.n_out = n_out, .n_in = n_in};
  d->w = random_floats(t, n, 1 / sqrtf((float)n_in), 0);
  d->b = random_floats(t, (size_t)n_out, 0.3f, 0);
  d->dequantised = hold(t, n * 4);
  memcpy(bias, d->b, (size_t)n_out * 4);
  *lin = (struct ner_linear){.n_out = n_out,
                             .n_in = n_in,
                             .precision = precision,
                             .packed = packed,
                             .scale = scale,
                             .sum = sum,
                             .bias = bias};
  if( precision == NER_PRECISION_F32 ) {
    ner_pack_f32(d->w, n_out, n_in, packed);
    memcpy(d->dequantised, d->w, n * 4);
    return;
  }
  ner_pack_i8(d->w, n_out, n_in, packed, scale, sum);
  for( int i = 0; i < n_out; i++ )
    for( int k = 0; k < n_in; k++ ) {
      size_t at = (size_t)i * (size_t)n_in + (size_t)k;
      size_t panel = (size_t)i / 16 * ner_round_up((size_t)n_in, 4) * 16;
      const int8_t *q = (const int8_t *)packed + panel + (size_t)(k / 4 * 64 + i % 16 * 4 + k % 4);
      d->dequantised[at] = scale[i] * *q;
    }
}

static struct toy *toy_new(struct ner_config c, enum ner_precision precision,
                           enum ner_dtype word_dtype) {
  struct toy *t = calloc(1, sizeof *t);
  struct ner_weights *w;
  size_t hidden = (size_t)c.hidden, n_word = (size_t)c.vocab_size * hidden;
  assert_non_null(t);
  c.norm_eps = 1e-12f;
  t->model.config = c;
  t->model.precision = precision;
  w = &t->model.weights;
  t->word = random_floats(t, n_word, 0.5f, 0);
  w->word = (struct ner_embedding){.dtype = word_dtype, .rows = c.vocab_size, .width = c.hidden};
  if( word_dtype == NER_DTYPE_I8 ) {
    int8_t *q = hold(t, n_word);
    float *scale = hold(t, (size_t)c.vocab_size * 4);
    for( size_t i = 0; i < n_word; i++ ) {
      scale[i / hidden] = 0.01f + (float)(i / hidden % 7) * 1e-3f;
      q[i] = (int8_t)(below(255) - 127);
      t->word[i] = scale[i / hidden] * q[i];
    }
    w->word.data = (unsigned char *)q;
    w->word.scale = scale;
  } else { /* at an odd address, as a file may have it */
    unsigned char *data = hold(t, n_word * 4 + 1);
    memcpy(data + 1, t->word, n_word * 4);
    w->word.data = data + 1;
  }
  w->position = random_floats(t, (size_t)c.max_positions * hidden, 0.5f, 0);
  w->norm_gain = random_floats(t, hidden, 0.2f, 1);
  w->norm_bias = random_floats(t, hidden, 0.2f, 0);
  w->layer = hold(t, (size_t)c.layers * sizeof *w->layer);
  t->dense = hold(t, ((size_t)c.layers * 4 + 1) * sizeof *t->dense);
  for( int i = 0; i < c.layers; i++ ) {
    struct ner_layer *l = &w->layer[i];
    struct dense *d = &t->dense[4 * i];
    dense_init(t, &d[0], &l->qkv, 3 * c.hidden, c.hidden, precision);
    dense_init(t, &d[1], &l->out, c.hidden, c.hidden, precision);
    dense_init(t, &d[2], &l->ffn1, c.ffn, c.hidden, precision);
    dense_init(t, &d[3], &l->ffn2, c.hidden, c.ffn, precision);
    l->attn_norm_gain = random_floats(t, hidden, 0.2f, 1);
    l->attn_norm_bias = random_floats(t, hidden, 0.2f, 0);
    l->ffn_norm_gain = random_floats(t, hidden, 0.2f, 1);
    l->ffn_norm_bias = random_floats(t, hidden, 0.2f, 0);
  }
  dense_init(t, &t->dense[4 * c.layers], &w->classifier, c.n_labels, c.hidden, NER_PRECISION_F32);
  return t;
}

static void toy_free(struct toy *t) {
  ner_session_forget_model(&t->model);
  while( t->n_held > 0 ) ner_aligned_free(t->held[--t->n_held]);
  free(t);
}

/* ---- the same, naively, in double ---- */

static double *doubles(int rows, int columns) {
  double *p = calloc((size_t)rows * (size_t)columns, sizeof *p);
  assert_non_null(p);
  return p;
}

/* y [n, n_out] = x [n, n_in]·wᵀ + b, x rounded to 8 bits, row by row, where the model does that. */
static double *naive_linear(const struct dense *d, bool int8, const double *x, int n) {
  double *y = doubles(n, d->n_out), *row = doubles(1, d->n_in);
  for( int t = 0; t < n; t++ ) {
    double low = 0, high = 0, step, zero;
    for( int k = 0; k < d->n_in; k++ ) {
      low = fmin(low, x[t * d->n_in + k]);
      high = fmax(high, x[t * d->n_in + k]);
    }
    step = (high - low) / 255;
    zero = step > 0 ? rint(-low / step) : 0;
    for( int k = 0; k < d->n_in; k++ ) {
      row[k] = x[t * d->n_in + k];
      if( int8 && step > 0 )
        row[k] = fmin(fmax(rint(row[k] / step), -zero), 255 - zero) * step;
    }
    for( int j = 0; j < d->n_out; j++ ) {
      double sum = d->b[j];
      for( int k = 0; k < d->n_in; k++ ) sum += row[k] * d->dequantised[j * d->n_in + k];
      y[t * d->n_out + j] = sum;
    }
  }
  free(row);
  return y;
}

static void naive_norm(double *x, const double *add, int n, int width, const float *gain,
                       const float *bias, double eps) {
  for( int t = 0; t < n; t++ ) {
    double *row = x + t * width, mean = 0, var = 0;
    for( int k = 0; k < width; k++ ) mean += row[k] += add ? add[t * width + k] : 0;
    mean /= width;
    for( int k = 0; k < width; k++ ) var += (row[k] - mean) * (row[k] - mean);
    for( int k = 0; k < width; k++ )
      row[k] = (row[k] - mean) / sqrt(var / width + eps) * gain[k] + bias[k];
  }
}

/* Columns [0, width) of x [n, ld] as whole steps, of which the greatest has `limit`. */
static void naive_round(double *x, int n, int width, int ld, int limit) {
  double top = 0;
  for( int i = 0; i < n; i++ )
    for( int k = 0; k < width; k++ ) top = fmax(top, fabs(x[i * ld + k]));
  for( int i = 0; i < n; i++ )
    for( int k = 0; k < width; k++ )
      if( top > 0 ) x[i * ld + k] = rint(x[i * ld + k] * limit / top) * top / limit;
}

/* context [n, d] of one head; qkv [n, 3·d] from its column of q on. int8: q, k, v and what softmax gives are
** rounded to 16 bits, as the model does. */
static void naive_attention(bool int8, double *qkv, int n, int d, int head, double *context) {
  double *score = doubles(1, n), *q = qkv, *k = qkv + d, *v = qkv + 2 * d;
  if( int8 ) {
    naive_round(q, n, head, 3 * d, ner_i16_limit(head));
    naive_round(k, n, head, 3 * d, ner_i16_limit(head));
    naive_round(v, n, head, 3 * d, ner_i16_value_limit(n));
  }
  for( int i = 0; i < n; i++ ) {
    double top = -INFINITY, total = 0, factor;
    for( int j = 0; j < n; j++ ) {
      score[j] = 0;
      for( int c = 0; c < head; c++ ) score[j] += q[i * 3 * d + c] * k[j * 3 * d + c];
      top = fmax(top, score[j]);
    }
    for( int j = 0; j < n; j++ ) total += score[j] = exp(score[j] - top);
    factor = fmin(NER_I16_MAX, NER_I16_TOTAL / total);
    for( int j = 0; j < n; j++ ) {
      if( int8 ) score[j] = rint(score[j] * factor) / factor;
      for( int c = 0; c < head; c++ ) context[i * d + c] += score[j] / total * v[j * 3 * d + c];
    }
  }
  free(score);
}

/* Logits [n, n_labels] of one text. */
static double *naive_encode(const struct toy *t, const int32_t *ids, int n) {
  const struct ner_config *c = &t->model.config;
  const struct ner_weights *w = &t->model.weights;
  const int d = c->hidden, head = d / c->heads;
  const bool int8 = t->model.precision == NER_PRECISION_INT8;
  double *h = doubles(n, d), *logits;
  for( int i = 0; i < n; i++ )
    for( int k = 0; k < d; k++ )
      h[i * d + k] = (double)t->word[ids[i] * d + k] + w->position[i * d + k];
  naive_norm(h, NULL, n, d, w->norm_gain, w->norm_bias, c->norm_eps);
  for( int l = 0; l < c->layers; l++ ) {
    const struct dense *dense = &t->dense[4 * l];
    const struct ner_layer *layer = &w->layer[l];
    double *qkv = naive_linear(&dense[0], int8, h, n), *context = doubles(n, d), *a, *f, *o;
    for( int hd = 0; hd < c->heads; hd++ )
      naive_attention(int8, qkv + hd * head, n, d, head, context + hd * head);
    a = naive_linear(&dense[1], int8, context, n);
    naive_norm(a, h, n, d, layer->attn_norm_gain, layer->attn_norm_bias, c->norm_eps);
    f = naive_linear(&dense[2], int8, a, n);
    for( int i = 0; i < n * c->ffn; i++ ) f[i] = f[i] * (1 + erf(f[i] / sqrt(2))) / 2;
    o = naive_linear(&dense[3], int8, f, n);
    naive_norm(o, a, n, d, layer->ffn_norm_gain, layer->ffn_norm_bias, c->norm_eps);
    memcpy(h, o, (size_t)n * (size_t)d * sizeof *h);
    free(qkv), free(context), free(a), free(f), free(o);
  }
  logits = naive_linear(&t->dense[4 * c->layers], false, h, n);
  free(h);
  return logits;
}

/* ---- batches ---- */

enum { MAX_SEQ = 40 };

struct batch {
  int32_t ids[NER_BATCH_TOK], seq_begin[MAX_SEQ + 1];
  int n_seq;
};

static void batch_fill(struct batch *b, const struct ner_config *c, const int *lengths) {
  b->n_seq = 0;
  b->seq_begin[0] = 0;
  for( int i = 0; lengths[i]; i++ ) {
    int begin = b->seq_begin[b->n_seq];
    for( int k = 0; k < lengths[i]; k++ ) b->ids[begin + k] = below(c->vocab_size);
    b->seq_begin[++b->n_seq] = begin + lengths[i];
  }
}

struct team_run {
  struct ner_session *session;
  const struct batch *batch;
  float *logits;
  struct ner_team *team;
  int rank;
};

static void *member(void *arg) {
  struct team_run *r = arg;
  ner_encode(r->session, r->batch->ids, r->batch->seq_begin, r->batch->n_seq, r->logits, r->team,
             r->rank, NULL);
  return NULL;
}

/* size 1: alone, without a team. */
static float *encode(struct toy *t, const struct batch *b, int size) {
  struct ner_err err = {0};
  struct ner_session *session = NULL;
  int n_tok = b->seq_begin[b->n_seq];
  float *logits = calloc((size_t)n_tok * (size_t)t->model.config.n_labels + 1, sizeof *logits);
  struct ner_team team = {.size = size};
  struct team_run run[8];
  pthread_t thread[8];
  assert_non_null(logits);
  if( ner_session_acquire(&t->model, &session, &err) != NER_OK ) fail_msg("%s", err.msg);
  assert_true(n_tok <= ner_session_capacity_tok(session));
  for( int i = 0; i < size; i++ )
    run[i] = (struct team_run){session, b, logits, size > 1 ? &team : NULL, i};
  for( int i = 1; i < size; i++ )
    assert_int_equal(pthread_create(&thread[i], NULL, member, &run[i]), 0);
  member(&run[0]);
  for( int i = 1; i < size; i++ ) pthread_join(thread[i], NULL);
  ner_session_release(session);
  return logits;
}

/* ---- tests ---- */

static const struct ner_config configs[] = {
    {.layers = 2,
     .hidden = 48,
     .heads = 3,
     .ffn = 100,
     .vocab_size = 60,
     .max_positions = 90,
     .max_tokens = 90,
     .n_labels = 9},
    {.layers = 1,
     .hidden = 20,
     .heads = 4,
     .ffn = 37,
     .vocab_size = 30,
     .max_positions = 100,
     .max_tokens = 90,
     .n_labels = 17}, /* nothing is a multiple of anything */
    {.layers = 2,
     .hidden = 64,
     .heads = 1,
     .ffn = 208,
     .vocab_size = 60,
     .max_positions = 90,
     .max_tokens = 90,
     .n_labels = 2},
};
static const int mixed[] = {2, 17, 5, 80, 1, 33, 3, 64, 12, 0}; /* 217 tokens, several blocks */

static void set_level(const char *name) {
  if( name )
    setenv("NER_CPU", name, 1);
  else
    unsetenv("NER_CPU");
}

/* f32: 1e-4 to the naive pass. int8: the same to a naive pass that rounds alike, but not for all
** texts: now and then a value falls between two steps and the two part ways, after which they
** differ as much as rounding makes any two passes differ. Short texts mostly escape that. */
static void test_against_naive(void **state) {
  (void)state;
  for( size_t i = 0; i < 2 * sizeof configs / sizeof *configs; i++ ) {
    const bool int8 = i % 2;
    const int width = configs[i / 2].n_labels;
    struct toy *t;
    struct batch b;
    double *want[MAX_SEQ]; /* of each text */
    seed = 10 + i / 2;
    t = toy_new(configs[i / 2], int8 ? NER_PRECISION_INT8 : NER_PRECISION_F32,
                i / 2 == 1 ? NER_DTYPE_I8 : NER_DTYPE_F32);
    batch_fill(&b, &t->model.config, mixed);
    for( int s = 0; s < b.n_seq; s++ )
      want[s] = naive_encode(t, b.ids + b.seq_begin[s], b.seq_begin[s + 1] - b.seq_begin[s]);
    for( int level = 0; ner_kernels_name(level); level++ ) {
      double worst = 0;
      int n_close = 0;
      float *logits;
      if( !ner_kernels_level(ner_kernels_name(level)) ) continue;
      set_level(ner_kernels_name(level));
      logits = encode(t, &b, 1);
      for( int s = 0; s < b.n_seq; s++ ) {
        int begin = b.seq_begin[s], n = b.seq_begin[s + 1] - begin;
        double off = 0;
        for( int k = 0; k < n * width; k++ )
          off = fmax(off, fabs(want[s][k] - (double)logits[begin * width + k]));
        n_close += off < 1e-4;
        worst = fmax(worst, off);
      }
      free(logits);
      printf("# model %d %s %s: off by at most %.2g, %d of %d texts within 1e-4\n", (int)(i / 2),
             int8 ? "int8" : "f32", ner_kernels_name(level), worst, n_close, b.n_seq);
      assert_true(n_close >= (int8 ? 3 : b.n_seq));
      assert_true(worst < 0.2);     /* logits reach 3 */
      ner_session_forget_model(&t->model); /* the next one picks its kernels anew */
    }
    for( int s = 0; s < b.n_seq; s++ ) free(want[s]);
    toy_free(t);
  }
  set_level(NULL);
}

static void test_int8_near_f32(void **state) {
  struct batch b;
  struct toy *f, *q;
  float *logits;
  double square = 0, total = 0;
  (void)state;
  seed = 20;
  f = toy_new(configs[2], NER_PRECISION_F32, NER_DTYPE_F32);
  seed = 20; /* the same weights */
  q = toy_new(configs[2], NER_PRECISION_INT8, NER_DTYPE_F32);
  batch_fill(&b, &f->model.config, mixed);
  logits = encode(q, &b, 1);
  for( int s = 0; s < b.n_seq; s++ ) {
    int begin = b.seq_begin[s], n = b.seq_begin[s + 1] - begin, width = configs[2].n_labels;
    double *want = naive_encode(f, b.ids + begin, n);
    for( int k = 0; k < n * width; k++ ) {
      square += pow(want[k] - (double)logits[begin * width + k], 2);
      total += want[k] * want[k];
    }
    free(want);
  }
  printf("# int8 against f32: root mean square error %.2g of the logits' own\n",
         sqrt(square / total));
  assert_true(square > 0);
  assert_true(sqrt(square / total) < 0.06);
  free(logits);
  toy_free(f);
  toy_free(q);
}

/* To the bit: each text alone, batches cut and shuffled otherwise, teams of 2, 3 and 5. */
static void test_same_anywhere(void **state) {
  (void)state;
  for( size_t i = 0; i < 2 * sizeof configs / sizeof *configs; i++ ) {
    const int width = configs[i / 2].n_labels;
    struct toy *t;
    struct batch b;
    seed = 30 + i;
    t = toy_new(configs[i / 2], i % 2 ? NER_PRECISION_INT8 : NER_PRECISION_F32, NER_DTYPE_F32);
    batch_fill(&b, &t->model.config, mixed);
    for( int level = 0; ner_kernels_name(level); level++ ) {
      static const int sizes[] = {2, 3, 5};
      size_t n_bytes = (size_t)b.seq_begin[b.n_seq] * (size_t)width * sizeof(float);
      float *all;
      if( !ner_kernels_level(ner_kernels_name(level)) ) continue;
      set_level(ner_kernels_name(level));
      all = encode(t, &b, 1);
      for( size_t k = 0; k < sizeof sizes / sizeof *sizes; k++ ) {
        float *team = encode(t, &b, sizes[k]);
        if( memcmp(team, all, n_bytes) != 0 )
          fail_msg("%s: a team of %d differs", ner_kernels_name(level), sizes[k]);
        free(team);
      }
      for( int s = 0; s < b.n_seq; s++ ) {
        int begin = b.seq_begin[s], n = b.seq_begin[s + 1] - begin;
        struct batch one = {.n_seq = 1};
        float *alone;
        one.seq_begin[1] = n;
        memcpy(one.ids, b.ids + begin, (size_t)n * sizeof *one.ids);
        alone = encode(t, &one, 1 + s % 2);
        if( memcmp(alone, all + begin * width, (size_t)(n * width) * sizeof *all) != 0 )
          fail_msg("%s: text %d differs alone", ner_kernels_name(level), s);
        free(alone);
      }
      free(all);
      ner_session_forget_model(&t->model);
    }
    toy_free(t);
  }
  set_level(NULL);
}

static void test_sessions(void **state) {
  struct ner_err err = {0};
  struct ner_session *a, *b, *again;
  struct toy *t;
  (void)state;
  seed = 40;
  t = toy_new(configs[0], NER_PRECISION_F32, NER_DTYPE_F32);
  assert_int_equal(ner_session_acquire(&t->model, &a, &err), NER_OK);
  assert_int_equal(ner_session_acquire(&t->model, &b, &err), NER_OK);
  assert_true(a != b);
  assert_int_equal(ner_session_capacity_tok(a), NER_BATCH_TOK);
  ner_session_release(a);
  assert_int_equal(ner_session_acquire(&t->model, &again, &err), NER_OK);
  assert_ptr_equal(a, again);
  ner_session_release(again);
  ner_session_release(b);
  ner_session_release(NULL);
  ner_session_forget_model(&t->model);
  set_level("none");
  assert_int_equal(ner_session_acquire(&t->model, &a, &err), NER_ERROR);
  assert_null(a);
  assert_non_null(strstr(err.msg, "NER_CPU"));
  set_level(NULL);
  toy_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_naive),
      cmocka_unit_test(test_int8_near_f32),
      cmocka_unit_test(test_same_anywhere),
      cmocka_unit_test(test_sessions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
