/*
** ner.h - named entity recognition in plain C: the interface for programs.
**
** The engine behind SELECT ... FROM ner(...), for a C program:
**
**     struct ner_err err = {0};
**     struct ner_model *model = NULL;
**     struct ner_entities found = {0};
**     if( ner_model_open("models/distilbert-NER", NER_PRECISION_FILE, &model, &err)
**      || ner_extract(model, text, strlen(text), NULL, &found, &err) )
**       fprintf(stderr, "%s\n", err.msg);
**     for(size_t i = 0; i < found.n; i++)
**       printf("%s %.3f %.*s\n", found.entity[i].label, found.entity[i].score,
**              (int)(found.entity[i].end_byte - found.entity[i].start_byte),
**              text + found.entity[i].start_byte);
**     ner_entities_free(&found);
**     ner_model_unref(model);
**
** Every function that can fail returns NER_OK (0) or another NER_ code and
** then fills the caller's `struct ner_err`. Nothing here prints, exits or
** changes the process. A model is immutable and may be used by any number of
** threads at once.
**
** A program loads no extension. It links libner.a, which `make install` puts beside this header,
**
**     cc program.c $(pkg-config --cflags --libs ner)
**
** or compiles sqlite-ner.c (`make amalgamation`) with -DSQLITE_CORE. In both cases it links SQLite,
** whose functions read JSON (configurations, headers). The SQL functions are then part of the
** program, and one call makes them available in every connection that it opens:
**
**     sqlite3_auto_extension((void (*)(void))sqlite3_ner_init);
*/
#ifndef NER_H
#define NER_H

#include <stddef.h>
#include <stdint.h>

#define NER_VERSION "0.2.0"

#if defined(_WIN32)
#define NER_API __declspec(dllexport)
#else
#define NER_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
  NER_OK = 0,
  NER_ERROR,     /* see the message */
  NER_NOMEM,     /* out of memory */
  NER_INTERRUPT, /* cancelled by the caller, or by a fork in the middle of a run */
};

/* Why a function failed: "what went wrong; what to do", in well-formed UTF-8. Begins as {0}. */
struct ner_err {
  int code; /* NER_ code, NER_OK while nothing has failed */
  char msg[600];
};

/* How weights are held in memory. */
enum ner_precision {
  NER_PRECISION_FILE = 0, /* as the file holds them (F16 and BF16 widen to f32) */
  NER_PRECISION_F32,
  NER_PRECISION_INT8,
};

/* How a word's label follows from its pieces; the first four as
** Hugging Face defines them (transformers, TokenClassificationPipeline). */
enum ner_aggregation {
  NER_AGGREGATION_FIRST = 0, /* the label of the first piece */
  NER_AGGREGATION_SIMPLE,    /* no words: every piece by itself */
  NER_AGGREGATION_AVERAGE,   /* the mean of the pieces' probabilities */
  NER_AGGREGATION_MAX,       /* the label of the piece with the highest score */
  NER_AGGREGATION_STRICT,    /* as first, but all words together: the most likely sequence that
                             ** the model's scheme allows (BIO: I- only after B- or I- of the
                             ** same type) */
};

struct ner_options {
  enum ner_aggregation aggregation;
  double threshold; /* entities scoring below are left out; 0 keeps all */
};

/* One entity. Spans are half open; text + start_byte .. end_byte is the
** verbatim entity. */
struct ner_entity {
  const char *label;             /* "PER"; belongs to the model */
  float score;                   /* mean probability, 0..1 */
  uint32_t start, end;           /* code points */
  uint32_t start_byte, end_byte; /* bytes of UTF-8 */
};

struct ner_entities {
  struct ner_entity *entity; /* [n], in the order of the text */
  size_t n;
};

struct ner_model;

/* NER_VERSION, or "0.2.0+1a2b3c4" where the build knows the commit of the source. */
NER_API const char *ner_version(void);

/* Opens a Hugging Face model directory, or one .safetensors file written by
** ner_convert(). The caller holds one reference. The files are read and closed: changing them later
** has no effect, and a file that changes while it is read is an error. With NER_MMAP=1 in the
** environment, weights that can be used in place stay mapped instead: processes share their memory,
** but truncating the file then kills every process that uses it. */
NER_API int ner_model_open(const char *path, enum ner_precision precision, struct ner_model **out,
                           struct ner_err *err);

/* Opens the model that is embedded in the library; an error in a build without one. */
NER_API int ner_model_open_bundled(struct ner_model **out, struct ner_err *err);

NER_API struct ner_model *ner_model_ref(struct ner_model *model);
NER_API void ner_model_unref(struct ner_model *model); /* NULL is fine */

/* Finds the entities of one text of n_bytes, of any length. An ill-formed sequence of bytes counts
** as U+FFFD. options NULL: first, no threshold. Free `out` with ner_entities_free(). */
NER_API int ner_extract(struct ner_model *model, const char *text, size_t n_bytes,
                        const struct ner_options *options, struct ner_entities *out,
                        struct ner_err *err);
NER_API void ner_entities_free(struct ner_entities *entities);

/* A text of n_bytes of UTF-8, which needs no NUL behind it. */
struct ner_text {
  const char *utf8;
  size_t n_bytes;
};

/* Finds the entities of n texts in one run over all threads, which is several times faster than a
** call for each; the results are the same, bit for bit. text: [n]; out: [n], each to be freed with
** ner_entities_free(). Memory grows with the batch: tens of kilobytes of text are enough for full
** speed. After a failure `out` holds nothing. */
NER_API int ner_extract_batch(struct ner_model *model, const struct ner_text *text, size_t n,
                              const struct ner_options *options, struct ner_entities *out,
                              struct ner_err *err);

/* Writes the model at `source` as one self-contained file that opens in milliseconds. `target` is a
** new or a regular file, or a link to one, and keeps its mode and owner; a failure changes
** nothing. */
NER_API int ner_convert(const char *source, const char *target, enum ner_precision precision,
                        struct ner_err *err);

/* Sets the number of threads for inference, the caller's included, and returns it; n <= 0 only
** returns it. */
NER_API int ner_threads(int n);

#ifdef SQLITE_VERSION /* sqlite3.h was included before */
/* The entry points of the extension: everything, and inference only (nothing that reads or writes a
** file or runs SQL text). */
NER_API int sqlite3_ner_init(sqlite3 *db, char **message, const struct sqlite3_api_routines *api);
NER_API int sqlite3_ner_safe_init(sqlite3 *db, char **message,
                                  const struct sqlite3_api_routines *api);
#endif

#ifdef __cplusplus
}
#endif
#endif
