/*
** cancel.c - whether a connection wants its statement to end; see sql/sql.h.
**
** How a connection says stop. sqlite3_interrupt() sets a flag that can be read through
** sqlite3_is_interrupted() since SQLite 3.41, but not before, and a progress handler is only
** called while SQLite itself is computing. Both are felt by a statement: while another
** one of the connection is running, any step fails with SQLITE_INTERRUPT once the
** flag is set, and every so many opcodes the progress handler is called. So asking
** is to run a small statement that reads nothing. It counts to 250, some 4,500
** opcodes (handlers are commonly called every 1,000) and 0.1 to 0.2 ms, and it is run
** every 10 ms at most. Where an authorizer forbids the recursion, interrupts alone
** are felt.
*/
#include "sql/sql.h"

#include <time.h>

#define CANCEL_EVERY_S 0.01

static const char *const cancel_probes[] = {
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c WHERE i<250)"
    " SELECT i FROM c WHERE i<0",
    "SELECT 1 WHERE 0",
};

double ner_sql_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool cancel_asked(void *arg) {
  struct ner_sql_cancel *cancel = arg;
  int rc = SQLITE_OK;
  if( ner_sql_seconds() < cancel->next ) return false;
  for( size_t i = 0; !cancel->probe && !cancel->broken; i++ ) {
    rc = sqlite3_prepare_v2(cancel->db, cancel_probes[i], -1, &cancel->probe, NULL);
    if( rc == SQLITE_INTERRUPT ) return true;
    cancel->broken = rc != SQLITE_OK && i + 1 == sizeof cancel_probes / sizeof *cancel_probes;
  }
  if( cancel->broken ) return false;
  rc = sqlite3_step(cancel->probe);
  sqlite3_reset(cancel->probe);
  cancel->next = ner_sql_seconds() + CANCEL_EVERY_S;
  return rc == SQLITE_INTERRUPT;
}

void ner_sql_cancel_open(struct ner_sql_cancel *cancel, sqlite3 *db) {
  *cancel = (struct ner_sql_cancel){
      .base = {cancel_asked, cancel}, .db = db, .next = ner_sql_seconds() + CANCEL_EVERY_S};
}

/* The probe must not outlive the query: a connection with a statement left cannot be closed. */
void ner_sql_cancel_close(struct ner_sql_cancel *cancel) {
  sqlite3_finalize(cancel->probe);
  cancel->probe = NULL;
}
