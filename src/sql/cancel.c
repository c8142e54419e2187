/*
** cancel.c - whether a connection wants its statement to end; see sql/sql.h.
**
** There are two ways in which a program ends a statement. sqlite3_interrupt() sets a flag, which
** sqlite3_is_interrupted() reads since SQLite 3.41. A progress handler is called by SQLite while
** it computes, and by nothing else. Both are felt by a statement that runs while the
** connection's own does: its step fails with SQLITE_INTERRUPT.
**
** So the flag is read every 10 ms where that is possible, and a computation that has lasted for
** PROBE_AFTER_S begins a statement that reads nothing, the probe. The probe counts without end and
** gives a row every 250 numbers, some 4,500 opcodes (progress handlers are commonly called every
** 1,000) and 0.1 to 0.2 ms; it makes one such step every 10 ms. It is prepared and begun once, so
** that a host that traces its statements or authorises them sees it once for each long computation
** and never in a short one. Where an authorizer forbids recursion the probe is the simplest of
** statements, which feels interrupts but does not call progress handlers.
*/
#include "sql/sql.h"

#include <string.h>
#include "base/os.h"

#define CANCEL_EVERY_S       0.01
#define CANCEL_PROBE_AFTER_S 0.05
#define CANCEL_SIMPLE_S      0.1 /* between two runs of the simplest probe, each seen by a trace */

static const char cancel_probe[] =
    "WITH RECURSIVE ner_progress(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM ner_progress)"
    " SELECT i FROM ner_progress WHERE i%250=0";
static const char cancel_simple_probe[] = "SELECT 1 WHERE 0";

/* sqlite3_is_interrupted(), NULL where SQLite does not have it. The library may be compiled with
** headers older than the SQLite that loads it. Routines are only ever added at the end of SQLite's
** table, so the function's place is known: it is the fifth after vtab_in_next, the last that 3.38
** has (deserialize, serialize, db_name, value_encoding, is_interrupted). */
typedef int cancel_flag_function(sqlite3 *db);
static cancel_flag_function *cancel_flag(void) {
  if( sqlite3_libversion_number() < 3041000 ) return NULL;
#if SQLITE_VERSION_NUMBER >= 3041000
  return sqlite3_is_interrupted;
#elif !defined(SQLITE_CORE)
  {
    cancel_flag_function *flag;
    memcpy(&flag,
           (const char *)sqlite3_api + offsetof(sqlite3_api_routines, vtab_in_next) +
               5 * sizeof flag,
           sizeof flag);
    return flag;
  }
#else
  return NULL;
#endif
}

/* Returns SQLite's code. */
static int cancel_prepare(struct ner_sql_cancel *cancel) {
  int rc = sqlite3_prepare_v2(cancel->db, cancel_probe, -1, &cancel->probe, NULL);
  if( rc != SQLITE_OK && rc != SQLITE_INTERRUPT ) {
    cancel->simple = true;
    rc = sqlite3_prepare_v2(cancel->db, cancel_simple_probe, -1, &cancel->probe, NULL);
  }
  cancel->broken = rc != SQLITE_OK && rc != SQLITE_INTERRUPT;
  return rc;
}

static bool cancel_step(struct ner_sql_cancel *cancel) {
  int rc = cancel->probe ? SQLITE_OK : cancel_prepare(cancel);
  if( rc == SQLITE_OK ) rc = sqlite3_step(cancel->probe);
  /* A ROLLBACK of the host's, or a change of the schema, may end the probe: another begins. */
  if( rc != SQLITE_ROW && cancel->probe ) sqlite3_reset(cancel->probe);
  return rc == SQLITE_INTERRUPT;
}

static bool cancel_asked(void *arg) {
  struct ner_sql_cancel *cancel = arg;
  cancel_flag_function *flag;
  double now = ner_seconds();
  bool cancelled = false;
  if( now < cancel->next ) return false;
  flag = cancel_flag();
  if( flag && flag(cancel->db) ) return true;
  if( now >= cancel->next_probe && !cancel->broken && !(flag && cancel->simple) ) {
    cancelled = cancel_step(cancel);
    now = ner_seconds();
    if( cancel->simple ) cancel->next_probe = now + CANCEL_SIMPLE_S;
  }
  cancel->next = now + CANCEL_EVERY_S;
  return cancelled;
}

void ner_sql_cancel_open(struct ner_sql_cancel *cancel, sqlite3 *db) {
  double now = ner_seconds();
  *cancel = (struct ner_sql_cancel){.base = {cancel_asked, cancel},
                                    .db = db,
                                    .next = now + CANCEL_EVERY_S,
                                    .next_probe = now + CANCEL_PROBE_AFTER_S};
}

/* The probe must not outlive the query: a connection with a statement left cannot be closed. */
void ner_sql_cancel_close(struct ner_sql_cancel *cancel) {
  sqlite3_finalize(cancel->probe);
  cancel->probe = NULL;
  cancel->next_probe = ner_seconds() + CANCEL_PROBE_AFTER_S;
}
