/*
** pool.c - the threads of this process; see pool.h.
**
** A run is a task: the caller, which has rank 0, and slots for workers. The task
** is published in pool.task; sleeping workers take a slot each, call task->fn and
** go back to sleep. The caller does its own share and then joins the workers that
** took a slot. A caller that finds another's task in pool.task works alone rather than wait.
**
** Everything in `pool` is guarded by pool.lock, which is held for moments only,
** never while a task computes. ner_on_fork() has it taken around fork(), so that
** the child gets it unlocked and consistent.
**
** A callback of the calling thread may fork in the middle of a run. Only that thread exists in
** the child, and whatever it waits for there never comes. pool.generation, which fork increments
** in the child, tells it so wherever it waits: in pool_join() and at a team's barrier.
*/
#include "base/pool.h"

#include <fenv.h>
#include "base/os.h"

struct pool_task {
  void (*fn)(void *arg, int rank);
  void *arg;
  int slots, taken; /* for workers; the k-th to take one has rank k */
  int active;       /* workers inside fn */
  unsigned generation;
  fenv_t fenv; /* the caller's: results must not depend on which thread computes them */
};

static struct {
  struct ner_mutex lock;
  struct ner_condition work; /* to the workers: slots are free, or quit */
  struct ner_condition done; /* to the owner of the task: the last active worker has left */
  struct pool_task *task;    /* NULL: the workers are free */
  struct ner_thread *worker; /* [n_workers] */
  size_t n_workers, cap_workers;
  bool quit;
  atomic_uint generation; /* of processes: one more after each fork; read without the lock */
  int n_threads;          /* 0: NER_THREADS has not been read yet */
  bool env_is_bad;
  char env[48]; /* NER_THREADS as it was, shortened; for the error */
} pool = {.lock = NER_MUTEX_INIT, .work = NER_CONDITION_INIT, .done = NER_CONDITION_INIT};

/* --- how many ------------------------------------------------------------- */

static int pool_processors(void) {
  int n = ner_processors();
  return n > NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : n;
}

/* 1..NER_POOL_MAX_THREADS in plain digits, or 0. */
static int pool_parse_threads(const char *s) {
  int n = 0;
  if( !*s ) return 0;
  for( ; *s; s++ ) {
    if( *s < '0' || *s > '9' ) return 0;
    n = n * 10 + (*s - '0');
    if( n > NER_POOL_MAX_THREADS ) return 0;
  }
  return n;
}

/* Reads the number of threads on first use. Lock held. */
static void pool_read_environment(void) {
  const char *env;
  if( pool.n_threads ) return;
  env = ner_environment("NER_THREADS");
  pool.n_threads = env ? pool_parse_threads(env) : pool_processors();
  pool.env_is_bad = pool.n_threads == 0;
  if( pool.env_is_bad ) {
    ner_format(pool.env, sizeof pool.env, "%s", env);
    pool.n_threads = pool_processors();
  }
}

/* --- fork ----------------------------------------------------------------- */

static void pool_before_fork(void) {
  ner_mutex_lock(&pool.lock);
}
static void pool_after_fork_parent(void) {
  ner_mutex_unlock(&pool.lock);
}

/* Only the forking thread exists in the child: there are no workers, and the
** condition variables still count sleepers that are gone, so they are initialised again. */
static void pool_after_fork_child(void) {
  pool.n_workers = 0;
  pool.task = NULL;
  pool.quit = false;
  atomic_fetch_add(&pool.generation, 1);
  ner_condition_init(&pool.work);
  ner_condition_init(&pool.done);
  ner_mutex_unlock(&pool.lock);
}

static void pool_watch_forks(void) {
  ner_on_fork(pool_before_fork, pool_after_fork_parent, pool_after_fork_child);
}

/* Every public function comes through here, so that the handlers are set before the
** first worker starts and before the lock is first held. */
static void pool_lock(void) {
  static struct ner_once once = NER_ONCE_INIT;
  ner_once_run(&once, pool_watch_forks);
  ner_mutex_lock(&pool.lock);
}
static void pool_unlock(void) {
  ner_mutex_unlock(&pool.lock);
}

/* --- workers -------------------------------------------------------------- */

static void *pool_serve(void *unused) {
  (void)unused;
  ner_mutex_lock(&pool.lock);
  while( !pool.quit ) {
    struct pool_task *task = pool.task;
    int rank;
    if( !task || task->taken == task->slots ) {
      ner_condition_wait(&pool.work, &pool.lock);
      continue;
    }
    rank = ++task->taken;
    task->active++;
    ner_mutex_unlock(&pool.lock);
    fesetenv(&task->fenv);
    task->fn(task->arg, rank);
    ner_mutex_lock(&pool.lock);
    if( --task->active == 0 ) ner_condition_signal(&pool.done);
  }
  ner_mutex_unlock(&pool.lock);
  return NULL;
}

/* Starts workers until there are n, or as many as the system allows. Lock held. */
static void pool_start_workers(size_t n) {
  if( pool.n_workers >= n ) return;
  if( ner_grow((void **)&pool.worker, &pool.cap_workers, n, sizeof *pool.worker) ) return;
  while( pool.n_workers < n && ner_thread_start(&pool.worker[pool.n_workers], pool_serve, NULL) )
    pool.n_workers++;
}

/* --- tasks ---------------------------------------------------------------- */

/* Publishes the task with at most `wanted` slots. *size (read by workers, hence
** set before they can begin) receives the slots given plus the caller; 1: alone. */
static void pool_publish(struct pool_task *task, int wanted, int *size) {
  *size = 1;
  if( wanted < 1 ) return;
  pool_lock();
  pool_read_environment();
  if( wanted > pool.n_threads - 1 ) wanted = pool.n_threads - 1;
  if( !pool.task && !pool.quit && wanted > 0 ) {
    pool_start_workers((size_t)wanted);
    if( (size_t)wanted > pool.n_workers ) wanted = (int)pool.n_workers;
    if( wanted > 0 && fegetenv(&task->fenv) == 0 ) {
      task->slots = wanted;
      task->generation = atomic_load(&pool.generation);
      *size = 1 + wanted;
      pool.task = task;
      /* A worker that is not asleep yet looks at pool.task before it sleeps. */
      while( wanted-- > 0 ) ner_condition_signal(&pool.work);
    }
  }
  pool_unlock();
}

/* Whether this process was forked off in the middle of the run, by a callback of the calling
** thread: the workers' share is lost. */
static bool pool_is_lost(const struct pool_task *task) {
  return task->slots > 0 && task->generation != atomic_load(&pool.generation);
}

/* Waits until all workers have left that took a slot, or (all_slots) one for every slot. false:
** the task is lost. */
static bool pool_join(struct pool_task *task, bool all_slots) {
  bool complete;
  if( task->slots == 0 ) return true;
  pool_lock();
  if( !all_slots && !pool_is_lost(task) ) task->slots = task->taken;
  while( !pool_is_lost(task) && (task->active > 0 || task->taken < task->slots) )
    ner_condition_wait(&pool.done, &pool.lock);
  complete = !pool_is_lost(task);
  if( complete ) pool.task = NULL;
  pool_unlock();
  return complete;
}

/* --- runs ----------------------------------------------------------------- */

struct pool_jobs {
  void (*fn)(void *arg, int job, int rank);
  void *arg;
  const struct ner_cancel *cancel;
  const struct pool_task *task;
  unsigned n;
  atomic_uint next; /* unsigned: every thread adds one too many at the end */
  bool cancelled;   /* only the caller writes it */
};

static void pool_run_jobs(void *arg, int rank) {
  struct pool_jobs *jobs = arg;
  unsigned job;
  while( (job = atomic_fetch_add(&jobs->next, 1)) < jobs->n ) {
    jobs->fn(jobs->arg, (int)job, rank);
    if( rank == 0 && pool_is_lost(jobs->task) ) return;
    /* Asking may be costly: it is left out when no job remains. */
    if( rank == 0 && atomic_load(&jobs->next) < jobs->n && ner_cancelled(jobs->cancel) ) {
      jobs->cancelled = true;
      atomic_store(&jobs->next, jobs->n);
    }
  }
}

int ner_pool_run(int max_threads, int n_jobs, void (*fn)(void *arg, int job, int rank), void *arg,
                 const struct ner_cancel *cancel) {
  struct pool_jobs jobs = {.fn = fn, .arg = arg, .cancel = cancel, .n = (unsigned)n_jobs};
  struct pool_task task = {.fn = pool_run_jobs, .arg = &jobs};
  int size;
  jobs.task = &task;
  if( n_jobs <= 0 ) return NER_OK;
  pool_publish(&task, (max_threads < n_jobs ? max_threads : n_jobs) - 1, &size);
  pool_run_jobs(&jobs, 0);
  if( !pool_join(&task, false) ) return NER_INTERRUPT;
  return jobs.cancelled ? NER_INTERRUPT : NER_OK;
}

struct pool_team_run {
  struct ner_team team;
  void (*fn)(void *arg, struct ner_team *team, int rank);
  void *arg;
};

static void pool_run_member(void *arg, int rank) {
  struct pool_team_run *run = arg;
  run->fn(run->arg, &run->team, rank);
}

bool ner_pool_team(int max_size, void (*fn)(void *arg, struct ner_team *team, int rank),
                   void *arg) {
  struct pool_team_run run = {
      .team = {.size = 1, .generation = atomic_load(&pool.generation)}, .fn = fn, .arg = arg};
  struct pool_task task = {.fn = pool_run_member, .arg = &run};
  pool_publish(&task, max_size - 1, &run.team.size);
  pool_run_member(&run, 0);
  return pool_join(&task, true);
}

static inline void pool_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/* The work between two barriers takes some 10..1000 µs, too little to sleep. But when there are
** more runnable threads than processors, the member waited for may need this very processor: after
** POOL_SPINS iterations (some 20..50 µs) the thread yields it. */
#define POOL_SPINS 1000

bool ner_team_is_lost(const struct ner_team *team) {
  return team->size > 1 && team->generation != atomic_load(&pool.generation);
}

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
    if( spins < POOL_SPINS ) {
      spins++;
      pool_pause();
    } else if( ner_team_is_lost(team) ) {
      return;
    } else {
      ner_thread_yield();
    }
  }
}

/* --- settings ------------------------------------------------------------- */

int ner_pool_threads(int n) {
  pool_lock();
  pool_read_environment();
  /* Workers beyond a smaller number just go on sleeping. */
  if( n > 0 ) pool.n_threads = n > NER_POOL_MAX_THREADS ? NER_POOL_MAX_THREADS : n;
  n = pool.n_threads;
  pool_unlock();
  return n;
}

int ner_pool_check(struct ner_err *err) {
  int code = NER_OK;
  pool_lock();
  pool_read_environment();
  if( pool.env_is_bad )
    code = ner_fail(err, NER_ERROR,
                    "NER_THREADS is \"%s\"; set it to a number from 1 to %d, or unset it", pool.env,
                    NER_POOL_MAX_THREADS);
  pool_unlock();
  return code;
}

void ner_pool_stop(void) {
  pool_lock();
  if( !pool.task && !pool.quit ) {
    pool.quit = true;
    ner_condition_broadcast(&pool.work);
    while( pool.n_workers > 0 ) {
      struct ner_thread last = pool.worker[pool.n_workers - 1];
      pool_unlock();
      ner_thread_join(&last);
      pool_lock();
      pool.n_workers--;
    }
    NER_FREE(pool.worker);
    pool.worker = NULL;
    pool.cap_workers = 0;
    pool.n_threads = 0;
    pool.env_is_bad = false;
    pool.quit = false;
  }
  pool_unlock();
}
