/* bench.h - shared by the bench's files. */
#ifndef NER_BENCH_H
#define NER_BENCH_H

#include <stdbool.h>
#include <stddef.h>

double bench_seconds(void); /* monotonic */
extern volatile double bench_sink;

/* Operations per second of one thread (a multiply-add is two), 0 when unknown. */
double bench_peak(bool int8);

#endif
