/* bench.h - shared by the bench's files. */
#ifndef NER_BENCH_H
#define NER_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/pipeline.h"

double bench_seconds(void); /* monotonic */
extern volatile double bench_sink;
void bench_die(const char *what, const char *why) __attribute__((noreturn));

/* Labels the texts as one batch: its tokens, [CLS] and [SEP] counted. */
size_t bench_run(struct ner_model *model, const struct ner_input *inputs, size_t n);

/* Operations per second of one thread (a multiply-add is two), 0 when unknown. */
double bench_peak(bool int8);

/* tables.c. The model called `name` (NULL: the default) over a table: ner_query() beside packed
** batches of the same texts (which change their order), and the memory that n_rows short rows
** take. */
void bench_query(struct ner_model *model, const char *name, struct ner_input *inputs, size_t n,
                 int rounds, bool terse);
void bench_memory(const char *name, size_t n_rows, bool enrich);
/* How soon an interrupt is felt by everything that takes its time over n_bytes of text; NULL or
** one of them. */
void bench_interrupts(const char *name, size_t n_bytes, const char *only);

/* growth.c: cost by number of rows and by length of a text. */
void bench_growth(struct ner_model *model, const char *name, size_t max_rows, size_t max_bytes);

/* tables.c: a connection with the extension; runs a statement to its end, its last value. */
struct sqlite3 *bench_open(const char *path);
long long bench_sql(struct sqlite3 *db, const char *sql);

#endif
