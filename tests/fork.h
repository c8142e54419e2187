/*
** fork.h - for tests that fork. They ask first,
**
**     test_needs_fork();
**     test_needs_fork_with_threads();   // threads start in the child of a process that has some
**
** while nothing has begun that a skipped test would leave running. Windows has no fork(), and
** ThreadSanitizer does not support such threads. Include after cmocka.h.
*/
#ifndef NER_TEST_FORK_H
#define NER_TEST_FORK_H

#if defined(_WIN32)
#define TEST_FORKS 0
#define TEST_NO_FORK() plain_skip("Windows has no fork()") /* plain/cmocka.h */
#else
#define TEST_FORKS 1
#define TEST_NO_FORK() skip()
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_FORKS_WITH_THREADS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_FORKS_WITH_THREADS 0
#endif
#endif
#ifndef TEST_FORKS_WITH_THREADS
#define TEST_FORKS_WITH_THREADS TEST_FORKS
#endif

__attribute__((unused)) static void test_needs_fork(void) {
  if( !TEST_FORKS ) TEST_NO_FORK();
}
__attribute__((unused)) static void test_needs_fork_with_threads(void) {
  if( !TEST_FORKS_WITH_THREADS ) TEST_NO_FORK();
}

#endif
