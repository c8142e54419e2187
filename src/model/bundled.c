/*
** bundled.c - models/ner-small.safetensors as part of the library.
**
** .incbin puts the file into a read-only section: no array of a million numbers
** for the compiler, and the pages are shared between processes. Its path is relative
** to the directory the compiler runs in, so build from the top of the repository.
*/
#include "model/bundled.h"

#ifndef NER_BUNDLED_PATH
#define NER_BUNDLED_PATH "models/ner-small.safetensors"
#endif

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
/* "_" before C names on some systems (Mach-O). */
#define SYMBOL(name) STRING(__USER_LABEL_PREFIX__) #name

#if defined(__APPLE__)
#define SECTION     ".section __TEXT,__const\n"
#define LOCAL(name) ".private_extern " SYMBOL(name) "\n"
#define BACK        ".text\n"
#else
#define SECTION     ".pushsection .rodata.ner_bundled,\"a\"\n"
#define LOCAL(name) ".hidden " SYMBOL(name) "\n"
#define BACK        ".popsection\n"
#endif

/* clang-format off */
__asm__(
  SECTION
  ".balign 64\n"
  ".globl " SYMBOL(ner_bundled_begin) "\n" LOCAL(ner_bundled_begin)
  SYMBOL(ner_bundled_begin) ":\n"
  ".incbin \"" NER_BUNDLED_PATH "\"\n"
  ".globl " SYMBOL(ner_bundled_end) "\n" LOCAL(ner_bundled_end)
  SYMBOL(ner_bundled_end) ":\n"
  ".byte 0\n" /* so that the end is an address inside the section */
  BACK
);
/* clang-format on */

#pragma GCC visibility push(hidden)
extern const unsigned char ner_bundled_begin[], ner_bundled_end[];
#pragma GCC visibility pop

const unsigned char *ner_bundled(size_t *n_bytes) {
  *n_bytes = (size_t)(ner_bundled_end - ner_bundled_begin);
  return ner_bundled_begin;
}
