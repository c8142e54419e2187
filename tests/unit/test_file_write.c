/*
** test_file_write.c - files being replaced: what may be replaced and what of it stays, links,
** limits, full disks, forks. Whatever fails leaves the old file as it was and nothing beside it.
**
** Devices are made in a directory of the test's own, never in /dev.
*/
#define _GNU_SOURCE /* unshare */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "base/file.h"
#include "support.h"

#define OLD "the old file"
#define NEW "the new file"

static char dir[TEST_PATH], path[TEST_PATH];

static int set_up(void **state) {
  test_dir_make(dir);
  test_path(path, dir, "target");
  return 0;
}

/* Fails when a temporary file is left: it begins with a '.', and those are not removed. */
static int tear_down(void **state) {
  test_dir_remove(dir);
  return 0;
}

static int write_file(const char *to, const struct ner_cancel *cancel, struct ner_err *err) {
  struct ner_file_writer w;
  int rc = ner_file_write_begin(&w, to, err);
  if( rc != NER_OK ) return rc;
  w.cancel = cancel;
  rc = ner_file_write(&w, NEW, strlen(NEW), err);
  if( rc == NER_OK ) return ner_file_write_commit(&w, err);
  ner_file_write_abort(&w);
  return rc;
}

static void assert_writes(const char *to) {
  struct ner_err err = {0};
  if( write_file(to, NULL, &err) ) fail_msg("%s", err.msg);
}

static void assert_fails(const char *to, const char *part) {
  struct ner_err err = {0};
  assert_int_equal(write_file(to, NULL, &err), NER_ERROR);
  if( strncmp(err.msg, to, strlen(to)) || !strstr(err.msg, part) )
    fail_msg("'%s' does not begin with '%s' and have '%s'", err.msg, to, part);
}

static void assert_holds(const char *name, const char *text) {
  size_t n;
  char *bytes = test_read(dir, name, &n);
  assert_string_equal(bytes, text);
  free(bytes);
}

static mode_t mode_of(const char *of) {
  struct stat st;
  assert_int_equal(lstat(of, &st), 0);
  return st.st_mode;
}

static int count_entries(void) {
  DIR *d = opendir(dir);
  int n = -2; /* . and .. */
  assert_non_null(d);
  while( readdir(d) ) n++;
  closedir(d);
  return n;
}

/* ---- what is replaced ---- */

static void a_new_file(void **state) {
  mode_t mask = umask(0027);
  assert_writes(path);
  umask(mask);
  assert_holds("target", NEW);
  assert_int_equal(mode_of(path) & 07777, 0640);
  assert_int_equal(count_entries(), 1);
}

static void mode_and_owner_stay(void **state) {
  static const mode_t modes[] = {0600, 0640, 0666, 0444, 02755};
  struct stat st;
  for( size_t i = 0; i < sizeof modes / sizeof *modes; i++ ) {
    test_write_text(dir, "target", OLD);
    assert_int_equal(chmod(path, modes[i]), 0);
    assert_writes(path);
    assert_holds("target", NEW);
    assert_int_equal(mode_of(path) & 07777, modes[i]);
    assert_int_equal(unlink(path), 0);
  }
  test_write_text(dir, "target", OLD);
  if( chown(path, 12345, 23456) != 0 ) return; /* root alone can */
  assert_writes(path);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_uid, 12345);
  assert_int_equal(st.st_gid, 23456);
}

/* Runs fn in a child process; its exit status. */
static int in_child(int (*fn)(void)) {
  int status = -1;
  pid_t pid = fork();
  if( pid == 0 ) {
    alarm(60);
    _exit(fn());
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int write_as_somebody(void) {
  struct ner_err err = {0};
  if( setgid(65534) || setuid(65534) ) return 1;
  if( write_file(path, NULL, &err) != NER_ERROR ) return 2;
  if( !strstr(err.msg, "its owner cannot be kept") ) return 3;
  return count_entries() == 1 ? 0 : 4;
}

static void an_owner_that_cannot_be_kept(void **state) {
  if( getuid() != 0 ) skip();
  test_write_text(dir, "target", OLD);
  assert_int_equal(chmod(dir, 0777), 0);
  assert_int_equal(in_child(write_as_somebody), 0);
  assert_holds("target", OLD);
}

static void links_are_followed(void **state) {
  char link[TEST_PATH], chain[TEST_PATH], sub[TEST_PATH], deep[TEST_PATH];
  test_path(link, dir, "link");
  test_path(chain, dir, "chain");
  test_write_text(dir, "target", OLD);
  assert_int_equal(symlink("target", link), 0);
  assert_int_equal(symlink(link, chain), 0); /* absolute, to a link */
  assert_writes(chain);
  assert_true(S_ISLNK(mode_of(chain)) && S_ISLNK(mode_of(link)) && S_ISREG(mode_of(path)));
  assert_holds("target", NEW);
  /* To what is not there yet, from another directory. */
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(test_path(sub, dir, "sub"), 0700), 0);
  assert_int_equal(symlink("../target", test_path(deep, sub, "deep")), 0);
  assert_writes(deep);
  assert_holds("target", NEW);
  assert_true(S_ISLNK(mode_of(deep)));
  assert_int_equal(unlink(deep), 0);
  /* In a circle. */
  assert_int_equal(unlink(link), 0);
  assert_int_equal(symlink("chain", link), 0);
  assert_fails(link, "cannot be written");
  assert_int_equal(count_entries(), 4);
}

static void make_socket(const char *at) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_true(fd >= 0 && strlen(at) < sizeof address.sun_path);
  strcpy(address.sun_path, at);
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  close(fd);
}

/* Each stays what it is, also behind a link. */
static void only_regular_files_are_replaced(void **state) {
  char link[TEST_PATH];
  assert_int_equal(symlink("target", test_path(link, dir, "link")), 0);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_fails(path, "is a FIFO; name the file to be written");
  assert_fails(link, "target: is a FIFO; name the file to be written");
  assert_true(S_ISFIFO(mode_of(path)));
  assert_int_equal(unlink(path), 0);
  make_socket(path);
  assert_fails(path, "is a socket");
  assert_fails(link, "is a socket");
  assert_true(S_ISSOCK(mode_of(path)));
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(path, 0700), 0);
  assert_fails(path, "is a directory");
  assert_fails(link, "is a directory");
  assert_int_equal(rmdir(path), 0);
  if( mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0 ) { /* root alone can */
    assert_fails(path, "is a device");
    assert_fails(link, "is a device");
    assert_true(S_ISCHR(mode_of(path)));
    assert_int_equal(unlink(path), 0);
  }
  assert_int_equal(count_entries(), 1);
}

/* A FIFO that comes while the file is being written. */
static void checked_again_at_the_end(void **state) {
  struct ner_file_writer w;
  struct ner_err err = {0};
  assert_int_equal(ner_file_write_begin(&w, path, &err), NER_OK);
  assert_int_equal(ner_file_write(&w, NEW, strlen(NEW), &err), NER_OK);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(ner_file_write_commit(&w, &err), NER_ERROR);
  assert_true(S_ISFIFO(mode_of(path)));
  assert_int_equal(count_entries(), 1);
}

static void places_that_are_not_there(void **state) {
  char name[TEST_PATH];
  assert_fails(test_path(name, dir, "none/file"), "No such file or directory");
  test_write_text(dir, "target", OLD);
  assert_fails(test_path(name, dir, "target/file"), "Not a directory");
  assert_holds("target", OLD);
}

/* The temporary file's name says what it is, however long the target's is. */
static void temporary_names(void **state) {
  for( int n = 1; n <= 255; n += n < 225 ? 56 : 5 ) {
    char name[256], full[TEST_PATH], *temp;
    struct ner_file_writer w;
    struct ner_err err = {0};
    memset(name, 'n', (size_t)n);
    name[n] = 0;
    test_path(full, dir, name);
    if( ner_file_write_begin(&w, full, &err) ) fail_msg("%s", err.msg);
    temp = strrchr(w.temp, '/') + 1;
    assert_true(strlen(temp) <= 255);
    assert_int_equal(strncmp(temp, ".nnn", n < 3 ? 2 : 4), 0);
    assert_non_null(strstr(temp, ".ner-tmp-"));
    ner_file_write_abort(&w);
  }
  assert_int_equal(count_entries(), 0);
}

/* ---- limits ---- */

/* As a host that has done nothing about SIGXFSZ, which would end it. */
static int write_too_much(void) {
  const struct rlimit limit = {50000, 50000};
  struct ner_err err = {0};
  if( setrlimit(RLIMIT_FSIZE, &limit) ) return 1;
  if( ner_convert("models/ner-small.safetensors", path, NER_PRECISION_FILE, &err) != NER_ERROR )
    return 2;
  if( !strstr(err.msg, "50000 bytes at most (ulimit -f); nothing was changed") ) return 3;
  return count_entries() == 1 ? 0 : 4;
}

/* As a host that ignores it: write() itself fails. */
static int write_too_much_ignoring(void) {
  signal(SIGXFSZ, SIG_IGN);
  return write_too_much();
}

static void a_limit_on_file_sizes(void **state) {
  test_write_text(dir, "target", OLD);
  assert_int_equal(in_child(write_too_much), 0);
  assert_int_equal(in_child(write_too_much_ignoring), 0);
  assert_holds("target", OLD);
}

/* A file system of 64 KB, which only this child sees. */
static int fill_the_disk(void) {
  struct ner_err err = {0};
  char target[TEST_PATH];
  if( unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("none", dir, "tmpfs", 0, "size=64k") )
    return 77;
  test_path(target, dir, "target");
  test_write_text(dir, "target", OLD);
  if( ner_convert("models/ner-small.safetensors", target, NER_PRECISION_FILE, &err) != NER_ERROR )
    return 1;
  if( !strstr(err.msg, "No space left on device; nothing was changed") ) return 2;
  if( count_entries() != 1 ) return 3;
  assert_holds("target", OLD);
  return 0;
}

static void a_full_disk(void **state) {
  int rc = in_child(fill_the_disk);
  if( rc == 77 ) skip(); /* no right to mount */
  assert_int_equal(rc, 0);
}

/* ---- callbacks that fork ---- */

static pid_t forked = -1;
static bool fork_once(void *arg) {
  if( forked == -1 ) forked = fork();
  return false;
}

/* The child has the descriptor in common with its parent: it leaves the file alone. */
static void a_fork_while_writing(void **state) {
  const struct ner_cancel cancel = {fork_once, NULL};
  struct ner_err err = {0};
  int status, rc = write_file(path, &cancel, &err);
  if( forked == 0 ) _exit(rc == NER_INTERRUPT ? 0 : 1);
  assert_int_equal(rc, NER_OK);
  assert_int_equal(waitpid(forked, &status, 0), forked);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_holds("target", NEW);
  assert_int_equal(count_entries(), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_new_file),
      TEST(mode_and_owner_stay),
      TEST(an_owner_that_cannot_be_kept),
      TEST(links_are_followed),
      TEST(only_regular_files_are_replaced),
      TEST(checked_again_at_the_end),
      TEST(places_that_are_not_there),
      TEST(temporary_names),
      TEST(a_limit_on_file_sizes),
      TEST(a_full_disk),
      TEST(a_fork_while_writing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
