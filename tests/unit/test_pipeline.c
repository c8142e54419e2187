/*
** test_pipeline.c - batches, teams, threads: whatever else is in a batch and however a text is cut,
** the results are those of the plain way, bit for bit. Windows themselves: test_windows.c.
*/
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/encoder.h"
#include "engine/pipeline.h"
#include "engine/spans.h"
#include "fork.h"
#include "support.h"

static uint32_t seed;
static uint32_t dice(uint32_t n) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % n;
}

static size_t poorer_side(const struct ner_window *w, size_t token, size_t n) {
  size_t before = w->begin == 0 ? SIZE_MAX : token - w->begin;
  size_t after = w->end == n ? SIZE_MAX : w->end - 1 - token;
  return before < after ? before : after;
}

/* ---- models and texts ---- */

/* A text of about n_words words of the tiny vocabulary; to be freed. */
static char *make_text(size_t n_words) {
  static const char *const words[] = {"Anna", "lives", "in",  "Rome",  ".", "ab",
                                      "bab",  "aabb",  "zzz", "Anna,", "é", "Romee"};
  char *text = malloc(n_words * 8 + 1), *at = text;
  assert_non_null(text);
  *at = 0;
  for( size_t i = 0; i < n_words; i++ )
    at += sprintf(at, "%s%s", words[dice(12)], dice(8) ? " " : "");
  return text;
}

/* Random weights strongly prefer one label. Subtracting the mean log-probability from the
** classifier's bias makes all labels occur. */
static void level_labels(struct ner_model *model) {
  size_t n_labels = (size_t)model->config.n_labels;
  float *bias = (float *)(uintptr_t)model->weights.classifier.bias;
  char *text = make_text(200);
  struct ner_input input = {.utf8 = text, .n_bytes = strlen(text)};
  struct ner_output out = {0};
  struct ner_err err = {0};
  if( ner_pipeline_run(model, &input, 1, NULL, true, &out, NULL, &err) ) fail_msg("%s", err.msg);
  for( size_t i = 0; i < out.tokens.n * n_labels; i++ )
    bias[i % n_labels] -= logf(out.probs[i]) / (float)out.tokens.n;
  ner_output_free(&out);
  free(text);
}

static struct ner_model *open_tiny(struct tiny tiny) {
  char dir[TEST_PATH];
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  test_dir_make(dir);
  tiny_write(dir, &tiny);
  if( ner_model_open(dir, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
  test_dir_remove(dir);
  level_labels(model);
  return model;
}

static struct ner_model *open_small(void) {
  struct tiny t = tiny_distilbert();
  t.positions = 34;
  return open_tiny(t);
}

/* Fast, for tests with very many tokens. */
static struct ner_model *open_minute(void) {
  struct tiny t = tiny_distilbert();
  t.layers = 1;
  t.hidden = t.ffn = 4;
  t.heads = 1;
  return open_tiny(t);
}

/* Enough arithmetic for a team of two on a window of 110 tokens, of three on 160. */
static struct ner_model *open_large(void) {
  struct tiny t = tiny_distilbert();
  t.positions = 200;
  t.layers = 1;
  t.hidden = 128;
  t.heads = 4;
  t.ffn = 512;
  return open_tiny(t);
}

static const struct ner_options first = {.aggregation = NER_AGGREGATION_FIRST};

static void run(struct ner_model *model, const struct ner_input *inputs, size_t n,
                struct ner_output *outputs) {
  struct ner_err err = {0};
  memset(outputs, 0, n * sizeof *outputs);
  if( ner_pipeline_run(model, inputs, n, &first, true, outputs, NULL, &err) )
    fail_msg("%s", err.msg);
  for( size_t i = 0; i < n; i++ )
    if( outputs[i].error ) fail_msg("text %zu: %s", i, outputs[i].error);
}

static void free_outputs(struct ner_output *outputs, size_t n) {
  for( size_t i = 0; i < n; i++ ) ner_output_free(&outputs[i]);
}

static void assert_same(const struct ner_model *model, const struct ner_output *a,
                        const struct ner_output *b) {
  size_t n_labels = (size_t)model->config.n_labels;
  assert_int_equal(a->tokens.n, b->tokens.n);
  assert_int_equal(a->found.n, b->found.n);
  if( a->tokens.n ) {
    assert_memory_equal(a->tokens.token, b->tokens.token, a->tokens.n * sizeof *a->tokens.token);
    assert_memory_equal(a->probs, b->probs, a->tokens.n * n_labels * sizeof(float));
  }
  for( size_t i = 0; i < a->found.n; i++ ) {
    const struct ner_entity *x = &a->found.entity[i], *y = &b->found.entity[i];
    assert_ptr_equal(x->label, y->label);
    assert_true(x->score == y->score);
    assert_true(x->start == y->start && x->end == y->end);
    assert_true(x->start_byte == y->start_byte && x->end_byte == y->end_byte);
  }
}

/* ---- the plain way: every window by itself, then the best window for each token ---- */

static void plain_way(struct ner_model *model, struct ner_output *out /* has the tokens */) {
  size_t n_labels = (size_t)model->config.n_labels, n = 0, cap = 0, entity_cap = 0;
  struct ner_tokens *tokens = &out->tokens;
  size_t *best = calloc(tokens->n + 1, sizeof *best); /* poorer side + 1; 0: none yet */
  struct ner_window *w = NULL;
  struct ner_session *session = NULL;
  struct ner_err err = {0};
  int32_t ids[512];
  float *logits = malloc(512 * n_labels * sizeof *logits);
  assert_true(best && logits);
  out->probs = NER_MALLOC((tokens->n + 1) * n_labels * sizeof(float));
  assert_int_equal(ner_windows_plan(tokens, (uint32_t)model->config.max_tokens - 2, &w, &n, &cap),
                   NER_OK);
  assert_int_equal(ner_session_acquire(model, &session, &err), NER_OK);
  for( size_t i = 0; i < n; i++ ) {
    int32_t begins[2] = {0, (int32_t)(w[i].end - w[i].begin + 2)};
    ids[0] = ner_tokenizer_template(model->tokenizer)->before[0];
    for( uint32_t t = w[i].begin; t < w[i].end; t++ ) ids[t - w[i].begin + 1] = tokens->token[t].id;
    ids[begins[1] - 1] = ner_tokenizer_template(model->tokenizer)->after[0];
    assert_true(ner_encode(session, ids, begins, 1, logits, NULL, 0, NULL));
    for( uint32_t t = w[i].begin; t < w[i].end; t++ ) {
      size_t context = poorer_side(&w[i], t, tokens->n);
      if( context != SIZE_MAX ) context++;
      if( context <= best[t] ) continue;
      best[t] = context;
      assert_true(ner_softmax(logits + (t - w[i].begin + 1) * n_labels, n_labels,
                              out->probs + t * n_labels));
    }
  }
  ner_session_release(session);
  assert_int_equal(ner_spans(model, tokens, out->probs, &first, &out->found.entity, &out->found.n,
                             &entity_cap, &err),
                   NER_OK);
  NER_FREE(w);
  free(best);
  free(logits);
}

#define N_TEXTS 40

struct texts {
  char *text[N_TEXTS];
  struct ner_input input[N_TEXTS];
  struct ner_output expected[N_TEXTS];
};

/* Short texts, empty ones, some of many windows; and their results in the plain way. */
static struct texts *make_texts(struct ner_model *model) {
  struct texts *t = calloc(1, sizeof *t);
  struct ner_err err = {0};
  assert_non_null(t);
  seed = 3;
  for( size_t i = 0; i < N_TEXTS; i++ ) {
    t->text[i] = make_text(i % 9 == 4 ? 0 : i % 7 == 5 ? 60 + dice(200) : 1 + dice(20));
    t->input[i] = (struct ner_input){.utf8 = t->text[i], .n_bytes = strlen(t->text[i])};
    assert_int_equal(ner_tokenize(model->tokenizer, t->text[i], t->input[i].n_bytes, 0,
                                  &t->expected[i].tokens, NULL, &err),
                     NER_OK);
    plain_way(model, &t->expected[i]);
  }
  return t;
}

static void free_texts(struct texts *t) {
  free_outputs(t->expected, N_TEXTS);
  for( size_t i = 0; i < N_TEXTS; i++ ) free(t->text[i]);
  free(t);
}

/* ---- tests ---- */

/* The host's callback forks while a lone text is split over a team. The child's run ends as
** cancelled, its next one is right; the parent's is complete. */
struct forker {
  pid_t pid; /* -1: not yet */
  struct ner_model *model;
  struct ner_output expected;
};
static bool fork_in_callback(void *arg) {
  struct forker *f = arg;
  if( f->pid == -1 ) {
    f->pid = fork();
    if( f->pid == 0 ) alarm(20);
  }
  return false;
}

static void test_fork_in_a_team(void **state) {
  struct forker f = {.pid = -1, .model = open_large()};
  const struct ner_cancel cancel = {fork_in_callback, &f};
  char *text = (seed = 5, make_text(100));
  struct ner_input input = {.utf8 = text, .n_bytes = strlen(text)};
  struct ner_output out = {0};
  struct ner_err err = {0};
  int rc, status = -1;
  (void)state;
  test_needs_fork_with_threads();
  ner_pool_threads(1);
  run(f.model, &input, 1, &f.expected);
  ner_pool_threads(3);
  rc = ner_pipeline_run(f.model, &input, 1, &first, true, &out, &cancel, &err);
  if( f.pid == 0 ) {
    ner_output_free(&out);
    if( rc != NER_INTERRUPT ) _exit(1);
    run(f.model, &input, 1, &out);
    assert_same(f.model, &out, &f.expected);
    _exit(0);
  }
  assert_int_equal(rc, NER_OK);
  assert_same(f.model, &out, &f.expected);
  assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ner_output_free(&out);
  ner_output_free(&f.expected);
  free(text);
  ner_model_unref(f.model);
  ner_pool_stop();
}

/* On 1..max_threads threads, in calls of several sizes. */
static void check_all_ways(struct ner_model *model, int max_threads, const size_t *steps,
                           size_t n_steps) {
  struct texts *t = make_texts(model);
  size_t entities = 0;
  for( size_t i = 0; i < N_TEXTS; i++ ) entities += t->expected[i].found.n;
  assert_true(entities > N_TEXTS); /* otherwise nothing would be compared */
  for( int threads = 1; threads <= max_threads; threads++ )
    for( size_t s = 0; s < n_steps; s++ ) {
      ner_pool_threads(threads);
      for( size_t i = 0; i < N_TEXTS; i += steps[s] ) {
        size_t n = i + steps[s] <= N_TEXTS ? steps[s] : N_TEXTS - i;
        struct ner_output out[N_TEXTS];
        run(model, t->input + i, n, out);
        for( size_t j = 0; j < n; j++ ) assert_same(model, &out[j], &t->expected[i + j]);
        free_outputs(out, n);
      }
    }
  free_texts(t);
  ner_pool_stop();
}

static void test_same_in_any_company(void **state) {
  static const size_t steps[] = {N_TEXTS, 1, 3, 7};
  struct ner_model *model = open_small();
  (void)state;
  check_all_ways(model, 5, steps, 4);
  ner_model_unref(model);
}

static void test_same_in_a_team(void **state) {
  static const size_t steps[] = {N_TEXTS, 1};
  struct ner_model *model = open_large();
  (void)state;
  check_all_ways(model, 3, steps, 2);
  ner_model_unref(model);
}

struct caller {
  struct ner_model *model;
  const struct texts *texts;
};
static void *run_and_compare(void *arg) {
  struct caller *c = arg;
  size_t n_labels = (size_t)c->model->config.n_labels;
  for( int round = 0; round < 5; round++ ) {
    struct ner_output out[N_TEXTS];
    struct ner_err err = {0};
    const char *problem = NULL;
    memset(out, 0, sizeof out);
    if( ner_pipeline_run(c->model, c->texts->input, N_TEXTS, &first, true, out, NULL, &err) )
      problem = "run failed";
    for( size_t i = 0; i < N_TEXTS && !problem; i++ )
      if( out[i].tokens.n != c->texts->expected[i].tokens.n ||
          (out[i].tokens.n && memcmp(out[i].probs, c->texts->expected[i].probs,
                                     out[i].tokens.n * n_labels * sizeof(float))) )
        problem = "results differ";
    free_outputs(out, N_TEXTS);
    if( problem ) return (void *)problem;
  }
  return NULL;
}

static void test_callers_at_once(void **state) {
  struct ner_model *model = open_small();
  struct texts *texts = make_texts(model);
  struct caller caller = {model, texts};
  pthread_t thread[3];
  (void)state;
  ner_pool_threads(3);
  for( int i = 0; i < 3; i++ )
    assert_int_equal(pthread_create(&thread[i], NULL, run_and_compare, &caller), 0);
  for( int i = 0; i < 3; i++ ) {
    void *problem;
    pthread_join(thread[i], &problem);
    if( problem ) fail_msg("%s", (char *)problem);
  }
  free_texts(texts);
  ner_model_unref(model);
  ner_pool_stop();
}

static void test_nothing_to_do(void **state) {
  struct ner_model *model = open_small();
  const struct ner_slice words[2] = {{"", 0}, {NULL, 0}};
  const struct ner_input inputs[] = {
      {.utf8 = "", .n_bytes = 0},       {.utf8 = NULL, .n_bytes = 0},
      {.utf8 = " \t \n", .n_bytes = 4}, {.utf8 = "\xe2\x80\x8b", .n_bytes = 3},
      {.word = words, .n_words = 0},    {.word = words, .n_words = 2},
  };
  struct ner_output out[6];
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(ner_pipeline_run(model, NULL, 0, &first, true, NULL, NULL, &err), NER_OK);
  run(model, inputs, 6, out);
  for( int i = 0; i < 6; i++ ) {
    assert_int_equal(out[i].tokens.n, 0);
    assert_int_equal(out[i].found.n, 0);
  }
  free_outputs(out, 6);
  free_outputs(out, 6); /* {0} again */
  ner_model_unref(model);
}

static void test_words(void **state) {
  struct ner_model *model = open_small();
  const struct ner_slice words[] = {{"Anna", 4}, {"bab", 3}, {"", 0}, {"in.", 3}, {"Rome", 4}};
  const struct ner_input inputs[] = {
      {.word = words, .n_words = 5},
      {.utf8 = "Anna bab in. Rome", .n_bytes = 17},
  };
  static const uint32_t index[] = {0, 1, 1, 1, 3, 3, 4}, start[] = {0, 0, 1, 2, 0, 2, 0};
  struct ner_output out[2];
  (void)state;
  run(model, inputs, 2, out);
  assert_int_equal(out[0].tokens.n, 7);
  assert_int_equal(out[1].tokens.n, 7);
  for( size_t i = 0; i < 7; i++ ) {
    assert_int_equal(out[0].tokens.token[i].word, index[i]);
    assert_int_equal(out[0].tokens.token[i].start, start[i]);
    assert_int_equal(out[0].tokens.token[i].id, out[1].tokens.token[i].id);
  }
  assert_memory_equal(out[0].probs, out[1].probs,
                      7 * (size_t)model->config.n_labels * sizeof(float));
  assert_int_equal(out[0].found.n, 0); /* no spans are formed over words */
  free_outputs(out, 2);
  ner_model_unref(model);
}

static void test_what_is_kept(void **state) {
  struct ner_model *model = open_small();
  struct ner_input input = {.utf8 = "Anna lives in Rome", .n_bytes = 18};
  struct ner_output out = {0};
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(ner_pipeline_run(model, &input, 1, &first, false, &out, NULL, &err), NER_OK);
  assert_true(out.tokens.token == NULL && out.probs == NULL);
  ner_output_free(&out);
  assert_int_equal(ner_pipeline_run(model, &input, 1, NULL, false, &out, NULL, &err), NER_OK);
  assert_int_equal(out.tokens.n, 4);
  assert_non_null(out.probs);
  assert_int_equal(out.found.n, 0);
  for( size_t t = 0; t < 4; t++ ) {
    float sum = 0;
    for( int l = 0; l < 3; l++ ) sum += out.probs[t * 3 + (size_t)l];
    assert_true(fabsf(sum - 1) < 1e-5f);
  }
  ner_output_free(&out);
  ner_model_unref(model);
}

struct stopper {
  pthread_t caller;
  int asked, limit; /* limit: from which question on the answer is yes */
};
static bool ask(void *arg) {
  struct stopper *s = arg;
  assert_true(pthread_equal(s->caller, pthread_self()));
  return ++s->asked >= s->limit;
}

static void test_interrupt(void **state) {
  struct ner_model *small = open_small(), *large = open_large();
  char *text = make_text(1500);
  struct ner_input input = {.utf8 = text, .n_bytes = strlen(text)};
  (void)state;
  for( int threads = 1; threads <= 3; threads++ )
    for( int which = 0; which < 2; which++ ) {
      struct ner_model *model = which ? large : small;
      struct stopper s = {.caller = pthread_self(), .limit = threads == 1 ? 3 : 1};
      struct ner_cancel cancel = {ask, &s};
      struct ner_output out = {0};
      struct ner_err err = {0};
      int rc;
      ner_pool_threads(threads);
      rc = ner_pipeline_run(model, &input, 1, &first, true, &out, &cancel, &err);
      /* Only the caller asks; sometimes the workers leave it no batch. */
      if( threads == 1 || s.asked > 0 ) {
        assert_int_equal(rc, NER_INTERRUPT);
        assert_int_equal(err.code, NER_INTERRUPT);
        assert_int_equal(s.asked, s.limit); /* and never again */
      }
      ner_output_free(&out);
    }
  free(text);
  ner_model_unref(small);
  ner_model_unref(large);
  ner_pool_stop();
}

/* A text beyond a megabyte is tokenised in stretches, which does not change its tokens: blanks of
** every kind, letters of several bytes, ill-formed UTF-8 and a very long word lie where it may be
** cut. */
static void test_stretches(void **state) {
  static const char *const pieces[] = {"Anna",
                                       "\xC3\xA9",
                                       "\xE2\x80\x83",
                                       "\xF0\x9F\x98\x80",
                                       "\xC3",
                                       "[SEP]",
                                       "\n",
                                       " ",
                                       "e\xCC\x81",
                                       "\t",
                                       ".",
                                       "\xE2\x80"};
  enum { MEGABYTE = 1024 * 1024, LONG = 5 * MEGABYTE / 2 };
  struct ner_model *model = open_minute();
  char *text = malloc(LONG + 16);
  size_t n = 0, endless = 2 * MEGABYTE - 1000;
  struct ner_tokens want = {0};
  struct ner_output out = {0};
  struct ner_err err = {0};
  struct stopper s = {.caller = pthread_self(), .limit = 1};
  struct ner_cancel cancel = {ask, &s};
  (void)state;
  assert_non_null(text);
  while( n < LONG ) {
    const char *piece = n > endless && n < endless + 2000 ? "a" : pieces[dice(12)];
    memcpy(text + n, piece, strlen(piece));
    n += strlen(piece);
  }
  assert_int_equal(ner_tokenize(model->tokenizer, text, n, 0, &want, NULL, &err), NER_OK);
  run(model, &(struct ner_input){.utf8 = text, .n_bytes = n}, 1, &out);
  assert_int_equal(out.tokens.n, want.n);
  assert_memory_equal(out.tokens.token, want.token, want.n * sizeof *want.token);
  ner_output_free(&out);
  ner_tokens_free(&want);
  assert_int_equal(ner_pipeline_run(model, &(struct ner_input){.utf8 = text, .n_bytes = n}, 1,
                                    &first, false, &out, &cancel, &err),
                   NER_INTERRUPT);
  assert_int_equal(s.asked, 1);
  ner_output_free(&out);
  free(text);
  ner_model_unref(model);
  ner_pool_stop();
}

/* A pass is cancelled between its layers, alone and in a team; the session stays usable. */
static void test_interrupt_between_layers(void **state) {
  struct tiny shape = tiny_distilbert();
  struct ner_model *model;
  char *text = make_text(60); /* one window */
  struct ner_input input = {.utf8 = text, .n_bytes = strlen(text)};
  (void)state;
  shape.positions = 200;
  shape.layers = 2;
  shape.hidden = 128;
  shape.heads = 4;
  shape.ffn = 512;
  model = open_tiny(shape);
  for( int threads = 1; threads <= 4; threads += 3 ) {
    struct ner_output whole = {0}, again = {0};
    ner_pool_threads(threads);
    run(model, &input, 1, &whole);
    for( int limit = 1; limit <= shape.layers + 1; limit++ ) {
      struct stopper s = {.caller = pthread_self(), .limit = limit};
      struct ner_cancel cancel = {ask, &s};
      struct ner_output out = {0};
      struct ner_err err = {0};
      int rc = ner_pipeline_run(model, &input, 1, &first, true, &out, &cancel, &err);
      assert_int_equal(rc, limit <= shape.layers ? NER_INTERRUPT : NER_OK);
      assert_int_equal(s.asked, limit <= shape.layers ? limit : shape.layers);
      ner_output_free(&out);
    }
    run(model, &input, 1, &again);
    assert_same(model, &whole, &again);
    ner_output_free(&whole);
    ner_output_free(&again);
  }
  free(text);
  ner_model_unref(model);
  ner_pool_stop();
}

/* A single text of two windows on many threads is run by teams, window by window. */
static void test_interrupt_between_teams(void **state) {
  struct ner_model *model = open_large();
  char *text = make_text(250);
  struct ner_input input = {.utf8 = text, .n_bytes = strlen(text)};
  struct stopper s = {.caller = pthread_self(), .limit = 1};
  struct ner_cancel cancel = {ask, &s};
  struct ner_output out = {0};
  struct ner_err err = {0};
  (void)state;
  ner_pool_threads(16);
  assert_int_equal(ner_pipeline_run(model, &input, 1, &first, true, &out, &cancel, &err),
                   NER_INTERRUPT);
  assert_int_equal(s.asked, 1);
  ner_output_free(&out);
  run(model, &input, 1, &out);
  ner_output_free(&out);
  free(text);
  ner_model_unref(model);
  ner_pool_stop();
}

static void test_damaged_weights(void **state) {
  struct ner_model *model = open_small();
  struct ner_input inputs[] = {{.utf8 = "Anna", .n_bytes = 4}, {.utf8 = "", .n_bytes = 0}};
  struct ner_output out[2] = {0};
  struct ner_entities found;
  struct ner_err err = {0};
  (void)state;
  ((float *)(uintptr_t)model->weights.classifier.bias)[1] = NAN;
  assert_int_equal(ner_pipeline_run(model, inputs, 2, &first, false, out, NULL, &err), NER_OK);
  assert_non_null(out[0].error);
  assert_non_null(strstr(out[0].error, "damaged"));
  assert_null(out[1].error);
  /* A batch has thousands of outputs, and hardly any of them failed. */
  assert_true(sizeof out[0] <= 80);
  free_outputs(out, 2);
  assert_int_equal(ner_extract(model, "Anna", 4, NULL, &found, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "damaged"));
  ner_entities_free(&found);
  ner_model_unref(model);
}

static void test_bad_environment(void **state) {
  struct ner_model *model = open_small();
  struct ner_entities found;
  struct ner_err err = {0};
  (void)state;
  ner_pool_stop();
  setenv("NER_THREADS", "many", 1);
  assert_int_equal(ner_extract(model, "Anna", 4, NULL, &found, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "NER_THREADS"));
  unsetenv("NER_THREADS");
  ner_pool_stop();
  ner_model_unref(model);
}

static void test_extract(void **state) {
  struct ner_model *model = open_small();
  char *text = make_text(500);
  struct ner_entities all, sure;
  struct ner_options options = {.aggregation = NER_AGGREGATION_AVERAGE};
  struct ner_err err = {0};
  size_t n_sure = 0;
  (void)state;
  assert_int_equal(ner_extract(model, text, strlen(text), &options, &all, &err), NER_OK);
  assert_true(all.n > 10);
  options.threshold = (double)all.entity[all.n / 2].score; /* the limit is included */
  assert_int_equal(ner_extract(model, text, strlen(text), &options, &sure, &err), NER_OK);
  for( size_t i = 0; i < all.n; i++ ) {
    const struct ner_entity *e = &all.entity[i];
    assert_string_equal(e->label, "PER");
    assert_true(e->start_byte < e->end_byte && e->end_byte <= strlen(text));
    assert_true(text[e->start_byte] != ' ' && text[e->end_byte - 1] != ' ');
    assert_int_equal(ner_utf8_count(text, e->start_byte), e->start);
    assert_int_equal(ner_utf8_count(text, e->end_byte), e->end);
    if( i > 0 ) assert_true(all.entity[i - 1].end_byte <= e->start_byte);
    n_sure += (double)e->score >= options.threshold;
  }
  assert_true(n_sure > 0 && n_sure < all.n);
  assert_int_equal(sure.n, n_sure);
  ner_entities_free(&all);
  ner_entities_free(&all);
  ner_entities_free(&sure);
  free(text);
  ner_model_unref(model);
}

/* A batch gives what a call for each text gives, bit for bit. */
static void test_extract_batch(void **state) {
  struct ner_model *model = open_small();
  enum { N = 40 };
  char *text[N];
  struct ner_text batch[N];
  struct ner_entities found[N], one;
  struct ner_err err = {0};
  size_t n_found = 0;
  (void)state;
  for( int i = 0; i < N; i++ ) {
    text[i] = make_text(i % 7 == 0 ? 0 : 3 * i);
    batch[i] = (struct ner_text){i == 14 ? NULL : text[i], i == 14 ? 0 : strlen(text[i])};
  }
  assert_int_equal(ner_extract_batch(model, batch, N, NULL, found, &err), NER_OK);
  for( int i = 0; i < N; i++ ) {
    assert_int_equal(ner_extract(model, batch[i].utf8, batch[i].n_bytes, NULL, &one, &err), NER_OK);
    assert_int_equal(found[i].n, one.n);
    for( size_t k = 0; k < one.n; k++ ) /* without the padding behind end_byte */
      assert_memory_equal(&found[i].entity[k], &one.entity[k],
                          offsetof(struct ner_entity, end_byte) + sizeof(uint32_t));
    n_found += one.n;
    ner_entities_free(&one);
    ner_entities_free(&found[i]);
  }
  assert_true(n_found > N);
  assert_int_equal(ner_extract_batch(model, NULL, 0, NULL, NULL, &err), NER_OK);
  batch[14].n_bytes = 1;
  assert_int_equal(ner_extract_batch(model, batch, N, NULL, found, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "text 14"));
  assert_null(found[0].entity);
  err = (struct ner_err){0};
  assert_int_equal(ner_extract_batch(model, NULL, 1, NULL, found, &err), NER_ERROR);
  for( int i = 0; i < N; i++ ) free(text[i]);
  ner_model_unref(model);
}

static void test_extract_bad_arguments(void **state) {
  struct ner_model *model = open_small();
  struct ner_entities found;
  struct ner_options options = {.aggregation = (enum ner_aggregation)5};
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(ner_extract(NULL, "Anna", 4, NULL, &found, &err), NER_ERROR);
  err = (struct ner_err){0};
  assert_int_equal(ner_extract(model, NULL, 4, NULL, &found, &err), NER_ERROR);
  err = (struct ner_err){0};
  assert_int_equal(ner_extract(model, NULL, 0, NULL, &found, &err), NER_OK);
  assert_int_equal(found.n, 0);
  assert_int_equal(ner_extract(model, "Anna", 4, &options, &found, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "aggregation"));
  err = (struct ner_err){0};
  options = (struct ner_options){.threshold = NAN};
  assert_int_equal(ner_extract(model, "Anna", 4, &options, &found, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "threshold"));
  assert_int_equal(ner_extract(model, "Anna", 4, &options, &found, NULL), NER_ERROR);
  /* NER_VERSION, and "+" and the commit where the build knows it. */
  assert_memory_equal(ner_version(), NER_VERSION, strlen(NER_VERSION));
  assert_true(strchr("+", ner_version()[strlen(NER_VERSION)]) != NULL);
  assert_int_equal(ner_threads(3), 3);
  assert_int_equal(ner_threads(0), 3);
  ner_pool_stop();
  ner_model_unref(model);
}

static void test_large_inputs(void **state) {
  struct ner_model *model = open_minute();
  size_t n_word = (size_t)10 << 20;
  char *text = make_text(600000), *word = malloc(n_word);
  struct ner_entities found;
  struct ner_err err = {0};
  (void)state;
  assert_true(strlen(text) > (size_t)2000000);
  assert_int_equal(ner_extract(model, text, strlen(text), NULL, &found, &err), NER_OK);
  assert_true(found.n > 10000);
  assert_true(found.entity[found.n - 1].end_byte > 2000000);
  ner_entities_free(&found);
  assert_non_null(word);
  memset(word, 'a', n_word);
  assert_int_equal(ner_extract(model, word, n_word, NULL, &found, &err), NER_OK);
  assert_true(found.n <= 1);
  ner_entities_free(&found);
  memset(word, ' ', n_word);
  assert_int_equal(ner_extract(model, word, n_word, NULL, &found, &err), NER_OK);
  assert_int_equal(found.n, 0);
  ner_entities_free(&found);
  free(text);
  free(word);
  ner_model_unref(model);
  ner_pool_stop();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_in_any_company),
      cmocka_unit_test(test_same_in_a_team),
      cmocka_unit_test(test_fork_in_a_team),
      cmocka_unit_test(test_callers_at_once),
      cmocka_unit_test(test_nothing_to_do),
      cmocka_unit_test(test_words),
      cmocka_unit_test(test_what_is_kept),
      cmocka_unit_test(test_interrupt),
      cmocka_unit_test(test_stretches),
      cmocka_unit_test(test_interrupt_between_layers),
      cmocka_unit_test(test_interrupt_between_teams),
      cmocka_unit_test(test_damaged_weights),
      cmocka_unit_test(test_bad_environment),
      cmocka_unit_test(test_extract),
      cmocka_unit_test(test_extract_batch),
      cmocka_unit_test(test_extract_bad_arguments),
      cmocka_unit_test(test_large_inputs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
