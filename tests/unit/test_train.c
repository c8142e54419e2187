/*
** test_train.c - the backward pass and the optimizer, against PyTorch (tests/golden/train, made by
** tests/golden/train.py), against finite differences, and against themselves with other numbers of
** threads.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/open.h"
#include "model/dense.h"
#include "train/network_tape.h"
#include "train/optimizer.h"

static const char *const models[] = {"distil-cased", "distil-odd", "bert-uncased"};
enum { N_MODELS = sizeof models / sizeof *models };

/* ---- a model, its golden file, a network ---- */

struct fixture {
  struct ner_model *model;
  struct ner_safetensors *golden;
  struct ner_network *net;
  struct ner_optimizer *optimizer;
  const int32_t *seq_begin, *batch_begin;
  int32_t *word, *target;
  int32_t n_batches, n_tok;
  int32_t *begin; /* of one batch, counted from its first token */
};

static const struct ner_tensor *golden(struct fixture *f, const char *name) {
  struct ner_err err = {0};
  const struct ner_tensor *t = ner_safetensors_find(f->golden, name);
  if( !t ) fail_msg("no tensor %s", name);
  assert_int_equal(ner_safetensors_read(f->golden, t, &err), NER_OK);
  return t;
}

static struct fixture open_fixture(const char *name, int32_t freeze) {
  struct fixture f = {0};
  struct ner_params_config config = {.freeze = freeze};
  struct ner_err err = {0};
  char path[200];
  int32_t *row;
  snprintf(path, sizeof path, "tests/golden/models/%s", name);
  assert_int_equal(ner_model_open(path, NER_PRECISION_F32, &f.model, &err), NER_OK);
  snprintf(path, sizeof path, "tests/golden/train/%s.safetensors", name);
  assert_int_equal(ner_safetensors_open(path, &f.golden, &err), NER_OK);
  f.seq_begin = (const int32_t *)(const void *)golden(&f, "seq_begin")->data;
  f.batch_begin = (const int32_t *)(const void *)golden(&f, "batch_begin")->data;
  f.n_batches = (int32_t)golden(&f, "batch_begin")->shape[0] - 1;
  f.n_tok = (int32_t)golden(&f, "ids")->shape[0];
  f.word = malloc((size_t)f.n_tok * sizeof *f.word);
  f.target = malloc((size_t)f.n_tok * sizeof *f.target);
  f.begin = malloc((size_t)f.n_tok * sizeof *f.begin);
  assert_true(f.word && f.target && f.begin);
  memcpy(f.word, golden(&f, "ids")->data, (size_t)f.n_tok * sizeof *f.word);
  memcpy(f.target, golden(&f, "targets")->data, (size_t)f.n_tok * sizeof *f.target);
  for( int32_t i = 0; i < f.n_tok; i++ )
    if( f.target[i] < 0 ) f.target[i] = -1;
  config.model = f.model->config;
  config.n_words = f.model->config.vocab_size;
  assert_int_equal(ner_network_new(&config, 256, &f.net, &err), NER_OK);
  row = malloc((size_t)config.n_words * sizeof *row);
  for( int32_t i = 0; i < config.n_words; i++ ) row[i] = i;
  assert_true(ner_params_load(f.model, &config, &f.net->layout, row, f.net->value, NULL));
  ner_linear_widen(&f.model->weights.classifier, f.net->value + f.net->layout.classifier.weight);
  memcpy(f.net->value + f.net->layout.classifier.bias, f.model->weights.classifier.bias,
         (size_t)config.model.n_labels * sizeof(float));
  free(row);
  assert_int_equal(ner_network_pack(f.net, NULL, &err), NER_OK);
  assert_int_equal(ner_optimizer_new(f.net, &f.optimizer, &err), NER_OK);
  return f;
}

static void close_fixture(struct fixture *f) {
  ner_optimizer_free(f->optimizer);
  ner_network_free(f->net);
  ner_safetensors_close(f->golden);
  ner_model_unref(f->model);
  free(f->word);
  free(f->target);
  free(f->begin);
}

static struct ner_train_batch batch_of(const struct fixture *f, int32_t i) {
  int32_t first = f->batch_begin[i], n = f->batch_begin[i + 1] - first, at = f->seq_begin[first];
  for( int32_t s = 0; s <= n; s++ ) f->begin[s] = f->seq_begin[first + s] - at;
  return (struct ner_train_batch){.n_tok = f->begin[n],
                                  .n_seq = n,
                                  .seq_begin = f->begin,
                                  .word = f->word + at,
                                  .target = f->target + at};
}

static void pass(struct fixture *f, const struct ner_train_batch *batch, float dropout) {
  const struct ner_dropout drop = {.rate = dropout, .key = 42};
  struct ner_err err = {0};
  assert_int_equal(ner_network_forward(f->net, batch, &drop, NULL, &err), NER_OK);
  assert_int_equal(ner_network_backward(f->net, batch, &drop, NULL, &err), NER_OK);
}

/* ---- each tensor with its name ---- */

struct named {
  char name[64];
  size_t at, n;
};

static size_t name_tensors(const struct ner_network *net, struct named *out) {
  const struct ner_params_layout *l = &net->layout;
  const struct ner_config *c = &net->config.model;
  const size_t hidden = (size_t)c->hidden;
  size_t n = 0;
#define NAME(text, where, count)                                                                   \
  (snprintf(out[n].name, sizeof out[n].name, "%s", text), out[n].at = (where), out[n].n = (count), \
   n++)
#define NAME_LINEAR(text, linear)                                                                  \
  (snprintf(part, sizeof part, text ".weight", i),                                                 \
   NAME(part, (linear).weight, (size_t)(linear).n_out * (size_t)(linear).n_in),                    \
   snprintf(part, sizeof part, text ".bias", i),                                                   \
   NAME(part, (linear).bias, (size_t)(linear).n_out))
#define NAME_NORM(text, gain, bias)                                                                \
  (snprintf(part, sizeof part, text ".weight", i), NAME(part, gain, hidden),                       \
   snprintf(part, sizeof part, text ".bias", i), NAME(part, bias, hidden))
  char part[64];
  NAME("word", l->word, (size_t)net->config.n_words * hidden);
  NAME("position", l->position, (size_t)c->max_positions * hidden);
  if( c->architecture == NER_BERT ) NAME("type", l->type, hidden);
  NAME("gain", l->gain, hidden);
  NAME("bias", l->bias, hidden);
  for( int i = 0; i < c->layers; i++ ) {
    const struct ner_params_layer *p = &l->layer[i];
    NAME_LINEAR("layer.%d.qkv", p->qkv);
    NAME_LINEAR("layer.%d.out", p->out);
    NAME_NORM("layer.%d.attn_norm", p->attn_gain, p->attn_bias);
    NAME_LINEAR("layer.%d.ffn1", p->ffn1);
    NAME_LINEAR("layer.%d.ffn2", p->ffn2);
    NAME_NORM("layer.%d.ffn_norm", p->ffn_gain, p->ffn_bias);
  }
  NAME("classifier.weight", l->classifier.weight, (size_t)c->n_labels * hidden);
  NAME("classifier.bias", l->classifier.bias, (size_t)c->n_labels);
  return n;
}

/* ---- tests ---- */

/* Each number is within 1e-4 of PyTorch's, relative to itself or to a tenth of the tensor's root
** mean square: numbers far below their tensor's are rounding in both. */
static void test_gradients_are_pytorch_s(void **state) {
  (void)state;
  for( int m = 0; m < N_MODELS; m++ ) {
    struct fixture f = open_fixture(models[m], 0);
    struct ner_train_batch batch = batch_of(&f, 0);
    struct named tensor[64];
    size_t n = name_tensors(f.net, tensor);
    float loss;
    pass(&f, &batch, 0);
    memcpy(&loss, golden(&f, "loss")->data, sizeof loss);
    if( fabs(f.net->loss - loss) > 1e-5 )
      fail_msg("%s: loss %g, not %g", models[m], f.net->loss, loss);
    for( size_t i = 0; i < n; i++ ) {
      char name[96];
      const struct ner_tensor *t;
      double square = 0, floor, worst = 0;
      snprintf(name, sizeof name, "gradient.%.64s", tensor[i].name);
      t = golden(&f, name);
      assert_int_equal(t->n_bytes, tensor[i].n * sizeof(float));
      for( size_t k = 0; k < tensor[i].n; k++ ) {
        float want;
        memcpy(&want, t->data + k * sizeof want, sizeof want);
        square += (double)want * want;
      }
      floor = 0.1 * sqrt(square / (double)tensor[i].n) + 1e-12;
      for( size_t k = 0; k < tensor[i].n; k++ ) {
        float want, is = f.net->grad[tensor[i].at + k];
        double off;
        memcpy(&want, t->data + k * sizeof want, sizeof want);
        off = fabs((double)is - want) / (fabs((double)want) > floor ? fabs((double)want) : floor);
        if( !(off <= worst) ) worst = off;
        /* Softmax does not see a number that is added to all scores: K's bias has no gradient. */
        if( !(off <= 1e-4) && fabs((double)is) + fabs((double)want) > 1e-7 )
          fail_msg("%s: %s[%zu] is %.9g, not %.9g", models[m], name, k, (double)is, (double)want);
      }
      if( getenv("NER_TEST_VERBOSE") ) print_message("%s %s %.2g\n", models[m], name, worst);
    }
    close_fixture(&f);
  }
}

/* Along its own gradient, the loss changes by the gradient's length: tensor by tensor, with
** dropout, whose choice is the same in all passes. */
static void test_gradients_are_slopes(void **state) {
  (void)state;
  for( int m = 0; m < N_MODELS; m++ ) {
    struct fixture f = open_fixture(models[m], 0);
    const struct ner_dropout drop = {.rate = 0.2f, .key = 42};
    struct ner_train_batch batch = batch_of(&f, 0);
    struct named tensor[64];
    size_t n = name_tensors(f.net, tensor);
    struct ner_err err = {0};
    float *before = malloc(f.net->layout.n * sizeof *before);
    float *grad = malloc(f.net->layout.n * sizeof *grad);
    assert_true(before && grad);
    memcpy(before, f.net->value, f.net->layout.n * sizeof *before);
    pass(&f, &batch, drop.rate);
    memcpy(grad, f.net->grad, f.net->layout.n * sizeof *grad);
    for( size_t i = 0; i < n; i++ ) {
      double square = 0, step, loss[2], slope;
      for( size_t k = 0; k < tensor[i].n; k++ )
        square += (double)grad[tensor[i].at + k] * grad[tensor[i].at + k];
      step = 4e-3 / sqrt(square);
      for( int side = 0; side < 2; side++ ) {
        for( size_t k = tensor[i].at; k < tensor[i].at + tensor[i].n; k++ )
          f.net->value[k] = (float)(before[k] + (side ? step : -step) * grad[k]);
        ner_network_pack(f.net, NULL, &err);
        assert_int_equal(ner_network_forward(f.net, &batch, &drop, NULL, &err), NER_OK);
        loss[side] = f.net->loss;
      }
      memcpy(f.net->value, before, f.net->layout.n * sizeof *before);
      slope = (loss[1] - loss[0]) / (2 * 4e-3);
      if( !(fabs(slope / sqrt(square) - 1) < 3e-3) )
        fail_msg("%s: %s: the loss rises by %g, the gradient says %g", models[m], tensor[i].name,
                 slope, sqrt(square));
    }
    free(before);
    free(grad);
    close_fixture(&f);
  }
}

/* Probabilities in the label's place: all of it on the label is the same as the label; spread over
** all labels, each logit's gradient is the difference of the probabilities. */
static void test_probabilities_in_a_label_s_place(void **state) {
  struct fixture f = open_fixture("bert-uncased", 0);
  struct ner_train_batch batch = batch_of(&f, 0);
  const size_t n_labels = (size_t)f.net->config.model.n_labels;
  const size_t n = (size_t)batch.n_tok * n_labels;
  const struct ner_params_linear *classifier = &f.net->layout.classifier;
  float *soft = calloc(n, sizeof *soft), *grad = malloc(f.net->layout.n * sizeof *grad);
  double loss, want = 0, *bias = calloc(n_labels, sizeof *bias);
  (void)state;
  assert_true(soft && grad && bias);
  pass(&f, &batch, 0);
  loss = f.net->loss;
  memcpy(grad, f.net->grad, f.net->layout.n * sizeof *grad);
  for( int32_t i = 0; i < batch.n_tok; i++ )
    if( batch.target[i] >= 0 ) soft[(size_t)i * n_labels + (size_t)batch.target[i]] = 1;
  batch.soft = soft;
  pass(&f, &batch, 0);
  assert_true(fabs(f.net->loss - loss) < 1e-12);
  assert_memory_equal(grad, f.net->grad, f.net->layout.n * sizeof *grad);

  for( int32_t i = 0; i < batch.n_tok; i++ ) {
    const float *logits = f.net->logits + (size_t)i * n_labels;
    double sum = 0;
    if( batch.target[i] < 0 ) continue;
    for( size_t k = 0; k < n_labels; k++ ) sum += exp(logits[k]);
    for( size_t k = 0; k < n_labels; k++ ) {
      const double p = (double)(k + 1) / (double)(n_labels * (n_labels + 1) / 2);
      soft[(size_t)i * n_labels + k] = (float)p;
      want += p * (log(p) - logits[k] + log(sum)) / f.net->n_targets;
      bias[k] += (exp(logits[k]) / sum - p) / f.net->n_targets;
    }
  }
  pass(&f, &batch, 0);
  assert_true(fabs(f.net->loss - want) < 1e-5);
  for( size_t k = 0; k < n_labels; k++ )
    assert_true(fabs(f.net->grad[classifier->bias + k] - bias[k]) < 1e-5);
  free(soft);
  free(grad);
  free(bias);
  close_fixture(&f);
}

static void test_twenty_steps_are_pytorch_s(void **state) {
  (void)state;
  for( int m = 0; m < N_MODELS; m++ ) {
    struct fixture f = open_fixture(models[m], 0);
    const struct ner_tensor *t = golden(&f, "losses");
    struct ner_err err = {0};
    for( int step = 0; step < 20; step++ ) {
      struct ner_train_batch batch = batch_of(&f, step % f.n_batches);
      double rate = 1e-3 * (step < 2 ? step / 2.0 : (20 - step) / 18.0);
      float want;
      memcpy(&want, t->data + (size_t)step * sizeof want, sizeof want);
      pass(&f, &batch, 0);
      if( fabs(f.net->loss - want) > 1e-4 )
        fail_msg("%s: loss of step %d is %.7f, not %.7f", models[m], step, f.net->loss,
                 (double)want);
      assert_int_equal(ner_optimizer_step(f.optimizer, rate, 0.01, NULL, &err), NER_OK);
    }
    close_fixture(&f);
  }
}

/* A few steps; returns the parameters, to be freed. */
static float *train_on(int n_threads, float dropout, int32_t freeze, size_t *n) {
  struct fixture f;
  struct ner_err err = {0};
  float *out;
  ner_pool_threads(n_threads);
  f = open_fixture("bert-uncased", freeze);
  for( int step = 0; step < 8; step++ ) {
    struct ner_train_batch batch = batch_of(&f, step % f.n_batches);
    pass(&f, &batch, dropout);
    assert_int_equal(ner_optimizer_step(f.optimizer, 1e-3, 0.01, NULL, &err), NER_OK);
  }
  *n = f.net->layout.n;
  out = malloc(*n * sizeof *out);
  assert_non_null(out);
  memcpy(out, f.net->value, *n * sizeof *out);
  close_fixture(&f);
  return out;
}

static void test_threads_change_nothing(void **state) {
  size_t n;
  float *one = train_on(1, 0.1f, 0, &n);
  (void)state;
  for( int threads = 2; threads <= 5; threads++ ) {
    float *more = train_on(threads, 0.1f, 0, &n);
    assert_memory_equal(one, more, n * sizeof *one);
    free(more);
  }
  free(one);
}

static void test_dropout_depends_on_its_key(void **state) {
  const struct ner_dropout a = {.rate = 0.25f, .key = 1}, b = {.rate = 0.25f, .key = 2};
  float x[2][4003], y[4003];
  int kept = 0, differ = 0;
  (void)state;
  for( int i = 0; i < 4003; i++ ) x[0][i] = x[1][i] = y[i] = 1;
  ner_dropout_rows(&a, 3, NER_DROPOUT_FFN, 7, 1, x[0], 2, 4003, 4003);
  ner_dropout_rows(&b, 3, NER_DROPOUT_FFN, 7, 1, y, 1, 4003, 4003);
  for( int i = 0; i < 4003; i++ ) {
    assert_true(x[0][i] == 0 || fabsf(x[0][i] - 4.0f / 3) < 1e-6f);
    kept += x[0][i] > 0;
    differ += (x[0][i] > 0) != (y[i] > 0);
  }
  assert_in_range(kept, 2920, 3080);   /* 3002 ± 3σ */
  assert_in_range(differ, 1410, 1590); /* 2·¼·¾ */
  differ = 0;
  for( int i = 0; i < 4003; i++ ) differ += (x[0][i] > 0) != (x[1][i] > 0);
  assert_in_range(differ, 1410, 1590);
  /* Row 8 alone is row 8. */
  for( int i = 0; i < 4003; i++ ) y[i] = 1;
  ner_dropout_rows(&a, 3, NER_DROPOUT_FFN, 8, 1, y, 1, 4003, 4003);
  assert_memory_equal(y, x[1], sizeof y);
}

static void test_frozen_layers_stay(void **state) {
  size_t n, same = 0, changed = 0;
  struct fixture f = open_fixture("bert-uncased", 1);
  float *after = train_on(2, 0, 1, &n);
  (void)state;
  assert_true(f.net->layout.first_trained == f.net->layout.layer[1].qkv.weight);
  for( size_t i = 0; i < n; i++ ) {
    if( i < f.net->layout.first_trained )
      same += after[i] == f.net->value[i];
    else
      changed += after[i] != f.net->value[i];
  }
  assert_int_equal(same, f.net->layout.first_trained);
  assert_true(changed > (n - f.net->layout.first_trained) * 9 / 10);
  free(after);
  close_fixture(&f);
}

/* With every layer frozen only the classifier learns. */
static void test_the_classifier_alone(void **state) {
  size_t n;
  struct fixture f = open_fixture("bert-uncased", 2);
  float *after = train_on(2, 0, 2, &n);
  (void)state;
  assert_true(f.net->layout.first_trained == f.net->layout.classifier.weight);
  assert_memory_equal(after, f.net->value, f.net->layout.first_trained * sizeof *after);
  assert_true(after[f.net->layout.classifier.weight] !=
              f.net->value[f.net->layout.classifier.weight]);
  free(after);
  close_fixture(&f);
}

static bool at_once(void *arg) {
  (void)arg;
  return true;
}

static void test_cancel(void **state) {
  const struct ner_cancel cancel = {at_once, NULL};
  const struct ner_dropout none = {0};
  struct fixture f = open_fixture("bert-uncased", 0);
  struct ner_train_batch batch = batch_of(&f, 3);
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(ner_network_forward(f.net, &batch, &none, &cancel, &err), NER_INTERRUPT);
  memset(&err, 0, sizeof err);
  pass(&f, &batch, 0);
  assert_int_equal(ner_network_backward(f.net, &batch, &none, &cancel, &err), NER_INTERRUPT);
  close_fixture(&f);
}

static void test_a_gradient_that_is_no_number(void **state) {
  struct fixture f = open_fixture("bert-uncased", 0);
  struct ner_train_batch batch = batch_of(&f, 0);
  struct ner_err err = {0};
  float before;
  (void)state;
  pass(&f, &batch, 0);
  f.net->grad[f.net->layout.gain] = NAN;
  before = f.net->value[f.net->layout.gain + 1];
  assert_int_equal(ner_optimizer_step(f.optimizer, 1e-3, 0, NULL, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "learning_rate"));
  assert_true(before == f.net->value[f.net->layout.gain + 1]);
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gradients_are_pytorch_s),
      cmocka_unit_test(test_gradients_are_slopes),
      cmocka_unit_test(test_probabilities_in_a_label_s_place),
      cmocka_unit_test(test_twenty_steps_are_pytorch_s),
      cmocka_unit_test(test_threads_change_nothing),
      cmocka_unit_test(test_dropout_depends_on_its_key),
      cmocka_unit_test(test_frozen_layers_stay),
      cmocka_unit_test(test_the_classifier_alone),
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_a_gradient_that_is_no_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
