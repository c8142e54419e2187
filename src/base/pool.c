/*
** pool.c - the threads of this process; see pool.h.
**
** A run is a crew: the caller, who has rank 0, and seats for workers. The crew
** is published in pool.crew; sleeping workers take a seat each, call crew->fn and
** go back to sleep. The caller does its own share and then waits for those who
** sat down. pool.crew is also what "taken" means: whoever finds another's crew
** there works alone rather than wait.
**
** Everything in `pool` is guarded by pool.lock, which is held for moments only,
** never while anybody computes. pthread_atfork takes it around fork(), so that
** the child gets it in order.
*/
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "base/pool.h"

#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct crew {
  void (*fn)(void *arg, int rank);
  void *arg;
  int seats, taken; /* for workers; the k-th to sit down has rank k */
  int active;       /* workers inside fn */
  unsigned generation;
  fenv_t fenv; /* the caller's: results must not depend on which thread computed */
};

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work; /* to the workers: seats are free, or quit */
  pthread_cond_t done; /* to the owner of the crew: the last active worker has left */
  struct crew *crew;   /* NULL: the workers are free */
  pthread_t *worker;   /* [n_workers] */
  size_t n_workers, cap_workers;
  bool quit;
  unsigned generation; /* of processes: one more after each fork */
  int n_threads;       /* 0: NER_THREADS has not been read yet */
  bool env_is_bad;
  char env[48]; /* NER_THREADS as it stood, shortened; for the error */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

/* --- how many ------------------------------------------------------------- */

static int processors(void) {
  long n = 0;
#ifdef __linux__
  cpu_set_t set;
  if( sched_getaffinity(0, sizeof set, &set) == 0 ) n = CPU_COUNT(&set);
#endif
  if( n <= 0 ) n = sysconf(_SC_NPROCESSORS_ONLN);
  if( n < 1 ) n = 1;
  return n > NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : (int)n;
}

/* 1..NER_POOL_MAX_THREADS in plain digits, or 0. */
static int parse_threads(const char *s) {
  int n = 0;
  if( !*s ) return 0;
  for( ; *s; s++ ) {
    if( *s < '0' || *s > '9' ) return 0;
    n = n * 10 + (*s - '0');
    if( n > NER_POOL_MAX_THREADS ) return 0;
  }
  return n;
}

/* Settles the number of threads on first use. Lock held. */
static void settle(void) {
  const char *env;
  if( pool.n_threads ) return;
  env = getenv("NER_THREADS");
  pool.n_threads = env ? parse_threads(env) : processors();
  pool.env_is_bad = pool.n_threads == 0;
  if( pool.env_is_bad ) {
    ner_format(pool.env, sizeof pool.env, "%s", env);
    pool.n_threads = processors();
  }
}

/* --- fork ----------------------------------------------------------------- */

static void before_fork(void) {
  pthread_mutex_lock(&pool.lock);
}
static void after_fork_parent(void) {
  pthread_mutex_unlock(&pool.lock);
}

/* Only the forking thread lives on in the child: there are no workers, and the
** condition variables still count sleepers that are gone, so they begin anew. */
static void after_fork_child(void) {
  pool.n_workers = 0;
  pool.crew = NULL;
  pool.quit = false;
  pool.generation++;
  pthread_cond_init(&pool.work, NULL);
  pthread_cond_init(&pool.done, NULL);
  pthread_mutex_unlock(&pool.lock);
}

static void watch_fork(void) {
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* Every way in comes through here, so that the handlers are there before the
** first worker and before the lock is first held. */
static void lock_pool(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_fork);
  pthread_mutex_lock(&pool.lock);
}
static void unlock_pool(void) {
  pthread_mutex_unlock(&pool.lock);
}

/* --- workers -------------------------------------------------------------- */

static void *serve(void *unused) {
  (void)unused;
  pthread_mutex_lock(&pool.lock);
  while( !pool.quit ) {
    struct crew *crew = pool.crew;
    int rank;
    if( !crew || crew->taken == crew->seats ) {
      pthread_cond_wait(&pool.work, &pool.lock);
      continue;
    }
    rank = ++crew->taken;
    crew->active++;
    pthread_mutex_unlock(&pool.lock);
    fesetenv(&crew->fenv);
    crew->fn(crew->arg, rank);
    pthread_mutex_lock(&pool.lock);
    if( --crew->active == 0 ) pthread_cond_signal(&pool.done);
  }
  pthread_mutex_unlock(&pool.lock);
  return NULL;
}

/* Starts workers until there are n, or as many as the system gives. They block
** every signal: the host's handlers are to run on the host's threads. Lock held. */
static void start_workers(size_t n) {
  sigset_t all, old;
  if( pool.n_workers >= n ) return;
  if( ner_grow((void **)&pool.worker, &pool.cap_workers, n, sizeof *pool.worker) ) return;
  sigfillset(&all);
  if( pthread_sigmask(SIG_SETMASK, &all, &old) ) return;
  while( pool.n_workers < n &&
         pthread_create(&pool.worker[pool.n_workers], NULL, serve, NULL) == 0 )
    pool.n_workers++;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- crews ---------------------------------------------------------------- */

/* Publishes the crew with at most `wanted` seats. *size (read by workers, hence
** set before they can begin) receives the seats given plus the caller; 1: alone. */
static void hire(struct crew *crew, int wanted, int *size) {
  *size = 1;
  if( wanted < 1 ) return;
  lock_pool();
  settle();
  if( wanted > pool.n_threads - 1 ) wanted = pool.n_threads - 1;
  if( !pool.crew && !pool.quit && wanted > 0 ) {
    start_workers((size_t)wanted);
    if( (size_t)wanted > pool.n_workers ) wanted = (int)pool.n_workers;
    if( wanted > 0 && fegetenv(&crew->fenv) == 0 ) {
      crew->seats = wanted;
      crew->generation = pool.generation;
      *size = 1 + wanted;
      pool.crew = crew;
      /* A worker that is not asleep yet looks at pool.crew before it sleeps. */
      while( wanted-- > 0 ) pthread_cond_signal(&pool.work);
    }
  }
  unlock_pool();
}

/* Waits until all have left who sat down, or (all_seats) for whom a seat was
** made. false: this process was forked off in the middle of the run, by a
** callback of the calling thread, and the workers' share will never come. */
static bool dismiss(struct crew *crew, bool all_seats) {
  bool complete;
  if( crew->seats == 0 ) return true;
  lock_pool();
  if( !all_seats ) crew->seats = crew->taken;
  while( pool.generation == crew->generation && (crew->active > 0 || crew->taken < crew->seats) )
    pthread_cond_wait(&pool.done, &pool.lock);
  complete = pool.generation == crew->generation;
  if( complete ) pool.crew = NULL;
  unlock_pool();
  return complete;
}

/* --- runs ----------------------------------------------------------------- */

struct jobs {
  void (*fn)(void *arg, int job, int rank);
  void *arg;
  const struct ner_cancel *cancel;
  unsigned n;
  atomic_uint next; /* unsigned: every thread adds one too many at the end */
  bool stopped;     /* the caller's */
};

static void work_off(void *arg, int rank) {
  struct jobs *jobs = arg;
  unsigned job;
  while( (job = atomic_fetch_add(&jobs->next, 1)) < jobs->n ) {
    jobs->fn(jobs->arg, (int)job, rank);
    /* Asking may cost something: not when there is nothing left to stop. */
    if( rank == 0 && atomic_load(&jobs->next) < jobs->n && ner_cancelled(jobs->cancel) ) {
      jobs->stopped = true;
      atomic_store(&jobs->next, jobs->n);
    }
  }
}

int ner_pool_run(int max_threads, int n_jobs, void (*fn)(void *arg, int job, int rank), void *arg,
                 const struct ner_cancel *cancel) {
  struct jobs jobs = {.fn = fn, .arg = arg, .cancel = cancel, .n = (unsigned)n_jobs};
  struct crew crew = {.fn = work_off, .arg = &jobs};
  int size;
  if( n_jobs <= 0 ) return NER_OK;
  hire(&crew, (max_threads < n_jobs ? max_threads : n_jobs) - 1, &size);
  work_off(&jobs, 0);
  if( !dismiss(&crew, false) ) return NER_INTERRUPT;
  return jobs.stopped ? NER_INTERRUPT : NER_OK;
}

struct team_run {
  struct ner_team team;
  void (*fn)(void *arg, struct ner_team *team, int rank);
  void *arg;
};

static void join_team(void *arg, int rank) {
  struct team_run *run = arg;
  run->fn(run->arg, &run->team, rank);
}

void ner_pool_team(int max_size, void (*fn)(void *arg, struct ner_team *team, int rank),
                   void *arg) {
  struct team_run run = {.team = {.size = 1}, .fn = fn, .arg = arg};
  struct crew crew = {.fn = join_team, .arg = &run};
  hire(&crew, max_size - 1, &run.team.size);
  join_team(&run, 0);
  dismiss(&crew, true);
}

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/* The work between two barriers is some 10..1000 µs, too little to sleep in. But
** when there are more runnable threads than processors, the one waited for may need
** this very processor: after SPINS (some 20..50 µs) give it away. */
#define SPINS 1000

void ner_team_wait(struct ner_team *team) {
  int round, spins = 0;
  if( team->size == 1 ) return;
  round = atomic_load_explicit(&team->round, memory_order_relaxed);
  if( atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == team->size - 1 ) {
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&team->round, round ^ 1, memory_order_release);
    return;
  }
  while( atomic_load_explicit(&team->round, memory_order_acquire) == round ) {
    if( spins < SPINS ) {
      spins++;
      pause_cpu();
    } else {
      sched_yield();
    }
  }
}

/* --- settings ------------------------------------------------------------- */

int ner_pool_threads(int n) {
  lock_pool();
  settle();
  /* Workers beyond a smaller number just go on sleeping. */
  if( n > 0 ) pool.n_threads = n > NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : n;
  n = pool.n_threads;
  unlock_pool();
  return n;
}

int ner_pool_check(struct ner_err *err) {
  int code = NER_OK;
  lock_pool();
  settle();
  if( pool.env_is_bad )
    code = ner_fail(err, NER_ERROR,
                    "NER_THREADS is \"%s\"; set it to a number from 1 to %d, or unset it", pool.env,
                    NER_POOL_MAX_THREADS);
  unlock_pool();
  return code;
}

void ner_pool_stop(void) {
  lock_pool();
  if( !pool.crew && !pool.quit ) {
    pool.quit = true;
    pthread_cond_broadcast(&pool.work);
    while( pool.n_workers > 0 ) {
      pthread_t last = pool.worker[pool.n_workers - 1];
      unlock_pool();
      pthread_join(last, NULL);
      lock_pool();
      pool.n_workers--;
    }
    NER_FREE(pool.worker);
    pool.worker = NULL;
    pool.cap_workers = 0;
    pool.n_threads = 0;
    pool.env_is_bad = false;
    pool.quit = false;
  }
  unlock_pool();
}
