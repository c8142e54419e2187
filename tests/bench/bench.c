/*
** bench.c - how fast the library is, measured through its public face.
**
**   build/bench [-m MODEL_DIR_OR_FILE] [-p f32|int8] [-t THREADS] [-x BxT] [-f FILE]
**               [-n LINES] [-r ROUNDS] [-s]
**
** Every shape "B x T" is B texts of T tokens ([CLS] and [SEP] counted), made of words that are one
** piece each; a text goes the whole way: tokenizer, encoder, softmax, spans. -x runs one shape alone
** ("none" none), for a profiler. With -f the lines
** of a file are a further row, in batches of 1024. -s prints "shape median best" alone, for scripts.
*/
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"
#include "model.h"
#include "pipeline.h"
#include "pool.h"

volatile double bench_sink;

double bench_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const struct ner_options first = {NER_AGGREGATION_FIRST, 0};

static void die(const char *what, const char *why) {
  fprintf(stderr, "bench: %s: %s\n", what, why);
  exit(1);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

struct timing {
  double median, best; /* tokens per second */
};

static size_t run_once(struct ner_model *model, const struct ner_input *inputs, size_t n) {
  struct ner_err err = {0};
  struct ner_output *outputs = calloc(n, sizeof *outputs);
  size_t tokens = 0;
  if( !outputs ) die("memory", "out of it");
  if( ner_pipeline_run(model, inputs, n, &first, true, outputs, NULL, &err) ) die("run", err.msg);
  for(size_t i = 0; i < n; i++) {
    tokens += outputs[i].tokens.n + 2;
    ner_output_free(&outputs[i]);
  }
  free(outputs);
  return tokens;
}

static struct timing measure(struct ner_model *model, const struct ner_input *inputs, size_t n,
                             size_t batch, int rounds) {
  double *rate = malloc((size_t)rounds * sizeof *rate);
  struct timing result;
  if( !rate ) die("memory", "out of it");
  run_once(model, inputs, n < batch ? n : batch);
  for(int r = 0; r < rounds; r++) {
    double start = bench_seconds();
    size_t tokens = 0;
    for(size_t i = 0; i < n; i += batch)
      tokens += run_once(model, inputs + i, n - i < batch ? n - i : batch);
    rate[r] = (double)tokens / (bench_seconds() - start);
  }
  qsort(rate, (size_t)rounds, sizeof *rate, by_value);
  result.median = rate[rounds / 2];
  result.best = rate[rounds - 1];
  free(rate);
  return result;
}

/* A text of n words, each one piece of the model's own vocabulary: plain lower-case words. */
static char *plain_text(const struct ner_model *model, int n_words, unsigned seed) {
  const struct ner_vocab *vocab = ner_tokenizer_vocab(model->tokenizer);
  int32_t size = ner_vocab_size(vocab);
  char *text = malloc((size_t)n_words * 20 + 1), *at = text;
  if( !text ) die("memory", "out of it");
  while( n_words > 0 ) {
    size_t n;
    const char *piece;
    bool plain = true;
    seed = seed * 1664525u + 1013904223u;
    piece = ner_vocab_piece(vocab, (int32_t)(seed >> 8) % size, &n);
    for(size_t i = 0; i < n; i++) plain = plain && piece[i] >= 'a' && piece[i] <= 'z';
    if( !plain || n == 0 || n > 16 ) continue;
    memcpy(at, piece, n);
    at += n;
    *at++ = ' ';
    n_words--;
  }
  *at = 0;
  return text;
}

/* Multiply-adds of the linear layers a token costs, times two. */
static double flop_per_token(const struct ner_model *model) {
  const struct ner_config *c = &model->config;
  double h = c->hidden, f = c->ffn;
  return 2.0 * c->layers * (4 * h * h + 2 * h * f);
}

static void print_row(const char *name, struct timing t, double flop, double peak, bool terse) {
  if( terse ) {
    printf("%s %.0f %.0f\n", name, t.median, t.best);
    return;
  }
  printf("%-14s %10.0f %10.0f %9.1f", name, t.median, t.best, t.median * flop * 1e-9);
  if( peak > 0 ) printf(" %7.0f%%", 100 * t.median * flop / peak);
  printf("\n");
  fflush(stdout);
}

static size_t read_lines(const char *path, size_t limit, struct ner_input **out) {
  FILE *f = fopen(path, "r");
  char *line = NULL;
  size_t cap = 0, n = 0, room = 0;
  ssize_t got;
  *out = NULL;
  if( !f ) die(path, "cannot be read");
  while( n < limit && (got = getline(&line, &cap, f)) >= 0 ) {
    while( got > 0 && line[got - 1] == '\n' ) got--;
    if( got == 0 ) continue;
    if( n == room ) *out = realloc(*out, (room = room ? room * 2 : 1024) * sizeof **out);
    if( !*out ) die("memory", "out of it");
    (*out)[n++] = (struct ner_input){.utf8 = strndup(line, (size_t)got), .n_bytes = (size_t)got};
  }
  free(line);
  fclose(f);
  return n;
}

int main(int argc, char **argv) {
  static const int shapes[][2] = {{1, 16}, {1, 32},  {1, 64},  {1, 128}, {1, 512},
                                  {8, 32}, {32, 16}, {32, 32}, {16, 128}};
  const char *path = NULL, *file = NULL, *only = NULL;
  enum ner_precision precision = NER_PRECISION_FILE;
  int option, rounds = 9, threads = 0;
  size_t lines = 1000000;
  bool terse = false;
  struct ner_err err = {0};
  struct ner_model *model = NULL;
  const struct ner_kernels *kernels;
  struct rusage usage;
  double start, open_ms, row_ms, peak;

  while( (option = getopt(argc, argv, "m:p:t:x:f:n:r:s")) != -1 ) {
    switch( option ) {
      case 'm': path = optarg; break;
      case 'p':
        if( ner_precision_parse(optarg, &precision, &err) ) die("-p", err.msg);
        break;
      case 't': threads = atoi(optarg); break;
      case 'x': only = optarg; break;
      case 'f': file = optarg; break;
      case 'n': lines = (size_t)atol(optarg); break;
      case 'r': rounds = atoi(optarg) > 0 ? atoi(optarg) : 1; break;
      case 's': terse = true; break;
      default: return 2;
    }
  }
  if( !(kernels = ner_kernels_get(&err)) ) die("kernels", err.msg);
  threads = ner_pool_threads(threads);

  start = bench_seconds();
  if( path ? ner_model_open(path, precision, &model, &err) : ner_model_open_bundled(&model, &err) )
    die("model", err.msg);
  open_ms = (bench_seconds() - start) * 1e3;
  start = bench_seconds();
  run_once(model, &(struct ner_input){.utf8 = "Ada Lovelace lived in London.", .n_bytes = 29}, 1);
  row_ms = (bench_seconds() - start) * 1e3;
  peak = terse ? 0 : bench_peak(model->precision == NER_PRECISION_INT8) * threads;

  if( !terse ) {
    printf("model %s: %s %d x %d, %s; kernels %s; %d thread%s\n", model->path,
           ner_architecture_name(model->config.architecture), model->config.layers,
           model->config.hidden, ner_precision_name(model->precision), kernels->name, threads,
           threads == 1 ? "" : "s");
    printf("open %.1f ms, first text %.1f ms, peak of the machine %.0f GFLOP/s\n", open_ms, row_ms,
           peak * 1e-9);
    printf("%-14s %10s %10s %9s %8s\n", "texts x tokens", "tokens/s", "best", "GFLOP/s", "of peak");
  }
  for(size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int n = shapes[s][0], tokens = shapes[s][1];
    struct ner_input *inputs;
    char name[32];
    /* Small shapes need more rounds than big ones for a steady median. */
    int count = rounds * (n * tokens < 100 ? 8 : n * tokens < 1000 ? 3 : 1);
    snprintf(name, sizeof name, "%dx%d", n, tokens);
    if( only && strcmp(only, name) ) continue;
    inputs = calloc((size_t)n, sizeof *inputs);
    if( !inputs ) die("memory", "out of it");
    for(int i = 0; i < n; i++) {
      inputs[i].utf8 = plain_text(model, tokens - 2, (unsigned)(s * 1000) + (unsigned)i);
      inputs[i].n_bytes = strlen(inputs[i].utf8);
    }
    print_row(name, measure(model, inputs, (size_t)n, (size_t)n, count), flop_per_token(model), peak,
              terse);
    for(int i = 0; i < n; i++) free((char *)inputs[i].utf8);
    free(inputs);
  }
  if( file ) {
    struct ner_input *inputs;
    size_t n = read_lines(file, lines, &inputs);
    struct timing t = measure(model, inputs, n, 1024, rounds > 3 ? 3 : rounds);
    print_row("file", t, flop_per_token(model), peak, terse);
    for(size_t i = 0; i < n; i++) free((char *)inputs[i].utf8);
    free(inputs);
  }
  ner_model_unref(model);
  getrusage(RUSAGE_SELF, &usage);
  if( !terse ) printf("peak memory %.0f MB\n", (double)usage.ru_maxrss / 1024);
  return 0;
}
