/*
** dispatch.c - the levels and the choice among them.
*/
#include "kernels/levels.h"

#include <string.h>
#include "base/os.h"

/* In ascending order: the last usable one is the default. */
static const struct dispatch_level {
  const char *name;
  bool (*fill)(struct ner_kernels *table); /* overlays the portable functions */
  bool (*load)(void);                      /* NULL: nothing to load before use */
} dispatch_levels[] = {
    {"portable", ner_kernels_portable, NULL}, {"openblas", ner_kernels_blas, ner_kernels_blas_load},
    {"avx2", ner_kernels_avx2, NULL},         {"avxvnni", ner_kernels_avxvnni, NULL},
    {"avx512", ner_kernels_avx512, NULL},     {"avx512vnni", ner_kernels_avx512vnni, NULL},
    {"neon", ner_kernels_neon, NULL},         {"neondot", ner_kernels_neondot, NULL},
};
enum { DISPATCH_LEVELS = sizeof dispatch_levels / sizeof *dispatch_levels };

static struct ner_kernels dispatch_tables[DISPATCH_LEVELS]; /* name NULL: not on this machine */
static struct ner_once dispatch_once = NER_ONCE_INIT;

static void dispatch_fill(void) {
  for( int i = 0; i < DISPATCH_LEVELS; i++ ) {
    struct ner_kernels *table = &dispatch_tables[i];
    ner_kernels_portable(table);
    if( dispatch_levels[i].fill(table) ) table->name = dispatch_levels[i].name;
  }
}

static bool dispatch_usable(int i) {
  return dispatch_tables[i].name && (!dispatch_levels[i].load || dispatch_levels[i].load());
}

const char *ner_kernels_name(int i) {
  return i >= 0 && i < DISPATCH_LEVELS ? dispatch_levels[i].name : NULL;
}

const struct ner_kernels *ner_kernels_level(const char *name) {
  ner_once_run(&dispatch_once, dispatch_fill);
  for( int i = 0; i < DISPATCH_LEVELS; i++ )
    if( strcmp(name, dispatch_levels[i].name) == 0 && dispatch_usable(i) )
      return &dispatch_tables[i];
  return NULL;
}

const struct ner_kernels *ner_kernels_get(struct ner_err *err) {
  const char *name = ner_environment("NER_CPU");
  const struct ner_kernels *best = NULL;
  char known[160] = "";
  ner_once_run(&dispatch_once, dispatch_fill);
  if( name )
    best = ner_kernels_level(name);
  else
    for( int i = DISPATCH_LEVELS - 1; i >= 0 && !best; i-- )
      if( dispatch_usable(i) ) best = &dispatch_tables[i];
  if( best ) return best;
  for( int i = 0; i < DISPATCH_LEVELS; i++ ) {
    if( !dispatch_usable(i) ) continue;
    if( i ) strcat(known, ", ");
    strcat(known, dispatch_tables[i].name);
  }
  ner_fail(err, NER_ERROR, "NER_CPU is '%.40s', which this machine cannot run; it can run %s", name,
           known);
  return NULL;
}
