/*
** version.c - the library's version, with the commit of its source where the build knows it. The
** Makefile defines NER_COMMIT for this file alone.
*/
#include "base/base.h"

#ifdef NER_COMMIT
#define VERSION_COMMIT NER_COMMIT
#else
#define VERSION_COMMIT ""
#endif

const char *ner_version(void) {
  return VERSION_COMMIT[0] ? NER_VERSION "+" VERSION_COMMIT : NER_VERSION;
}

const char *ner_commit(void) {
  return VERSION_COMMIT[0] ? VERSION_COMMIT : "unknown";
}
