/*
** test_files.c - model files that other processes truncate, overwrite, replace and delete: while
** the model is in use, while queries run, while the file is being read.
**
** Truncating a mapped file kills its reader (SIGBUS): then this program dies, which
** counts as a failure.
*/
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include "base/file.h"
#include "engine/registry.h"
#include "model/open.h"
#include "sql/sql.h"
#include "support.h"

#define BUNDLED  "models/ner-small.safetensors"
#define SENTENCE "Angela Merkel met Peter Hansen of Reuters in Berlin , Germany ."

static char dir[TEST_PATH], path[TEST_PATH];

static int set_up(void **state) {
  test_dir_make(dir);
  test_path(path, dir, "model.safetensors");
  return 0;
}

static int tear_down(void **state) {
  test_dir_remove(dir);
  return 0;
}

/* A private copy of a model file, large enough to have pages that have not been read yet. */
static void put_model(const char *name) {
  size_t n;
  char *bytes = test_read("models", "ner-small.safetensors", &n);
  test_write(dir, name, bytes, n);
  free(bytes);
}

static sqlite3 *open_db(void) {
  sqlite3 *db = NULL;
  char *message = NULL;
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  if( sqlite3_ner_init(db, &message, NULL) ) fail_msg("%s", message);
  return db;
}

/* One value, or the error's message; to be freed with sqlite3_free. */
static char *ask(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  char *answer = NULL;
  if( sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW )
    answer = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
  else
    answer = sqlite3_mprintf("error: %s", sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  return answer;
}

static void check(sqlite3 *db, const char *sql, const char *expected) {
  char *answer = ask(db, sql);
  if( !strstr(answer, expected) ) fail_msg("%s gives %s, not %s", sql, answer, expected);
  sqlite3_free(answer);
}

static void load(sqlite3 *db, const char *name, const char *from) {
  char *sql = sqlite3_mprintf("SELECT ner_load('%q', '%q')", name, from);
  check(db, sql, name);
  sqlite3_free(sql);
}

/* ---- in use ---- */

struct asker {
  pthread_t thread;
  const char *model;
  char *expected;
  char *wrong; /* the first wrong answer */
  atomic_bool *cancel;
  atomic_int n_asked;
};

/* All texts differ, so that the connection's cache has no answer and other rows of
** the word embeddings are read. */
static char *question(const char *model, int i) {
  return sqlite3_mprintf("SELECT ner_json('" SENTENCE " %d %s' || char(%d), %Q)", i, "vo ga xu",
                         0x3b1 + i % 24, model);
}

static void *keep_asking(void *arg) {
  struct asker *asker = arg;
  sqlite3 *db = open_db();
  for( int i = 0; !atomic_load(asker->cancel); i++ ) {
    char *theirs = question(asker->model, i), *ours = question(asker->expected, i);
    char *found = ask(db, theirs), *expected = ask(db, ours);
    if( strcmp(found, expected) || !strncmp(found, "error", 5) ) {
      if( !asker->wrong ) asker->wrong = sqlite3_mprintf("%s gives %s", theirs, found);
    }
    sqlite3_free(theirs);
    sqlite3_free(ours);
    sqlite3_free(found);
    sqlite3_free(expected);
    atomic_fetch_add(&asker->n_asked, 1);
  }
  sqlite3_close(db);
  return NULL;
}

static void overwrite(void) {
  char junk[4096];
  int fd = open(path, O_WRONLY);
  struct stat st;
  assert_true(fd >= 0);
  assert_int_equal(fstat(fd, &st), 0);
  memset(junk, 0xa5, sizeof junk);
  for( off_t at = 0; at < st.st_size; at += (off_t)sizeof junk )
    assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
  close(fd);
}
static void cut_to_half(void) {
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(truncate(path, st.st_size / 2), 0);
}
static void cut_to_nothing(void) {
  assert_int_equal(truncate(path, 0), 0);
}
static void replace(void) {
  char other[TEST_PATH];
  test_write_text(dir, "other", "no model at all");
  assert_int_equal(rename(test_path(other, dir, "other"), path), 0);
}
static void delete_it(void) {
  assert_int_equal(remove(path), 0);
}

/* Each thing that can happen to the file, while two threads use the model. */
static void in_use_model_stays(const char *name, void (*const *events)(void), size_t n) {
  struct asker asker[2] = {{0}};
  atomic_bool cancel;
  atomic_init(&cancel, false);
  for( int i = 0; i < 2; i++ ) {
    asker[i].model = name;
    asker[i].expected = "untouched";
    asker[i].cancel = &cancel;
    assert_int_equal(pthread_create(&asker[i].thread, NULL, keep_asking, &asker[i]), 0);
  }
  for( size_t e = 0; e <= n; e++ ) {
    int before[2] = {atomic_load(&asker[0].n_asked), atomic_load(&asker[1].n_asked)};
    if( e < n ) events[e]();
    /* Some questions that began before the event and some that begin after it. */
    for( int i = 0; i < 2; i++ )
      while( atomic_load(&asker[i].n_asked) < before[i] + 4 ) usleep(1000);
  }
  atomic_store(&cancel, true);
  for( int i = 0; i < 2; i++ ) {
    pthread_join(asker[i].thread, NULL);
    if( asker[i].wrong ) fail_msg("%s", asker[i].wrong);
  }
}

static void a_file_in_use_may_change(void **state) {
  static void (*const events[])(void) = {overwrite, cut_to_half, cut_to_nothing, replace,
                                         delete_it};
  sqlite3 *db = open_db();
  put_model("model.safetensors");
  load(db, "untouched", BUNDLED);
  load(db, "theirs", path);
  in_use_model_stays("theirs", events, sizeof events / sizeof *events);
  /* A new load fails. */
  char *sql = sqlite3_mprintf("SELECT ner_load('late', '%q')", path);
  check(db, sql, "does not exist");
  sqlite3_free(sql);
  check(db, "SELECT ner_unload('theirs')", "theirs");
  check(db, "SELECT ner_unload('untouched')", "untouched");
  sqlite3_close(db);
}

/* A directory's word embeddings are used as the file has them. */
static void a_directory_in_use_may_change(void **state) {
  static void (*const events[])(void) = {overwrite, cut_to_nothing, delete_it};
  struct tiny tiny = tiny_distilbert();
  char untouched[TEST_PATH];
  sqlite3 *db = open_db();
  tiny.positions = 100;
  test_dir_make(untouched);
  tiny_write(untouched, &tiny);
  tiny_write(dir, &tiny);
  load(db, "untouched", untouched);
  load(db, "theirs", dir);
  in_use_model_stays("theirs", events, sizeof events / sizeof *events);
  check(db, "SELECT ner_unload('theirs')", "theirs");
  check(db, "SELECT ner_unload('untouched')", "untouched");
  test_dir_remove(untouched);
  sqlite3_close(db);
}

/* ---- while being read ---- */

static void fails(int rc, const struct ner_err *err, const char *part) {
  assert_int_equal(rc, NER_ERROR);
  if( !strstr(err->msg, path) || !strstr(err->msg, part) )
    fail_msg("expected '%s' in '%s'", part, err->msg);
}

static void reading_notices(void **state) {
#ifdef _WIN32
  skip(); /* nobody else may write meanwhile: test_os.c */
#else
  static const char text[] = "0123456789";
  struct ner_err err = {0};
  struct ner_file file;
  struct stat st;
  struct timespec times[2] = {{0}};
  /* Shorter, detected by reading and by finalizing. */
  test_write_text(dir, "model.safetensors", text);
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  assert_int_equal(ner_file_read_range(&file, path, 0, 2, &err), NER_OK);
  assert_int_equal(truncate(path, 4), 0);
  assert_int_equal(ner_file_read_range(&file, path, 2, 4, &err), NER_OK);
  assert_memory_equal(file.bytes, "0123", 4);
  fails(ner_file_read_range(&file, path, 2, 10, &err), &err, "became shorter");
  err = (struct ner_err){0};
  fails(ner_file_finalize(&file, path, &err), &err, "was changed while it was being read");
  ner_file_close(&file);
  /* Longer. */
  err = (struct ner_err){0};
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  test_write_text(dir, "model.safetensors", text);
  fails(ner_file_finalize(&file, path, &err), &err, "was changed");
  ner_file_close(&file);
  /* The same length. */
  err = (struct ner_err){0};
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  times[0].tv_sec = times[1].tv_sec = st.st_mtime + 1;
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
  fails(ner_file_finalize(&file, path, &err), &err, "was changed");
  ner_file_close(&file);
  /* Replaced by a rename, as it should be: the old file is read to its end. */
  err = (struct ner_err){0};
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  replace();
  assert_int_equal(ner_file_read_range(&file, path, 0, 10, &err), NER_OK);
  assert_int_equal(ner_file_finalize(&file, path, &err), NER_OK);
  assert_memory_equal(file.bytes, text, 10);
  ner_file_close(&file);
#endif
}

static void discarding_spares_its_neighbours(void **state) {
  size_t n = 1 << 20;
  char *text = malloc(n);
  struct ner_err err = {0};
  struct ner_file file;
  assert_non_null(text);
  for( size_t i = 0; i < n; i++ ) text[i] = (char)(i * 7 + i / 4096);
  test_write(dir, "model.safetensors", text, n);
  assert_int_equal(ner_file_open(path, &file, &err), NER_OK);
  assert_int_equal(ner_file_read_range(&file, path, 0, n, &err), NER_OK);
  assert_int_equal(ner_file_finalize(&file, path, &err), NER_OK);
  ner_file_discard(&file, 5000, 5001);
  ner_file_discard(&file, 100001, 900001);
  assert_memory_equal(file.bytes, text, 100001);
  assert_memory_equal(file.bytes + 900001, text + 900001, n - 900001);
  ner_file_close(&file);
  free(text);
}

struct rewriter {
  pthread_t thread;
  const char *bytes;
  size_t n;
  atomic_bool cancel;
  atomic_uint pause_us; /* between two writings */
};

/* What cp(1) does, over and over. */
static void *keep_rewriting(void *arg) {
  struct rewriter *r = arg;
  while( !atomic_load(&r->cancel) ) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
#ifdef _WIN32
    if( fd < 0 ) continue; /* the file is being read */
#endif
    for( size_t at = 0; at < r->n; at += 1 << 20 ) {
      size_t n = r->n - at < 1 << 20 ? r->n - at : 1 << 20;
      if( write(fd, r->bytes + at, n) != (ssize_t)n ) abort();
    }
    close(fd);
    usleep(atomic_load(&r->pause_us));
  }
  return NULL;
}

/* Each opening gives the right model or an error, never a part of a model. */
static void opening_what_is_being_written(void **state) {
  struct ner_options options = {0};
  struct rewriter writer = {0};
  struct ner_entities found;
  struct ner_model *model;
  struct ner_err err = {0};
  int n_opened = 0, n_refused = 0;
  char *bytes = test_read("models", "ner-small.safetensors", &writer.n);
  writer.bytes = bytes;
  atomic_init(&writer.pause_us, 20000);
  put_model("model.safetensors");
  assert_int_equal(pthread_create(&writer.thread, NULL, keep_rewriting, &writer), 0);
  for( int i = 0; i < 5000 && (n_opened < 5 || n_refused < 5); i++ ) {
    err = (struct ner_err){0};
    if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) ) {
      assert_int_equal(err.code, NER_ERROR);
      n_refused++;
      usleep(2000); /* refusing is quicker than writing */
      /* Where opening takes longer than the pause (a sanitizer, a busy machine), it grows. */
      if( n_opened == 0 && n_refused % 50 == 0 && n_refused <= 500 )
        atomic_store(&writer.pause_us, 2 * atomic_load(&writer.pause_us));
      continue;
    }
    n_opened++;
    if( ner_extract(model, SENTENCE, strlen(SENTENCE), &options, &found, &err) )
      fail_msg("%s", err.msg);
    assert_int_equal(found.n, 5);
    assert_string_equal(found.entity[0].label, "PER");
    ner_entities_free(&found);
    ner_model_unref(model);
  }
  atomic_store(&writer.cancel, true);
  pthread_join(writer.thread, NULL);
  free(bytes);
  print_message("# %d opened, %d refused\n", n_opened, n_refused);
  assert_true(n_opened > 0);
}

/* ---- the operator's choice ---- */

/* Is the file part of this process's memory? */
static bool is_mapped(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[1000];
  bool found = false;
  if( !maps ) skip();
  while( fgets(line, sizeof line, maps) ) found = found || strstr(line, path);
  fclose(maps);
  return found;
}

static void mapping_is_asked_for(void **state) {
  static const char *const values[] = {NULL, "0", "1"};
  struct ner_model *model;
  struct ner_err err = {0};
  put_model("model.safetensors");
  for( int i = 0; i < 3; i++ ) {
    struct ner_entities found;
    if( values[i] )
      setenv("NER_MMAP", values[i], 1);
    else
      unsetenv("NER_MMAP");
    if( ner_model_open(path, NER_PRECISION_FILE, &model, &err) ) fail_msg("%s", err.msg);
    assert_int_equal(is_mapped(), i == 2);
    if( ner_extract(model, SENTENCE, strlen(SENTENCE), NULL, &found, &err) )
      fail_msg("%s", err.msg);
    assert_int_equal(found.n, 5);
    ner_entities_free(&found);
    ner_model_unref(model);
    assert_false(is_mapped());
  }
  setenv("NER_MMAP", "yes", 1);
  assert_int_equal(ner_model_open(path, NER_PRECISION_FILE, &model, &err), NER_ERROR);
  assert_non_null(strstr(err.msg, "NER_MMAP is \"yes\"; set it to 1"));
  unsetenv("NER_MMAP");
}

/* A file of 64 gigabytes with nothing in it costs neither memory nor time. */
static void a_vast_file_is_refused_at_once(void **state) {
  struct ner_model *model;
  struct ner_err err = {0};
  test_write_text(dir, "model.safetensors", "\x02\0\0\0\0\0\0\0{}");
  if( truncate(path, (off_t)1 << 36) != 0 ) skip(); /* not every file system can */
  assert_int_not_equal(ner_model_open(path, NER_PRECISION_FILE, &model, &err), NER_OK);
  assert_null(model);
}

/* ---- cancelling ---- */

static bool asked_enough(void *left) {
  return --*(int *)left < 0;
}

/* Cancelled after any number of questions: nothing is registered and no file is left; the next
** attempt works. */
static void opening_and_converting_can_be_stopped(void **state) {
  const char *const sources[] = {"tests/golden/models/distil-cased", BUNDLED};
  char target[TEST_PATH];
  test_path(target, dir, "converted.safetensors");
  for( size_t i = 0; i < 2; i++ ) {
    int n_stopped = 0, rc = NER_INTERRUPT;
    for( int n = 0; rc == NER_INTERRUPT; n = n * 5 / 4 + 1 ) {
      struct ner_err err = {0}, none = {0};
      struct ner_model *model;
      int left = n;
      const struct ner_cancel cancel = {asked_enough, &left};
      rc = ner_registry_load("stopped", sources[i], NER_PRECISION_FILE, &cancel, &err);
      if( rc != NER_INTERRUPT ) break;
      assert_string_equal(err.msg, "interrupted");
      assert_int_equal(ner_registry_get("stopped", NULL, &model, &none), NER_ERROR);
      n_stopped++;
    }
    assert_int_equal(rc, NER_OK);
    assert_true(n_stopped > 5);
    assert_int_equal(ner_registry_unload("stopped", NULL), NER_OK);

    n_stopped = 0, rc = NER_INTERRUPT;
    for( int n = 0; rc == NER_INTERRUPT; n = n * 5 / 4 + 1 ) {
      struct ner_err err = {0};
      int left = n;
      const struct ner_cancel cancel = {asked_enough, &left};
      rc = ner_convert_cancellable(sources[i], target, NER_PRECISION_FILE, &cancel, &err);
      if( rc != NER_INTERRUPT ) break;
      assert_int_equal(rmdir(dir), 0); /* empty: not even a part is left */
      assert_int_equal(mkdir(dir, 0700), 0);
      n_stopped++;
    }
    assert_int_equal(rc, NER_OK);
    assert_true(n_stopped > 8);
    assert_int_equal(remove(target), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_file_in_use_may_change, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_directory_in_use_may_change, set_up, tear_down),
      cmocka_unit_test_setup_teardown(reading_notices, set_up, tear_down),
      cmocka_unit_test_setup_teardown(discarding_spares_its_neighbours, set_up, tear_down),
      cmocka_unit_test_setup_teardown(opening_what_is_being_written, set_up, tear_down),
      cmocka_unit_test_setup_teardown(mapping_is_asked_for, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_vast_file_is_refused_at_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(opening_and_converting_can_be_stopped, set_up, tear_down),
  };
  unsetenv("NER_MODEL");
  unsetenv("NER_MMAP");
  return cmocka_run_group_tests(tests, NULL, NULL);
}
