/*
** pool.h - the threads of this process.
**
** One pool, started on first use, sleeping when idle. A run is computed by the
** caller and, unless another run has them, the pool's workers; a second caller at
** the same time works alone, and so does a run inside a run. Where the system allows fewer threads
** than set, a run has fewer. A forked child finds no workers and starts its own. NER_THREADS sets
** the number (caller included); default: the processors this process may run on.
*/
#ifndef NER_POOL_H
#define NER_POOL_H

#include <stdatomic.h>
#include "base/base.h"

#pragma GCC visibility push(hidden)

#define NER_POOL_MAX_THREADS 1024

/* Threads that compute one thing together. */
struct ner_team {
  int size;
  atomic_int arrived; /* spinning barrier: arrivals of the current round */
  atomic_int round;
  unsigned generation; /* of the process that formed it */
};
/* Returns once all members have arrived. */
void ner_team_wait(struct ner_team *team);
/* Whether this is a child that a callback forked off in the middle of the run: the other members
** do not exist here, ner_team_wait() returns without them, and the results are undefined. The
** member whose callback it was asks after each callback, and ends the run early. */
bool ner_team_is_lost(const struct ner_team *team);

/* Calls fn(arg, job, rank) once for each job in [0, n_jobs), on at most
** max_threads threads (the caller is one of them), in any order; returns when all
** are done. rank < max_threads tells the threads of this run apart (the caller
** is 0), so that each may own scratch memory. Between jobs the calling thread asks `cancel`
** (NULL: never); once it says yes no further job begins. Then, and in a child forked off in the
** middle of the run, the result is NER_INTERRUPT. */
int ner_pool_run(int max_threads, int n_jobs, void (*fn)(void *arg, int job, int rank), void *arg,
                 const struct ner_cancel *cancel);

/* Calls fn(arg, team, rank) on as many threads as are free, at most max_size (the caller is
** rank 0), and returns when all have returned. false: the team is lost, as above. */
bool ner_pool_team(int max_size, void (*fn)(void *arg, struct ner_team *team, int rank), void *arg);

/* n <= 0 asks; otherwise sets (at most NER_POOL_MAX_THREADS). Returns the number
** of threads used (caller included). An unusable NER_THREADS is an error reported
** by ner_pool_check. */
int ner_pool_threads(int n);
int ner_pool_check(struct ner_err *err);

/* Ends the workers and forgets all settings, as if never used; does nothing
** during a run. For tests: a library's workers otherwise sleep until the process
** ends. */
void ner_pool_stop(void);

#pragma GCC visibility pop
#endif
