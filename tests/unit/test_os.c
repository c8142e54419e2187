/*
** test_os.c - base/os.h: what the library asks of the operating system, where systems differ. Names
** beyond ASCII, long paths, directories and devices in place of files, files that are replaced while
** they are in use, threads, the environment.
*/
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/os.h"
#include "support.h"
#ifdef _WIN32
#include "base/os_windows.h"
#define DEVICE "NUL"
#else
#define DEVICE "/dev/null"
#endif

#define SENTENCE "Angela Merkel met Peter Hansen of Reuters in Berlin , Germany ."
#define FOREIGN  "é日本 Ω"

static char dir[TEST_PATH];

/* As mkdir(), of a path in UTF-8 and of any length. */
static void make_dir(const char *path) {
#ifdef _WIN32
  wchar_t *wide = ner_windows_wide(path), full[2000] = L"\\\\?\\";
  assert_non_null(wide);
  assert_true(GetFullPathNameW(wide, 1900, full + 4, NULL) > 0);
  assert_true(CreateDirectoryW(full, NULL));
  NER_FREE(wide);
#else
  assert_int_equal(mkdir(path, 0777), 0);
#endif
}
static void remove_dir(const char *path) {
#ifdef _WIN32
  wchar_t *wide = ner_windows_wide(path), full[2000] = L"\\\\?\\";
  assert_true(GetFullPathNameW(wide, 1900, full + 4, NULL) > 0);
  assert_true(RemoveDirectoryW(full));
  NER_FREE(wide);
#else
  assert_int_equal(rmdir(path), 0);
#endif
}

static int set_up(void **state) {
  test_dir_make(dir);
  return 0;
}
static int tear_down(void **state) {
  test_dir_remove(dir);
  return 0;
}

static int put(const char *path, const char *bytes, size_t n, struct ner_err *err) {
  struct ner_file_writer w;
  int rc = ner_file_write_begin(&w, path, err);
  if( rc ) return rc;
  if( (rc = ner_file_write(&w, bytes, n, err)) ) return ner_file_write_abort(&w), rc;
  return ner_file_write_commit(&w, err);
}

static void must_put(const char *path, const char *text) {
  struct ner_err err = {0};
  if( put(path, text, strlen(text), &err) ) fail_msg("%s", err.msg);
}

static void must_hold(const char *path, const char *text) {
  struct ner_err err = {0};
  char *found;
  size_t n;
  if( ner_file_read(path, 1 << 20, &found, &n, &err) ) fail_msg("%s", err.msg);
  assert_string_equal(found, text);
  NER_FREE(found);
}

static void must_fail(int rc, const struct ner_err *err, const char *part) {
  assert_int_equal(rc, NER_ERROR);
  if( !strstr(err->msg, part) ) fail_msg("%s: no %s in it", err->msg, part);
}

static void must_find_names(struct ner_model *model) {
  struct ner_entities found = {0};
  struct ner_err err = {0};
  if( ner_extract(model, SENTENCE, strlen(SENTENCE), NULL, &found, &err) ) fail_msg("%s", err.msg);
  assert_int_equal(found.n, 5);
  ner_entities_free(&found);
}

/* ---- names ---- */

struct names {
  const char *wanted;
  int n, n_found;
};
static bool count_name(void *arg, const char *name) {
  struct names *names = arg;
  if( name[0] == '.' ) return true;
  names->n++;
  names->n_found += strcmp(name, names->wanted) == 0;
  return true;
}

/* Writes, opens, replaces, lists and removes a model in a directory below `dir`. */
static void work_in(const char *folder, const char *name) {
  struct ner_err err = {0};
  struct ner_model *model;
  struct names names = {name, 0, 0};
  char *path = ner_file_join(folder, name), *bytes, *resolved;
  size_t n;
  bytes = test_read("models", "ner-small.safetensors", &n);
  if( put(path, bytes, n, &err) ) fail_msg("%s", err.msg);
  if( put(path, bytes, n, &err) ) fail_msg("replacing: %s", err.msg);
  free(bytes);
  assert_int_equal(ner_file_kind(path), NER_FILE_REGULAR);
  assert_int_equal(ner_file_kind(folder), NER_FILE_DIRECTORY);
  if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
  must_find_names(model);
  ner_model_unref(model);
  ner_os_list(folder, count_name, &names);
  assert_int_equal(names.n, 1);
  assert_int_equal(names.n_found, 1);
#ifdef _WIN32
  if( strlen(path) < 250 ) /* Wine 8 resolves no longer ones */
#endif
  {
    assert_int_equal(ner_os_resolve(path, &resolved), 0);
    if( !strstr(resolved, name) ) fail_msg("%s", resolved);
    NER_FREE(resolved);
  }
  assert_int_equal(ner_os_remove(path), 0);
  assert_int_equal(ner_file_kind(path), NER_FILE_MISSING);
  NER_FREE(path);
}

static void names_are_utf8(void **state) {
  struct ner_err err = {0};
  struct ner_model *model;
  char *folder = ner_file_join(dir, FOREIGN), *path = ner_file_join(folder, "нет.safetensors");
  make_dir(folder);
  work_in(folder, "modèle 日本.safetensors");
  must_fail(ner_model_open(path, NER_PRECISION_FILE, &model, &err), &err, FOREIGN);
  NER_FREE(path);
  remove_dir(folder);
  NER_FREE(folder);
}

/* Windows' old limit is 260 characters. Each name may have 255. */
static void long_paths(void **state) {
  char *folder[5], name[101];
  memset(name, 'n', 100);
  name[100] = 0;
  for( int i = 0; i < 5; i++ ) {
    folder[i] = ner_file_join(i ? folder[i - 1] : dir, name);
    make_dir(folder[i]);
  }
  assert_true(strlen(folder[4]) > 500);
  work_in(folder[4], "m.safetensors");
  for( int i = 4; i >= 0; i-- ) {
    remove_dir(folder[i]);
    NER_FREE(folder[i]);
  }
}

/* The temporary file's name contains as much of the target's as fits, in whole characters. */
static void a_name_as_long_as_can_be(void **state) {
  char name[260] = "";
  char *path;
  for( int i = 0; i < 85; i++ ) strcat(name, "日"); /* 255 bytes */
  path = ner_file_join(dir, name);
  must_put(path, "one");
  must_put(path, "two");
  must_hold(path, "two");
  assert_int_equal(ner_os_remove(path), 0);
  NER_FREE(path);
}

static void paths(void **state) {
  assert_int_equal(ner_path_dir_bytes("a"), 0);
  assert_int_equal(ner_path_dir_bytes("/a"), 1);
  assert_int_equal(ner_path_dir_bytes("b/a"), 2);
  assert_int_equal(ner_path_dir_bytes("/b//a"), 4);
  assert_true(ner_path_stays_below("a/b..c/...d"));
  assert_false(ner_path_stays_below(""));
  assert_false(ner_path_stays_below("/a"));
  assert_false(ner_path_stays_below(".."));
  assert_false(ner_path_stays_below("a/../b"));
  assert_false(ner_path_stays_below("a/.."));
#ifdef _WIN32
  assert_int_equal(ner_path_dir_bytes("C:a"), 2);
  assert_int_equal(ner_path_dir_bytes("C:\\b\\a"), 5);
  assert_int_equal(ner_path_dir_bytes("b\\c/a"), 4);
  assert_false(ner_path_stays_below("\\a"));
  assert_false(ner_path_stays_below("C:a"));
  assert_false(ner_path_stays_below("a:stream"));
  assert_false(ner_path_stays_below("a\\..\\b"));
  assert_false(ner_path_stays_below("a/.. /b"));
  assert_false(ner_path_stays_below("a\\..."));
#else
  assert_int_equal(ner_path_dir_bytes("b\\c/a"), 4);
  assert_int_equal(ner_path_dir_bytes("b\\a"), 0);
  assert_true(ner_path_stays_below("C:a"));
#endif
}

/* ---- what is no file ---- */

static void directories_and_devices(void **state) {
  const char *const paths[] = {dir, DEVICE};
  for( int i = 0; i < 2; i++ ) {
    struct ner_err err = {0};
    struct ner_file file;
    struct ner_file_writer w;
    must_fail(ner_file_open(paths[i], &file, &err), &err, "not an ordinary file");
    err = (struct ner_err){0};
    must_fail(ner_file_write_begin(&w, paths[i], &err), &err,
              i ? "is a device; name the file" : "is a directory; name the file");
  }
}

static void what_is_missing(void **state) {
  static const char *const names[] = {"missing", "missing/missing", "a*?b/|c"};
  for( int i = 0; i < 3; i++ ) {
    struct ner_err err = {0};
    struct ner_file file;
    char path[TEST_PATH];
    test_path(path, dir, names[i]);
    assert_int_equal(ner_file_kind(path), NER_FILE_MISSING);
    must_fail(ner_file_open(path, &file, &err), &err, "cannot open: No such file or directory");
    if( i == 0 ) continue;
    err = (struct ner_err){0};
    must_fail(put(path, "x", 1, &err), &err, "No such file or directory; nothing was changed");
  }
}

/* ---- files in use ---- */

static void a_loaded_model_may_be_replaced(void **state) {
  struct ner_err err = {0};
  struct ner_model *model;
  char path[TEST_PATH], *bytes;
  size_t n;
  bytes = test_read("models", "ner-small.safetensors", &n);
  test_write(dir, "m", bytes, n);
  free(bytes);
  test_path(path, dir, "m");
  if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
  must_put(path, "something else");
  must_find_names(model);
  must_hold(path, "something else");
  ner_model_unref(model);
}

/* Between opening and finalizing the old file can be read to its end. Windows may refuse to replace
** it meanwhile; then it stays. */
static void a_file_being_read_may_be_replaced(void **state) {
  struct ner_err err = {0};
  struct ner_file file;
  char path[TEST_PATH];
  bool replaced;
  test_path(path, dir, "m");
  must_put(path, "old");
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  replaced = put(path, "new", 3, &err) == NER_OK;
  if( !replaced ) must_fail(err.code, &err, "nothing was changed");
#ifndef _WIN32
  assert_true(replaced);
#endif
  err = (struct ner_err){0};
  assert_int_equal(ner_file_read_range(&file, path, 0, 3, &err), NER_OK);
  assert_memory_equal(file.bytes, "old", 3);
  assert_int_equal(ner_file_finalize(&file, path, &err), NER_OK);
  ner_file_close(&file);
  must_hold(path, replaced ? "new" : "old");
  must_put(path, "new");
  must_hold(path, "new");
}

#ifdef _WIN32
static void writers_are_kept_out(void **state) {
  struct ner_err err = {0};
  struct ner_file file;
  char path[TEST_PATH];
  int fd;
  test_path(path, dir, "m");
  must_put(path, "old");
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  assert_true(open(path, O_WRONLY) < 0);
  ner_file_close(&file);
  assert_true((fd = open(path, O_WRONLY)) >= 0);
  must_fail(ner_file_open(path, &file, &err), &err, "cannot open: another program has it open");
  close(fd);
  err = (struct ner_err){0};
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  ner_file_close(&file);
}

/* A target that somebody holds open without sharing it, and one with the attribute "read-only". */
static void targets_that_cannot_be_replaced(void **state) {
  struct ner_err err = {0};
  struct names names = {"m", 0, 0};
  char path[TEST_PATH];
  int fd;
  test_path(path, dir, "m");
  must_put(path, "old");
  assert_true((fd = open(path, O_RDONLY)) >= 0);
  must_fail(put(path, "new", 3, &err), &err, "cannot be written");
  assert_non_null(strstr(err.msg, "nothing was changed"));
  close(fd);
  must_hold(path, "old");
  assert_true(SetFileAttributesA(path, FILE_ATTRIBUTE_READONLY));
  err = (struct ner_err){0};
  must_fail(put(path, "new", 3, &err), &err, "Permission denied; nothing was changed");
  must_hold(path, "old");
  assert_true(SetFileAttributesA(path, FILE_ATTRIBUTE_NORMAL));
  ner_os_list(dir, count_name, &names);
  assert_int_equal(names.n, 1);
  must_put(path, "new");
  must_hold(path, "new");
}
#endif

/* ---- threads and time ---- */

static struct ner_once once = NER_ONCE_INIT;
static atomic_int n_once, n_through;
static void count_once(void) {
  ner_thread_sleep_ms(20);
  atomic_fetch_add(&n_once, 1);
}
static void *come_once(void *arg) {
  ner_once_run(&once, count_once);
  if( atomic_load(&n_once) == 1 ) atomic_fetch_add(&n_through, 1);
  return NULL;
}

static void once_is_once(void **state) {
  struct ner_thread thread[4];
  for( int i = 0; i < 4; i++ ) assert_true(ner_thread_start(&thread[i], come_once, NULL));
  for( int i = 0; i < 4; i++ ) ner_thread_join(&thread[i]);
  assert_int_equal(atomic_load(&n_once), 1);
  assert_int_equal(atomic_load(&n_through), 4);
}

struct meeting {
  struct ner_mutex lock;
  struct ner_condition changed;
  int n;
};
static void *come_late(void *arg) {
  struct meeting *m = arg;
  ner_thread_sleep_ms(30);
  for( int i = 0; i < 1000; i++ ) {
    ner_mutex_lock(&m->lock);
    m->n++;
    ner_condition_broadcast(&m->changed);
    ner_mutex_unlock(&m->lock);
  }
  return NULL;
}

static void waits(void **state) {
  struct meeting m = {.n = 0};
  struct ner_thread thread[2];
  double start = ner_seconds(), waited;
  assert_true(ner_mutex_init(&m.lock));
  assert_true(ner_condition_init(&m.changed));
  ner_mutex_lock(&m.lock);
  do { /* a wait may end early */
    ner_condition_wait_ms(&m.changed, &m.lock, 50);
    waited = ner_seconds() - start;
  } while( waited < 0.045 );
  ner_mutex_unlock(&m.lock);
  assert_true(waited < 20);
  for( int i = 0; i < 2; i++ ) assert_true(ner_thread_start(&thread[i], come_late, &m));
  start = ner_seconds();
  ner_mutex_lock(&m.lock);
  while( m.n < 1000 ) ner_condition_wait(&m.changed, &m.lock);
  while( m.n < 2000 ) ner_condition_wait_ms(&m.changed, &m.lock, 100000);
  ner_mutex_unlock(&m.lock);
  assert_true(ner_seconds() - start < 60);
  for( int i = 0; i < 2; i++ ) ner_thread_join(&thread[i]);
  ner_condition_destroy(&m.changed);
  ner_mutex_destroy(&m.lock);
}

/* ---- the process ---- */

static void the_process(void **state) {
  uint64_t a = 0, b = 0;
  assert_true(ner_processors() >= 1);
  assert_true(ner_process() > 0);
  assert_true(ner_os_random(&a, sizeof a) && ner_os_random(&b, sizeof b));
  assert_true(a != b);
  assert_true(ner_os_memory_free() > 1 << 20);
  assert_true(ner_os_disk_free(dir, &a) && a > 0);
  assert_null(ner_library_open("ner-there-is-no-such-library"));
}

static void the_environment(void **state) {
  const char *first;
  unsetenv("NER_TEST_OS");
  assert_null(ner_environment("NER_TEST_OS"));
  setenv("NER_TEST_OS", "", 1);
  assert_string_equal(ner_environment("NER_TEST_OS"), "");
  setenv("NER_TEST_OS", FOREIGN, 1);
  first = ner_environment("NER_TEST_OS");
  assert_string_equal(first, FOREIGN);
#ifdef _WIN32
  for( int i = 0; i < 3; i++ ) {
    setenv("NER_TEST_OS", i % 2 ? "x" : "y", 1);
    assert_string_equal(ner_environment("NER_TEST_OS"), i % 2 ? "x" : "y");
  }
  assert_string_equal(first, FOREIGN); /* may still be read */
#endif
  unsetenv("NER_TEST_OS");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(names_are_utf8, set_up, tear_down),
      cmocka_unit_test_setup_teardown(long_paths, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_as_long_as_can_be, set_up, tear_down),
      cmocka_unit_test(paths),
      cmocka_unit_test_setup_teardown(directories_and_devices, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_missing, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_loaded_model_may_be_replaced, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_being_read_may_be_replaced, set_up, tear_down),
#ifdef _WIN32
      cmocka_unit_test_setup_teardown(writers_are_kept_out, set_up, tear_down),
      cmocka_unit_test_setup_teardown(targets_that_cannot_be_replaced, set_up, tear_down),
#endif
      cmocka_unit_test(once_is_once),
      cmocka_unit_test(waits),
      cmocka_unit_test_setup_teardown(the_process, set_up, tear_down),
      cmocka_unit_test(the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
