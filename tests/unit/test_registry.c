/*
** test_registry.c - the models of the process by name: names, the default, unloading,
** threads. The bundled model's own file serves as a model to load.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/registry.h"
#include "fork.h"

#define PATH "models/ner-small.safetensors"

static void check_ok(int rc, const struct ner_err *err) {
  if( rc != NER_OK ) fail_msg("%s", err->msg);
}

static void check_fails(int rc, const struct ner_err *err, const char *part) {
  assert_int_equal(rc, NER_ERROR);
  assert_int_equal(err->code, NER_ERROR);
  if( !strstr(err->msg, part) ) fail_msg("expected '%s' in '%s'", part, err->msg);
}

static void load(const char *name) {
  struct ner_err err = {0};
  check_ok(ner_registry_load(name, PATH, NER_PRECISION_FILE, NULL, &err), &err);
}

static void unload(const char *name) {
  struct ner_err err = {0};
  check_ok(ner_registry_unload(name, &err), &err);
}

static struct ner_model *get(const char *name) {
  struct ner_model *model;
  struct ner_err err = {0};
  check_ok(ner_registry_get(name, NULL, &model, &err), &err);
  assert_non_null(model);
  return model;
}

/* The name of the default model, as the list has it; "" when it is not open. */
static const char *listed_default(void) {
  static char name[65];
  struct ner_registry_entry *list;
  struct ner_err err = {0};
  size_t n;
  check_ok(ner_registry_list(&list, &n, &err), &err);
  *name = 0;
  for( size_t i = 0; i < n; i++ ) {
    if( !list[i].is_default ) continue;
    assert_string_equal(name, ""); /* never two */
    strcpy(name, list[i].name);
  }
  ner_registry_list_free(list, n);
  return name;
}

static void bundled_is_the_default(void **state) {
  struct ner_model *a, *b;
  assert_string_equal(listed_default(), "");
  a = get(NULL);
  b = get("bundled");
  assert_ptr_equal(a, b);
  assert_string_equal(listed_default(), "bundled");
  ner_model_unref(a);
  ner_model_unref(b);
}

static void bundled_can_be_unloaded_and_comes_back(void **state) {
  unload("bundled");
  assert_string_equal(listed_default(), "");
  unload("bundled");
  ner_model_unref(get("bundled"));
  assert_string_equal(listed_default(), "bundled");
}

static void names_are_checked(void **state) {
  static const char *const bad[] = {
      "",    " ",
      "a b", "a/b",
      "a'b", "\xc3\xa9",
      "\n",  "12345678901234567890123456789012345678901234567890123456789012345"};
  static const char *const good[] = {
      "a", "A-b_c.9", "1234567890123456789012345678901234567890123456789012345678901234"};
  for( size_t i = 0; i < sizeof bad / sizeof *bad; i++ ) {
    struct ner_err err = {0};
    check_fails(ner_registry_load(bad[i], PATH, NER_PRECISION_FILE, NULL, &err), &err, "cannot be");
  }
  for( size_t i = 0; i < sizeof good / sizeof *good; i++ ) {
    load(good[i]);
    unload(good[i]);
  }
}

static void own_names_cannot_be_given(void **state) {
  struct ner_err err = {0}, err2 = {0};
  check_fails(ner_registry_load("bundled", PATH, NER_PRECISION_FILE, NULL, &err), &err, "is taken");
  check_fails(ner_registry_load("NER_MODEL", PATH, NER_PRECISION_FILE, NULL, &err2), &err2,
              "is taken");
}

static void an_unknown_name_lists_the_known(void **state) {
  struct ner_model *model = (struct ner_model *)state;
  struct ner_err err = {0}, err2 = {0}, err3 = {0}, err4 = {0};
  load("x1");
  check_fails(ner_registry_get("nobody", NULL, &model, &err), &err,
              "no model is called 'nobody'; there are: x1, bundled");
  assert_null(model);
  check_fails(ner_registry_get("not/a name", NULL, &model, &err2), &err2, "no model is called");
  check_fails(ner_registry_unload("nobody", &err3), &err3, "no model is called 'nobody'");
  check_fails(ner_registry_set_default("nobody", NULL, &err4), &err4,
              "no model is called 'nobody'");
  unload("x1");
}

/* More names than a message holds, and a name of which only a part is shown. */
static void an_unknown_name_of_many(void **state) {
  struct ner_model *model = NULL;
  struct ner_err err = {0}, err2 = {0};
  char name[65];
  for( int i = 0; i < 12; i++ ) {
    memset(name, 'a' + i, 64);
    name[i % 5 ? 64 : 30] = 0;
    load(name);
  }
  check_fails(ner_registry_get("nobody", NULL, &model, &err), &err, ", …, bundled (add one with");
  for( int i = 0; i < 12; i++ ) {
    memset(name, 'a' + i, 64);
    name[i % 5 ? 64 : 30] = 0;
    unload(name);
  }
  check_fails(
      ner_registry_get("xééééééééééééééééééééééééééééééééééééééééééééééééé", NULL, &model, &err2),
      &err2, "no model is called 'xééééééééééééééééééééééééééééééééééééééé…'; there are");
}

static void a_file_that_is_not_there_is_named(void **state) {
  struct ner_err err = {0};
  check_fails(ner_registry_load("a", "/no/such/model", NER_PRECISION_FILE, NULL, &err), &err,
              "/no/such/model");
}

static void default_can_be_chosen_and_is_kept(void **state) {
  struct ner_model *a, *b;
  struct ner_err err = {0}, err2 = {0};
  load("mine");
  check_ok(ner_registry_set_default("mine", NULL, &err), &err);
  assert_string_equal(listed_default(), "mine");
  a = get(NULL);
  b = get("mine");
  assert_ptr_equal(a, b);
  check_fails(ner_registry_unload("mine", &err), &err, "is the default model");
  check_ok(ner_registry_set_default("bundled", NULL, &err2), &err2);
  unload("mine");
  assert_string_equal(a->path, PATH); /* unloaded, but valid as long as it is referenced */
  ner_model_unref(a);
  ner_model_unref(b);
}

static void loading_again_replaces(void **state) {
  struct ner_model *old, *new;
  load("twice");
  old = get("twice");
  load("twice");
  new = get("twice");
  assert_ptr_not_equal(old, new);
  ner_model_unref(old);
  ner_model_unref(new);
  unload("twice");
}

/* A fresh process determines the default again. */
static int in_child(int (*fn)(void)) {
  int status = -1;
  pid_t pid = fork();
  if( pid == 0 ) _exit(fn());
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int good_environment(void) {
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  setenv("NER_MODEL", PATH, 1);
  if( ner_registry_get(NULL, NULL, &model, &err) != NER_OK || strcmp(model->path, PATH) ) return 1;
  ner_model_unref(model);
  return strcmp(listed_default(), "NER_MODEL") != 0;
}

static int bad_environment(void) {
  struct ner_model *model = NULL;
  struct ner_err err = {0}, err2 = {0};
  setenv("NER_MODEL", "/no/such/model", 1);
  if( ner_registry_get(NULL, NULL, &model, &err) == NER_OK || model ) return 1;
  if( !strstr(err.msg, "NER_MODEL") || !strstr(err.msg, "/no/such/model") ) return 2;
  /* The bundled one is still available by name. */
  if( ner_registry_get("bundled", NULL, &model, &err2) != NER_OK ) return 3;
  ner_model_unref(model);
  return 0;
}

static int empty_environment(void) {
  setenv("NER_MODEL", "", 1);
  ner_model_unref(get(NULL));
  return strcmp(listed_default(), "bundled") != 0;
}

static void environment_names_the_default(void **state) {
  test_needs_fork();
  assert_int_equal(in_child(good_environment), 0);
  assert_int_equal(in_child(bad_environment), 0);
  assert_int_equal(in_child(empty_environment), 0);
}

/* ---- cancelling the opening of the default model ---- */

static bool count_down(void *left) {
  return --*(int *)left < 0;
}

/* Cancelled after any number of questions, and then nothing is left of it. */
static int opening_is_cancelled(void) {
  int n_cancelled = 0, rc = NER_INTERRUPT;
  setenv("NER_MODEL", PATH, 1);
  for( int n = 0; rc == NER_INTERRUPT; n++ ) {
    struct ner_model *model = NULL;
    struct ner_err err = {0};
    int left = n;
    const struct ner_cancel cancel = {count_down, &left};
    if( *listed_default() ) return 1;
    rc = n % 2 ? ner_registry_get(NULL, &cancel, &model, &err)
               : ner_registry_set_default("NER_MODEL", &cancel, &err);
    if( rc == NER_INTERRUPT && (model || strcmp(err.msg, "interrupted")) ) return 2;
    if( rc == NER_INTERRUPT ) n_cancelled++;
    ner_model_unref(model);
  }
  if( rc != NER_OK || n_cancelled < 3 ) return 3;
  return strcmp(listed_default(), "NER_MODEL") != 0;
}

/* Opens slowly: sleeps each time it is asked. */
static bool is_slow(void *arg) {
  atomic_fetch_add((atomic_int *)arg, 1);
  usleep(100000);
  return false;
}

static void *open_slowly(void *arg) {
  const struct ner_cancel cancel = {is_slow, arg};
  struct ner_model *model = NULL;
  if( ner_registry_get(NULL, &cancel, &model, NULL) != NER_OK ) return "open";
  ner_model_unref(model);
  return NULL;
}

/* A thread that waits while another one opens the model can be interrupted, too. */
static int waiting_is_cancelled(void) {
  atomic_int asked = 0;
  pthread_t other;
  struct ner_model *model = NULL;
  struct ner_err err = {0};
  int left = 3;
  const struct ner_cancel cancel = {count_down, &left};
  void *wrong;
  alarm(20);
  setenv("NER_MODEL", PATH, 1);
  pthread_create(&other, NULL, open_slowly, &asked);
  while( atomic_load(&asked) == 0 ) usleep(1000);
  if( ner_registry_get(NULL, &cancel, &model, &err) != NER_INTERRUPT ) return 1;
  if( ner_registry_get(NULL, NULL, &model, &err) != NER_OK ) return 2; /* waits to the end */
  ner_model_unref(model);
  pthread_join(other, &wrong);
  return wrong ? 3 : 0;
}

/* The host's callback forks while the model is being opened: both go on. */
static bool fork_once(void *arg) {
  pid_t *child = arg;
  if( *child == -1 ) *child = fork();
  return false;
}

static int forking_while_opening(void) {
  pid_t child = -1;
  const struct ner_cancel cancel = {fork_once, &child};
  struct ner_model *model = NULL, *again = NULL;
  int status = -1;
  alarm(20);
  setenv("NER_MODEL", PATH, 1);
  if( ner_registry_get(NULL, &cancel, &model, NULL) != NER_OK ) return 1;
  if( ner_registry_get(NULL, NULL, &again, NULL) != NER_OK || again != model ) return 2;
  ner_model_unref(model);
  ner_model_unref(again);
  if( child == 0 ) _exit(0);
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static void the_default_opens_cancellably(void **state) {
  test_needs_fork();
  assert_int_equal(in_child(opening_is_cancelled), 0);
  assert_int_equal(in_child(waiting_is_cancelled), 0);
  assert_int_equal(in_child(forking_while_opening), 0);
}

/* Everything at once, from many threads; for the sanitizers. */
static void *hammer(void *arg) {
  int me = (int)(intptr_t)arg;
  char name[8] = {'t', (char)('0' + me % 3), 0};
  for( int i = 0; i < 20; i++ ) {
    struct ner_model *model = NULL;
    struct ner_registry_entry *list = NULL;
    size_t n = 0;
    if( ner_registry_load(name, PATH, NER_PRECISION_FILE, NULL, NULL) != NER_OK ) return "load";
    ner_registry_set_default(i % 2 ? name : "bundled", NULL, NULL);
    if( ner_registry_get(NULL, NULL, &model, NULL) == NER_OK ) ner_model_unref(model);
    if( ner_registry_get(name, NULL, &model, NULL) == NER_OK ) ner_model_unref(model);
    if( ner_registry_list(&list, &n, NULL) != NER_OK || n < 1 ) return "list";
    ner_registry_list_free(list, n);
    ner_registry_unload(name, NULL);
  }
  return NULL;
}

static void threads_may_do_as_they_please(void **state) {
  pthread_t thread[6];
  for( intptr_t i = 0; i < 6; i++ )
    assert_int_equal(pthread_create(&thread[i], NULL, hammer, (void *)i), 0);
  for( int i = 0; i < 6; i++ ) {
    void *wrong;
    pthread_join(thread[i], &wrong);
    if( wrong ) fail_msg("%s", (const char *)wrong);
  }
  struct ner_err err = {0};
  check_ok(ner_registry_set_default("bundled", NULL, &err), &err);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(environment_names_the_default),
      cmocka_unit_test(the_default_opens_cancellably),
      cmocka_unit_test(bundled_is_the_default),
      cmocka_unit_test(bundled_can_be_unloaded_and_comes_back),
      cmocka_unit_test(names_are_checked),
      cmocka_unit_test(own_names_cannot_be_given),
      cmocka_unit_test(an_unknown_name_lists_the_known),
      cmocka_unit_test(an_unknown_name_of_many),
      cmocka_unit_test(a_file_that_is_not_there_is_named),
      cmocka_unit_test(default_can_be_chosen_and_is_kept),
      cmocka_unit_test(loading_again_replaces),
      cmocka_unit_test(threads_may_do_as_they_please),
  };
  unsetenv("NER_MODEL");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
