/*
** test_pool.c - the pool: every job once, teams, settings, interrupts, fork.
*/
#define _GNU_SOURCE
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/pool.h"
#include "fork.h"

#define N_JOBS 1000
#define MANY   64

/* Each test begins like a fresh process. */
static int set_up(void **state) {
  (void)state;
  ner_pool_stop();
  unsetenv("NER_THREADS");
  return 0;
}
static int tear_down(void **state) {
  (void)state;
  ner_pool_stop();
  return 0;
}

struct tally {
  int done
      [N_JOBS]; /* not atomic, on purpose: jobs are separate, and the end of a run orders them */
  int by_rank[MANY];
};

static void mark(void *arg, int job, int rank) {
  struct tally *tally = arg;
  tally->done[job]++;
  tally->by_rank[rank]++;
  if( job % 10 == 0 ) sched_yield();
}

static void assert_each_once(const struct tally *tally) {
  int sum = 0;
  for( int i = 0; i < N_JOBS; i++ ) assert_int_equal(tally->done[i], 1);
  for( int i = 0; i < MANY; i++ ) sum += tally->by_rank[i];
  assert_int_equal(sum, N_JOBS);
}

static void test_each_job_once(void **state) {
  (void)state;
  for( int threads = 1; threads <= 5; threads++ ) {
    assert_int_equal(ner_pool_threads(threads), threads);
    for( int round = 0; round < 20; round++ ) {
      struct tally tally = {0};
      assert_int_equal(ner_pool_run(MANY, N_JOBS, mark, &tally, NULL), NER_OK);
      assert_each_once(&tally);
      for( int r = threads; r < MANY; r++ ) assert_int_equal(tally.by_rank[r], 0);
    }
  }
}

static void test_at_most_max_threads(void **state) {
  struct tally tally = {0};
  (void)state;
  ner_pool_threads(4);
  assert_int_equal(ner_pool_run(2, N_JOBS, mark, &tally, NULL), NER_OK);
  assert_each_once(&tally);
  for( int r = 2; r < MANY; r++ ) assert_int_equal(tally.by_rank[r], 0);
  memset(&tally, 0, sizeof tally);
  assert_int_equal(ner_pool_run(1, N_JOBS, mark, &tally, NULL), NER_OK);
  assert_int_equal(tally.by_rank[0], N_JOBS);
}

static void test_no_jobs(void **state) {
  (void)state;
  assert_int_equal(ner_pool_run(4, 0, mark, NULL, NULL), NER_OK);
}

/* ---- cancel ---- */

struct stopper {
  pthread_t caller;
  int asked, limit;
  atomic_int jobs;
};
static bool ask(void *arg) {
  struct stopper *s = arg;
  assert_true(pthread_equal(s->caller, pthread_self()));
  return ++s->asked >= s->limit;
}
static void slow_job(void *arg, int job, int rank) {
  struct timespec ms = {.tv_nsec = 1000000};
  (void)job, (void)rank;
  atomic_fetch_add(&((struct stopper *)arg)->jobs, 1);
  nanosleep(&ms, NULL);
}

static void test_stop(void **state) {
  (void)state;
  for( int threads = 1; threads <= 3; threads++ ) {
    struct stopper s = {.caller = pthread_self(), .limit = 5};
    struct ner_cancel cancel = {ask, &s};
    ner_pool_threads(threads);
    assert_int_equal(ner_pool_run(MANY, N_JOBS, slow_job, &s, &cancel), NER_INTERRUPT);
    assert_int_equal(s.asked, 5);
    assert_true(atomic_load(&s.jobs) >= 5 && atomic_load(&s.jobs) < N_JOBS / 2);
    s = (struct stopper){.caller = pthread_self(), .limit = 1000};
    assert_int_equal(ner_pool_run(MANY, 10, slow_job, &s, &cancel), NER_OK);
    assert_int_equal(atomic_load(&s.jobs), 10);
  }
}

/* ---- teams ---- */

struct relay {
  int size, seen[MANY];
  long step[MANY]; /* not atomic: the barrier alone orders the accesses */
  atomic_int wrong;
};

/* Each member alternately writes its own number and reads its neighbour's. */
static void relay(void *arg, struct ner_team *team, int rank) {
  struct relay *r = arg;
  int next = (rank + 1) % team->size;
  r->seen[rank]++;
  if( rank == 0 ) r->size = team->size;
  for( long i = 1; i <= 300; i++ ) {
    r->step[rank] = i;
    ner_team_wait(team);
    if( r->step[next] != i ) atomic_fetch_add(&r->wrong, 1);
    ner_team_wait(team);
  }
}

static void test_team(void **state) {
  (void)state;
  for( int threads = 1; threads <= 4; threads++ ) {
    ner_pool_threads(threads);
    for( int round = 0; round < 5; round++ ) {
      struct relay r = {0};
      ner_pool_team(MANY, relay, &r);
      assert_int_equal(r.size, threads);
      assert_int_equal(atomic_load(&r.wrong), 0);
      for( int i = 0; i < MANY; i++ ) assert_int_equal(r.seen[i], i < threads);
    }
  }
  struct relay r = {0};
  ner_pool_team(2, relay, &r);
  assert_int_equal(r.size, 2);
}

/* A team is complete even if its members never meet. */
static void count_member(void *arg, struct ner_team *team, int rank) {
  (void)team, (void)rank;
  atomic_fetch_add((atomic_int *)arg, 1);
}
static void test_team_is_complete(void **state) {
  (void)state;
  ner_pool_threads(4);
  for( int round = 0; round < 100; round++ ) {
    atomic_int n = 0;
    ner_pool_team(4, count_member, &n);
    assert_int_equal(atomic_load(&n), 4);
  }
}

/* ---- several callers ---- */

static void *many_runs(void *arg) {
  (void)arg;
  for( int i = 0; i < 30; i++ ) {
    struct tally tally = {0};
    struct relay r = {0};
    if( ner_pool_run(MANY, N_JOBS, mark, &tally, NULL) ) return "run failed";
    for( int j = 0; j < N_JOBS; j++ )
      if( tally.done[j] != 1 ) return "a job not done once";
    if( i % 10 ) continue;
    ner_pool_team(3, relay, &r);
    if( atomic_load(&r.wrong) ) return "a member out of step";
  }
  return NULL;
}

static void test_callers_at_once(void **state) {
  pthread_t thread[4];
  (void)state;
  ner_pool_threads(3);
  for( int i = 0; i < 4; i++ )
    assert_int_equal(pthread_create(&thread[i], NULL, many_runs, NULL), 0);
  for( int i = 0; i < 4; i++ ) {
    void *problem;
    pthread_join(thread[i], &problem);
    if( problem ) fail_msg("%s", (char *)problem);
  }
}

static void run_inside(void *arg, int job, int rank) {
  struct tally tally = {0};
  (void)job, (void)rank;
  if( ner_pool_run(MANY, N_JOBS, mark, &tally, NULL) == NER_OK && tally.by_rank[0] == N_JOBS )
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void test_run_inside_a_run(void **state) {
  atomic_int alone = 0;
  (void)state;
  ner_pool_threads(3);
  assert_int_equal(ner_pool_run(3, 20, run_inside, &alone, NULL), NER_OK);
  assert_int_equal(atomic_load(&alone), 20);
}

/* ---- properties of workers ---- */

struct look {
  atomic_int unblocked, rounding;
};
static void look(void *arg, struct ner_team *team, int rank) {
  struct look *l = arg;
  sigset_t set;
  (void)team;
  if( rank == 0 ) return;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  if( !sigismember(&set, SIGINT) || !sigismember(&set, SIGALRM) || !sigismember(&set, SIGTERM) )
    atomic_fetch_add(&l->unblocked, 1);
  atomic_store(&l->rounding, fegetround());
}

static void test_workers_leave_signals_alone(void **state) {
  struct look l = {0};
  sigset_t before, after;
  (void)state;
  ner_pool_threads(3);
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  ner_pool_team(3, look, &l);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  assert_int_equal(atomic_load(&l.unblocked), 0);
  for( int s = 1; s < 32; s++ ) assert_int_equal(sigismember(&before, s), sigismember(&after, s));
}

/* Same results on any thread: workers compute in the caller's floating-point mode. */
static void test_workers_round_as_the_caller(void **state) {
  struct look l = {0};
  int before = fegetround();
  (void)state;
  ner_pool_threads(2);
  ner_pool_team(2, look, &l);
  assert_int_equal(atomic_load(&l.rounding), before);
#ifdef FE_UPWARD
  fesetround(FE_UPWARD);
  ner_pool_team(2, look, &l);
  fesetround(before);
  assert_int_equal(atomic_load(&l.rounding), FE_UPWARD);
#endif
}

static double process_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_idle_workers_sleep(void **state) {
  struct timespec wait = {.tv_nsec = 200000000};
  atomic_int n = 0;
  double before;
  (void)state;
  ner_pool_threads(4);
  ner_pool_team(4, count_member, &n);
  before = process_seconds();
  nanosleep(&wait, NULL);
  assert_true(process_seconds() - before < 0.05);
}

/* ---- settings ---- */

static void test_default_number(void **state) {
  struct ner_err err = {0};
  (void)state;
  assert_int_equal(ner_pool_check(&err), NER_OK);
  assert_true(ner_pool_threads(0) >= 1);
#ifdef __linux__
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  assert_int_equal(ner_pool_threads(0), CPU_COUNT(&set));
#endif
  assert_int_equal(ner_pool_threads(-3), ner_pool_threads(0));
  assert_int_equal(ner_pool_threads(7), 7);
  assert_int_equal(ner_pool_threads(0), 7);
  assert_int_equal(ner_pool_threads(1 << 30), NER_POOL_MAX_THREADS);
}

static void test_environment(void **state) {
  static const char *const good[] = {"1", "3", "1024", "007"};
  static const int value[] = {1, 3, 1024, 7};
  static const char *const bad[] = {
      "",    "0",   "-1",  "+2",   "1025", "2 ", " 2",   "2x",
      "abc", "1e2", "1.5", "0x10", "000",  "٣",  "auto", "99999999999999999999"};
  (void)state;
  for( size_t i = 0; i < sizeof good / sizeof *good; i++ ) {
    struct ner_err err = {0};
    ner_pool_stop();
    setenv("NER_THREADS", good[i], 1);
    assert_int_equal(ner_pool_check(&err), NER_OK);
    assert_int_equal(ner_pool_threads(0), value[i]);
  }
  for( size_t i = 0; i < sizeof bad / sizeof *bad; i++ ) {
    struct ner_err err = {0};
    ner_pool_stop();
    setenv("NER_THREADS", bad[i], 1);
    if( ner_pool_check(&err) != NER_ERROR ) fail_msg("NER_THREADS=\"%s\" was taken", bad[i]);
    assert_non_null(strstr(err.msg, "NER_THREADS"));
    assert_non_null(strstr(err.msg, bad[i]));
    assert_true(ner_pool_threads(0) >= 1);
  }
}

static void test_resize_and_stop(void **state) {
  (void)state;
  for( int round = 0; round < 20; round++ ) {
    struct tally tally = {0};
    atomic_int n = 0;
    ner_pool_threads(1 + round % 5);
    assert_int_equal(ner_pool_run(MANY, N_JOBS, mark, &tally, NULL), NER_OK);
    assert_each_once(&tally);
    ner_pool_team(MANY, count_member, &n);
    assert_int_equal(atomic_load(&n), 1 + round % 5);
    if( round % 3 == 0 ) ner_pool_stop();
  }
}

/* ---- fork ---- */

/* In a child: a team of three forms, and the results are right. */
static int child_works(void) {
  struct tally tally = {0};
  atomic_int n = 0;
  alarm(20); /* a hang is a failure */
  ner_pool_threads(3);
  ner_pool_team(3, count_member, &n);
  if( atomic_load(&n) != 3 ) return 1;
  if( ner_pool_run(3, N_JOBS, mark, &tally, NULL) ) return 2;
  for( int i = 0; i < N_JOBS; i++ )
    if( tally.done[i] != 1 ) return 3;
  return 0;
}

static int wait_for(pid_t pid) {
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void *keep_running(void *arg) {
  while( !atomic_load((atomic_bool *)arg) ) many_runs(NULL);
  return NULL;
}

/* While another thread runs tasks: the thread that holds the lock or the task is gone in the
** child. */
static void test_fork(void **state) {
  atomic_bool end = false;
  pthread_t other;
  (void)state;
  test_needs_fork_with_threads();
  ner_pool_threads(3);
  assert_int_equal(pthread_create(&other, NULL, keep_running, &end), 0);
  for( int i = 0; i < 20; i++ ) {
    struct timespec pause = {.tv_nsec = 1000000 * (i % 3)};
    pid_t pid;
    nanosleep(&pause, NULL);
    pid = fork();
    if( pid == 0 ) _exit(child_works());
    assert_true(pid > 0);
    assert_int_equal(wait_for(pid), 0);
  }
  atomic_store(&end, true);
  pthread_join(other, NULL);
  assert_int_equal(child_works(), 0); /* the parent is unaffected */
  alarm(0);
}

/* The host's callback forks in the middle of a run: the child's run ends as interrupted,
** because the workers' share is lost; the parent's is complete. */
struct forker {
  pid_t pid;
  bool is_child;
};
static bool fork_once(void *arg) {
  struct forker *f = arg;
  if( f->pid ) return false;
  f->pid = fork();
  if( f->pid == 0 ) {
    f->pid = 1;
    f->is_child = true;
    alarm(20);
  }
  return false;
}

static void test_fork_in_callback(void **state) {
  struct forker f = {0};
  struct ner_cancel cancel = {fork_once, &f};
  struct stopper s = {0};
  int rc;
  (void)state;
  test_needs_fork_with_threads();
  ner_pool_threads(3);
  rc = ner_pool_run(3, 30, slow_job, &s, &cancel);
  if( f.is_child ) _exit(rc == NER_INTERRUPT ? child_works() : 100 + rc);
  assert_int_equal(rc, NER_OK);
  assert_int_equal(atomic_load(&s.jobs), 30);
  assert_int_equal(wait_for(f.pid), 0);
}

/* The same in a team: the child's barrier opens, and its team is lost. */
struct forking_team {
  struct forker forker;
  bool child_saw_it;
};
static void meet_and_fork(void *arg, struct ner_team *team, int rank) {
  struct forking_team *t = arg;
  for( int i = 0; i < 200; i++ ) {
    if( i == 100 && rank == 0 ) {
      fork_once(&t->forker);
      t->child_saw_it = ner_team_is_lost(team);
    }
    ner_team_wait(team);
  }
}

static void test_fork_in_a_team(void **state) {
  struct forking_team t = {.child_saw_it = false};
  bool complete;
  (void)state;
  test_needs_fork_with_threads();
  ner_pool_threads(3);
  complete = ner_pool_team(3, meet_and_fork, &t);
  if( t.forker.is_child ) _exit(complete ? 100 : !t.child_saw_it ? 101 : child_works());
  assert_true(complete && !t.child_saw_it);
  assert_int_equal(wait_for(t.forker.pid), 0);
}

/* ---- a system that allows few threads ---- */

/* RLIMIT_NPROC does not apply to root. As another user, `more` threads may start. */
static int few_threads(int more) {
  struct tally tally = {0};
  struct relay r = {0};
  atomic_int n = 0;
  struct rlimit limit = {(rlim_t)more + 1, (rlim_t)more + 1};
  alarm(20);
  if( setrlimit(RLIMIT_NPROC, &limit) || setuid(54321) ) return 1;
  ner_pool_threads(8);
  for( int i = 0; i < 3; i++ ) {
    memset(&tally, 0, sizeof tally);
    if( ner_pool_run(8, N_JOBS, mark, &tally, NULL) ) return 2;
    for( int j = 0; j < N_JOBS; j++ )
      if( tally.done[j] != 1 ) return 3;
    atomic_store(&n, 0);
    if( !ner_pool_team(8, count_member, &n) || atomic_load(&n) != more + 1 ) return 4;
    if( !ner_pool_team(8, relay, &r) || atomic_load(&r.wrong) ) return 5;
  }
  if( ner_pool_threads(0) != 8 ) return 6;
  ner_pool_stop();
  return 0;
}

static void test_few_threads(void **state) {
  (void)state;
  test_needs_fork_with_threads();
  if( getuid() != 0 ) skip();
  for( int more = 0; more <= 2; more++ ) {
    pid_t pid = fork();
    if( pid == 0 ) _exit(few_threads(more));
    assert_int_equal(wait_for(pid), 0);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_each_job_once),
      TEST(test_at_most_max_threads),
      TEST(test_no_jobs),
      TEST(test_stop),
      TEST(test_team),
      TEST(test_team_is_complete),
      TEST(test_callers_at_once),
      TEST(test_run_inside_a_run),
      TEST(test_workers_leave_signals_alone),
      TEST(test_workers_round_as_the_caller),
      TEST(test_idle_workers_sleep),
      TEST(test_default_number),
      TEST(test_environment),
      TEST(test_resize_and_stop),
      TEST(test_fork),
      TEST(test_fork_in_callback),
      TEST(test_fork_in_a_team),
      TEST(test_few_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
