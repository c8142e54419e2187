/*
** replay.c - runs files through a fuzz target without a fuzzer:
**
**     build/tests/fuzz_text tests/fuzz/corpus/text
**
** A folder stands for the files in it. An input that fails ends the program, its name is the
** last one printed.
*/
#include "fuzz.h"

#include <sys/resource.h>

static int n_files;

static void replay(const char *dir, const char *name) {
  size_t n;
  char *bytes = test_read(dir, name, &n);
  uint8_t *exact = (uint8_t *)fuzz_copy(bytes, n); /* test_read() puts a NUL behind */
  free(bytes);
  printf("%s/%s\n", dir, name);
  fflush(stdout);
  LLVMFuzzerTestOneInput(exact, n);
  free(exact);
  n_files++;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

/* A gigabyte more than libraries have taken at the start. No input needs it: whoever asks for more
** believed a file's lies, and is told NER_NOMEM, which targets do not take for an answer.
** Sanitizers need the address space for themselves. */
static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__linux__)
  FILE *f = fopen("/proc/self/statm", "r");
  unsigned long long pages;
  struct rlimit limit;
  if( f && fscanf(f, "%llu", &pages) == 1 ) {
    limit.rlim_cur = limit.rlim_max = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)1 << 30);
    check(setrlimit(RLIMIT_AS, &limit) == 0);
  }
  if( f ) fclose(f);
#endif
}

int main(int argc, char **argv) {
  limit_memory();
  LLVMFuzzerInitialize(&argc, &argv);
  LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
  for( int i = 1; i < argc; i++ ) {
    struct dirent **list;
    int n = scandir(argv[i], &list, NULL, by_name);
    if( n < 0 ) fail_msg("%s cannot be read", argv[i]);
    for( int k = 0; k < n; k++ ) {
      if( list[k]->d_name[0] != '.' ) replay(argv[i], list[k]->d_name);
      free(list[k]);
    }
    free(list);
  }
  printf("%d inputs\n", n_files);
  return n_files > 0 ? 0 : 1;
}
