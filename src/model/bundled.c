/*
** bundled.c - models/ner-small.safetensors as part of the library.
**
** .incbin puts the file into a read-only section: no array of a million numbers
** for the compiler, and the pages are shared between processes. Its path is relative
** to the directory the compiler runs in, so build from the top of the repository.
**
** The library as one C file (make amalgamation) is compiled anywhere. It takes the model's file
** from its own folder, if it is there; the preprocessor can tell. The assembler looks in the folder
** that the compiler runs in, and these are the same when the source is given without a folder.
*/
#include "model/bundled.h"

#define BUNDLED_INCLUDE(path) ".incbin \"" path "\"\n"
#if defined(NER_BUNDLED_PATH)
#define BUNDLED_BYTES BUNDLED_INCLUDE(NER_BUNDLED_PATH)
#elif !defined(NER_AMALGAMATION)
#define BUNDLED_BYTES BUNDLED_INCLUDE("models/ner-small.safetensors")
#elif defined(__has_include)
#if __has_include("ner-small.safetensors")
#define BUNDLED_BYTES                                                                              \
  ".ifeqs \"" __FILE__ "\", \"sqlite-ner.c\"\n" BUNDLED_INCLUDE("ner-small.safetensors") ".endif\n"
#endif
#endif
#ifndef BUNDLED_BYTES
#define BUNDLED_BYTES ""
#endif

#define BUNDLED_STRING_(x) #x
#define BUNDLED_STRING(x)  BUNDLED_STRING_(x)
/* "_" before C names on some systems (Mach-O). */
#define BUNDLED_SYMBOL(name) BUNDLED_STRING(__USER_LABEL_PREFIX__) #name

#if defined(__APPLE__)
#define BUNDLED_SECTION     ".section __TEXT,__const\n"
#define BUNDLED_LOCAL(name) ".private_extern " BUNDLED_SYMBOL(name) "\n"
#define BUNDLED_BACK        ".text\n"
#elif defined(_WIN32) /* COFF: there is no visibility, and what is not exported stays inside */
#define BUNDLED_SECTION     ".section .rdata,\"dr\"\n"
#define BUNDLED_LOCAL(name) ""
#define BUNDLED_BACK        ".text\n"
#else
#define BUNDLED_SECTION     ".pushsection .rodata.ner_bundled,\"a\"\n"
#define BUNDLED_LOCAL(name) ".hidden " BUNDLED_SYMBOL(name) "\n"
#define BUNDLED_BACK        ".popsection\n"
#endif

/* clang-format off */
__asm__(
  BUNDLED_SECTION
  ".balign 64\n"
  ".globl " BUNDLED_SYMBOL(ner_bundled_begin) "\n" BUNDLED_LOCAL(ner_bundled_begin)
  BUNDLED_SYMBOL(ner_bundled_begin) ":\n"
  BUNDLED_BYTES
  ".globl " BUNDLED_SYMBOL(ner_bundled_end) "\n" BUNDLED_LOCAL(ner_bundled_end)
  BUNDLED_SYMBOL(ner_bundled_end) ":\n"
  ".byte 0\n" /* so that the end is an address inside the section */
  BUNDLED_BACK
);
/* clang-format on */

#pragma GCC visibility push(hidden)
extern const unsigned char ner_bundled_begin[], ner_bundled_end[];
#pragma GCC visibility pop

const unsigned char *ner_bundled(size_t *n_bytes) {
  /* volatile: to a compiler two arrays never begin at the same place, so it would not compare. */
  const unsigned char *volatile end = ner_bundled_end;
  *n_bytes = (size_t)(end - ner_bundled_begin);
  return *n_bytes ? ner_bundled_begin : NULL;
}
