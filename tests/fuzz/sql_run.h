/*
** sql_run.h - for sql.c: a connection, arguments made of the fuzzer's bytes, and what SQL answered.
*/
#ifndef NER_FUZZ_SQL_RUN_H
#define NER_FUZZ_SQL_RUN_H

#include <math.h>
#include "fuzz.h"
#include "engine/registry.h"
#include "sql/sql.h"

struct run {
  sqlite3 *db;
  struct fuzz_bytes in;
  int steps_left; /* until the progress handler says stop */
  bool wide;      /* a UTF-16 database */
  bool limited;   /* one of SQLITE_LIMIT_... is small: anything may be too big */
  bool registry;  /* models were loaded or unloaded */
  bool threads;   /* their number was changed */
  bool by_hand;   /* what ner_enrich() found was deleted, which is the user's right: it stays so */
};

/* ---- arguments ---- */

struct value {
  int type; /* SQLITE_..., or one of these */
  sqlite3_int64 integer;
  double real;
  const void *bytes;
  int n;
};
enum { UTF16 = 100 };

static const char *pick(const char *const *list, int i) {
  int n = 0;
  while( list[n] ) n++;
  return n ? list[i % n] : "Anna";
}

/* A value of any type; more often than not one of `list`. */
static struct value value(struct run *run, const char *const *list) {
  int kind = fuzz_byte(&run->in);
  struct value v = {.type = SQLITE_TEXT};
  struct fuzz_bytes part;
  uint64_t bits;
  switch( kind & 15 ) {
  case 0: v.type = SQLITE_NULL; return v;
  case 1:
    v.type = SQLITE_INTEGER;
    v.integer = (int8_t)fuzz_byte(&run->in);
    return v;
  case 2:
    v.type = SQLITE_INTEGER;
    v.integer = (sqlite3_int64)fuzz_number(&run->in, 8);
    return v;
  case 3:
    bits = fuzz_number(&run->in, 8);
    memcpy(&v.real, &bits, 8);
    v.type = isnan(v.real) ? SQLITE_NULL : SQLITE_FLOAT; /* as SQLite has it */
    return v;
  case 4:
    v.type = SQLITE_FLOAT;
    v.real = fuzz_byte(&run->in) / 255.0;
    return v;
  case 5: part = fuzz_take(&run->in, fuzz_byte(&run->in)); break;
  case 6: part = fuzz_take(&run->in, (size_t)fuzz_number(&run->in, 2)); break;
  case 7:
    v.type = SQLITE_BLOB;
    part = fuzz_take(&run->in, fuzz_byte(&run->in));
    break;
  case 8:
    v.type = UTF16;
    part = fuzz_take(&run->in, fuzz_byte(&run->in) & ~1u);
    part.n &= ~(size_t)1;
    break;
  default:
    v.bytes = pick(list, kind >> 4);
    v.n = (int)strlen(v.bytes);
    return v;
  }
  v.bytes = part.n ? (const void *)part.at : "";
  v.n = (int)part.n;
  return v;
}

static int bind(sqlite3_stmt *stmt, int at, const struct value *v) {
  switch( v->type ) {
  case SQLITE_INTEGER: return sqlite3_bind_int64(stmt, at, v->integer);
  case SQLITE_FLOAT: return sqlite3_bind_double(stmt, at, v->real);
  case SQLITE_TEXT: return sqlite3_bind_text(stmt, at, v->bytes, v->n, SQLITE_TRANSIENT);
  case SQLITE_BLOB: return sqlite3_bind_blob(stmt, at, v->bytes, v->n, SQLITE_TRANSIENT);
  case UTF16: return sqlite3_bind_text16(stmt, at, v->bytes, v->n, SQLITE_TRANSIENT);
  default: return sqlite3_bind_null(stmt, at);
  }
}

/* ---- running SQL ---- */

struct answer {
  int rc; /* SQLITE_DONE: all is well */
  int rows;
  char message[200];
  char *cells; /* type and bytes of every cell of every row, one after the other */
  size_t n, cap;
};

static void put(struct answer *a, const void *bytes, size_t n) {
  check(ner_grow((void **)&a->cells, &a->cap, a->n + n, 1) == NER_OK);
  if( n ) memcpy(a->cells + a->n, bytes, n);
  a->n += n;
}

typedef void (*row_fn)(sqlite3_stmt *stmt, void *arg);

static struct answer ask(struct run *run, const char *sql, const struct value *v, int n, row_fn row,
                         void *arg) {
  struct answer a = {0};
  sqlite3_stmt *stmt = NULL;
  a.rc = sqlite3_prepare_v2(run->db, sql, -1, &stmt, NULL);
  for( int i = 0; i < n && i < sqlite3_bind_parameter_count(stmt) && a.rc == SQLITE_OK; i++ )
    a.rc = bind(stmt, i + 1, &v[i]); /* fails beyond SQLITE_LIMIT_LENGTH */
  if( a.rc == SQLITE_OK ) a.rc = SQLITE_ROW;
  while( a.rc == SQLITE_ROW && (a.rc = sqlite3_step(stmt)) == SQLITE_ROW ) {
    a.rows++;
    if( row ) row(stmt, arg);
    for( int i = 0; i < sqlite3_column_count(stmt); i++ ) {
      int type = sqlite3_column_type(stmt, i);
      const void *bytes = type == SQLITE_BLOB ? sqlite3_column_blob(stmt, i)
                                              : sqlite3_column_text(stmt, i); /* numbers, too */
      size_t n_bytes = (size_t)sqlite3_column_bytes(stmt, i);
      put(&a, &type, sizeof type);
      put(&a, &n_bytes, sizeof n_bytes);
      put(&a, bytes, n_bytes);
    }
  }
  snprintf(a.message, sizeof a.message, "%s", sqlite3_errmsg(run->db));
  check(a.rc != SQLITE_NOMEM && a.rc != SQLITE_INTERNAL && a.rc != SQLITE_MISUSE &&
        a.rc != SQLITE_CORRUPT);
  sqlite3_finalize(stmt);
  return a;
}

static void discard(struct answer *a) {
  free(a->cells);
}

/* Text that SQLite does not bring back from UTF-8 to UTF-16 as it was: it makes U+FFFD of U+FFFE
** and U+FFFF, and three bytes of a text's last, lone surrogate, but no surrogate of those. */
static bool lossy(const char *text, size_t n) {
  for( size_t i = 0; i + 2 < n; i++ ) {
    const unsigned char *s = (const unsigned char *)text + i;
    if( (s[0] == 0xED && s[1] >= 0xA0) || (s[0] == 0xEF && s[1] == 0xBF && s[2] >= 0xBD) )
      return true;
  }
  return false;
}

/* Two ways to the same rows. Interrupted or too long, they need not agree. */
static bool comparable(const struct run *run, const struct answer *a) {
  return a->rc == SQLITE_DONE || !(run->limited || a->rc == SQLITE_INTERRUPT || run->steps_left <= 0);
}
static void print_answer(const char *sql, const struct answer *a) {
  fprintf(stderr, "%s\ncode %d (%s), %d rows:", sql, a->rc, a->message, a->rows);
  for( size_t i = 0; i < a->n; i++ )
    fprintf(stderr, a->cells[i] >= ' ' && a->cells[i] < 0x7F ? "%c" : "\\x%02x",
            (unsigned char)a->cells[i]);
  fputc('\n', stderr);
}
static void same_answer(struct run *run, const char *sql_a, const char *sql_b,
                        const struct value *v, int n) {
  struct answer a = ask(run, sql_a, v, n, NULL, NULL), b = ask(run, sql_b, v, n, NULL, NULL);
  if( comparable(run, &a) && comparable(run, &b) ) {
    bool same = (a.rc == SQLITE_DONE) == (b.rc == SQLITE_DONE);
    if( same && a.rc == SQLITE_DONE )
      same = (a.n == b.n && (a.n == 0 || memcmp(a.cells, b.cells, a.n) == 0)) ||
             (run->wide && (lossy(a.cells, a.n) || lossy(b.cells, b.n)));
    if( !same ) {
      print_answer(sql_a, &a);
      print_answer(sql_b, &b);
      fail_msg("two answers");
    }
  }
  discard(&a);
  discard(&b);
}

#endif
