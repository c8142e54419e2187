/*
** bench.c - how fast the library is, measured through its public face.
**
**   build/bench [-m MODEL_DIR_OR_FILE] [-p f32|int8] [-t THREADS] [-x BxT] [-f FILE]
**               [-n LINES] [-d IDS] [-r ROUNDS] [-s]
**   build/bench -q ...                      ner_query() beside packed batches (tables.c)
**   build/bench -w query|enrich -n ROWS ... memory while so many rows go by
**   build/bench -w growth -n ROWS ...       cost of 1 to ROWS rows and of texts of 100 to 10·ROWS bytes
**   build/bench -w interrupts -n BYTES [-x WHAT] ...  how soon they are felt
**
** Every shape "B x T" is B texts of T tokens ([CLS] and [SEP] counted), made of words that are one
** piece each; "sentences" are 512 such texts of 4 to 48 tokens, 26 in the mean, in no order. A
** text goes the whole way: tokenizer, encoder, softmax, spans. With -f the lines of a file are a
** further row, in batches of 1024. -x runs one row alone, -d writes the token ids of the last row
** to a file, a text a line, for a peer; -s prints "shape median best" alone (-q: "ner_query
** texts rows/s"), for scripts.
*/
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "model/model.h"
#include "engine/pipeline.h"
#include "base/pool.h"
#include "engine/registry.h"

volatile double bench_sink;

double bench_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const struct ner_options first = {NER_AGGREGATION_FIRST, 0};

void bench_die(const char *what, const char *why) {
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

size_t bench_run(struct ner_model *model, const struct ner_input *inputs, size_t n) {
  struct ner_err err = {0};
  struct ner_output *outputs = calloc(n, sizeof *outputs);
  size_t tokens = 0;
  if( !outputs ) bench_die("memory", "out of it");
  if( ner_pipeline_run(model, inputs, n, &first, true, outputs, NULL, &err) )
    bench_die("run", err.msg);
  for( size_t i = 0; i < n; i++ ) {
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
  if( !rate ) bench_die("memory", "out of it");
  bench_run(model, inputs, n < batch ? n : batch);
  for( int r = 0; r < rounds; r++ ) {
    double start = bench_seconds();
    size_t tokens = 0;
    for( size_t i = 0; i < n; i += batch )
      tokens += bench_run(model, inputs + i, n - i < batch ? n - i : batch);
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
  if( !text ) bench_die("memory", "out of it");
  while( n_words > 0 ) {
    size_t n;
    const char *piece;
    bool plain = true;
    seed = seed * 1664525u + 1013904223u;
    piece = ner_vocab_piece(vocab, (int32_t)(seed >> 8) % size, &n);
    for( size_t i = 0; i < n; i++ ) plain = plain && piece[i] >= 'a' && piece[i] <= 'z';
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

/* Texts that a row is made of. */
struct texts {
  struct ner_input *input; /* [n] */
  size_t n;
};

static struct texts texts_new(size_t n) {
  struct texts t = {calloc(n, sizeof *t.input), n};
  if( !t.input ) bench_die("memory", "out of it");
  return t;
}

static void texts_free(struct texts *t) {
  for( size_t i = 0; i < t->n; i++ ) free((char *)t->input[i].utf8);
  free(t->input);
  *t = (struct texts){0};
}

static void texts_set(struct texts *t, size_t i, char *utf8) {
  t->input[i] = (struct ner_input){.utf8 = utf8, .n_bytes = strlen(utf8)};
}

/* The same tokens for somebody else: "101 2023 102", a text a line. */
static void dump_ids(const struct ner_model *model, const struct texts *t, const char *path) {
  struct ner_err err = {0};
  FILE *f = fopen(path, "w");
  if( !f ) bench_die(path, "cannot be written");
  for( size_t i = 0; i < t->n; i++ ) {
    struct ner_tokens tokens = {0};
    if( ner_tokenize(model->tokenizer, t->input[i].utf8, t->input[i].n_bytes, 0, &tokens, NULL,
                     &err) )
      bench_die("tokenizer", err.msg);
    fprintf(f, "%d", (int)ner_tokenizer_template(model->tokenizer)->before[0]);
    for( size_t k = 0; k < tokens.n; k++ ) fprintf(f, " %d", (int)tokens.token[k].id);
    fprintf(f, " %d\n", (int)ner_tokenizer_template(model->tokenizer)->after[0]);
    ner_tokens_free(&tokens);
  }
  if( fclose(f) ) bench_die(path, "cannot be written");
}

/* What every row is measured with. */
static struct {
  struct ner_model *model;
  double peak; /* operations per second of the whole machine; 0: unknown */
  bool terse;
} bench;

static void time_row(const char *name, const struct texts *texts, size_t batch, int rounds) {
  struct timing t = measure(bench.model, texts->input, texts->n, batch, rounds);
  double flop = flop_per_token(bench.model);
  if( bench.terse ) {
    printf("%s %.0f %.0f\n", name, t.median, t.best);
    return;
  }
  printf("%-14s %10.0f %10.0f %9.1f", name, t.median, t.best, t.median * flop * 1e-9);
  if( bench.peak > 0 ) printf(" %7.0f%%", 100 * t.median * flop / bench.peak);
  printf("\n");
  fflush(stdout);
}

/* Lengths like those of sentences, in no order. */
static struct texts sentences(const struct ner_model *model, size_t n) {
  struct texts t = texts_new(n);
  for( size_t i = 0; i < n; i++ )
    texts_set(&t, i, plain_text(model, 2 + (int)(i * 7 % 23 + i * 11 % 23), (unsigned)i));
  return t;
}

static struct texts read_lines(const char *path, size_t limit) {
  FILE *f = fopen(path, "r");
  char *line = NULL;
  struct texts t = {0};
  size_t cap = 0, room = 0;
  ssize_t got;
  if( !f ) bench_die(path, "cannot be read");
  while( t.n < limit && (got = getline(&line, &cap, f)) >= 0 ) {
    while( got > 0 && line[got - 1] == '\n' ) got--;
    if( got == 0 ) continue;
    if( t.n == room ) t.input = realloc(t.input, (room = room ? room * 2 : 1024) * sizeof *t.input);
    if( !t.input ) bench_die("memory", "out of it");
    t.input[t.n++] = (struct ner_input){.utf8 = strndup(line, (size_t)got), .n_bytes = (size_t)got};
  }
  free(line);
  fclose(f);
  return t;
}

/* What -q and -w ask for. */
static void run_tables(const char *path, enum ner_precision precision, const char *file,
                       size_t lines, int rounds, const char *of, const char *only) {
  const char *name = path ? "bench" : NULL;
  struct ner_err err = {0};
  struct ner_model *model = NULL;
  if( path && ner_registry_load(name, path, precision, NULL, &err) ) bench_die("model", err.msg);
  if( ner_registry_get(name, NULL, &model, &err) ) bench_die("model", err.msg);
  if( of && strcmp(of, "growth") == 0 ) {
    printf("model %s, %s, %d thread(s)\n", model->path, ner_precision_name(model->precision),
           ner_pool_threads(0));
    bench_growth(model, name, lines, lines * 10);
  } else if( of && strcmp(of, "interrupts") == 0 ) {
    bench_interrupts(name, lines, only);
  } else if( of ) {
    bench_memory(name, lines, strcmp(of, "enrich") == 0);
  } else {
    struct texts t = file ? read_lines(file, lines) : sentences(model, lines < 3000 ? lines : 3000);
    if( !bench.terse )
      printf("model %s, %s, %d thread(s): ", model->path, ner_precision_name(model->precision),
             ner_pool_threads(0));
    fflush(stdout);
    bench_query(model, name, t.input, t.n, rounds, bench.terse);
    texts_free(&t);
  }
  ner_model_unref(model);
}

int main(int argc, char **argv) {
  static const int shapes[][2] = {{1, 16}, {1, 32},  {1, 64},  {1, 128}, {1, 512},
                                  {8, 32}, {32, 16}, {32, 32}, {16, 128}};
  const char *path = NULL, *file = NULL, *only = NULL, *dump = NULL, *tables_of = NULL;
  enum ner_precision precision = NER_PRECISION_FILE;
  int option, rounds = 9, threads = 0;
  size_t lines = 1000000;
  bool tables = false;
  struct ner_err err = {0};
  struct ner_model *model = NULL;
  struct texts texts = {0};
  const struct ner_kernels *kernels;
  struct rusage usage;
  double start, open_ms, row_ms;

  while( (option = getopt(argc, argv, "m:p:t:x:f:n:d:r:sqw:")) != -1 ) {
    switch( option ) {
    case 'm': path = optarg; break;
    case 'p':
      if( ner_precision_parse(optarg, &precision, &err) ) bench_die("-p", err.msg);
      break;
    case 't': threads = atoi(optarg); break;
    case 'x': only = optarg; break;
    case 'f': file = optarg; break;
    case 'n': lines = (size_t)atol(optarg); break;
    case 'd': dump = optarg; break;
    case 'r': rounds = atoi(optarg) > 0 ? atoi(optarg) : 1; break;
    case 's': bench.terse = true; break;
    case 'q': tables = true; break;
    case 'w': tables_of = optarg; break;
    default: return 2;
    }
  }
  if( !(kernels = ner_kernels_get(&err)) ) bench_die("kernels", err.msg);
  threads = ner_pool_threads(threads);
  if( tables || tables_of ) {
    run_tables(path, precision, file, lines, rounds, tables_of, only);
    return 0;
  }

  start = bench_seconds();
  if( path ? ner_model_open(path, precision, &model, &err) : ner_model_open_bundled(&model, &err) )
    bench_die("model", err.msg);
  open_ms = (bench_seconds() - start) * 1e3;
  start = bench_seconds();
  bench_run(model, &(struct ner_input){.utf8 = "Ada Lovelace lived in London.", .n_bytes = 29}, 1);
  row_ms = (bench_seconds() - start) * 1e3;
  bench.model = model;
  if( !bench.terse ) bench.peak = bench_peak(model->precision == NER_PRECISION_INT8) * threads;

  if( !bench.terse ) {
    printf("model %s: %s %d x %d, %s; kernels %s; %d thread%s\n", model->path,
           ner_architecture_name(model->config.architecture), model->config.layers,
           model->config.hidden, ner_precision_name(model->precision), kernels->name, threads,
           threads == 1 ? "" : "s");
    printf("open %.1f ms, first text %.1f ms, peak of the machine %.0f GFLOP/s\n", open_ms, row_ms,
           bench.peak * 1e-9);
    printf("%-14s %10s %10s %9s %8s\n", "texts x tokens", "tokens/s", "best", "GFLOP/s", "of peak");
  }
  for( size_t s = 0; s < sizeof shapes / sizeof *shapes; s++ ) {
    int n = shapes[s][0], tokens = shapes[s][1];
    char name[32];
    snprintf(name, sizeof name, "%dx%d", n, tokens);
    if( only && strcmp(only, name) ) continue;
    texts_free(&texts);
    texts = texts_new((size_t)n);
    for( size_t i = 0; i < texts.n; i++ )
      texts_set(&texts, i, plain_text(model, tokens - 2, (unsigned)(s * 1000 + i)));
    /* Small shapes need more rounds than big ones for a steady median. */
    time_row(name, &texts, texts.n, rounds * (n * tokens < 100 ? 8 : n * tokens < 1000 ? 3 : 1));
  }
  if( !only || strcmp(only, "sentences") == 0 ) {
    texts_free(&texts);
    texts = sentences(model, 512);
    time_row("sentences", &texts, texts.n, rounds);
  }
  if( file ) {
    texts_free(&texts);
    texts = read_lines(file, lines);
    time_row("file", &texts, 1024, rounds > 3 ? 3 : rounds);
  }
  if( dump ) dump_ids(model, &texts, dump);
  texts_free(&texts);
  ner_model_unref(model);
  getrusage(RUSAGE_SELF, &usage);
  if( !bench.terse ) printf("peak memory %.0f MB\n", (double)usage.ru_maxrss / 1024);
  return 0;
}
