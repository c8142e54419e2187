"""enrich.py - enriches a column of a database from Python's own sqlite3, showing progress.

    python3 sql/enrich.py DATABASE TABLE COLUMN [LIBRARY]

LIBRARY: the loadable extension, build/ner unless given. Python's sqlite3 must have been built with
extension loading (Debian's and Homebrew's are). Run it again at any time: only new and changed
rows are done; stopped with Ctrl-C, it goes on where it was.
"""

import sqlite3
import sys


def main(database, table, column, library="build/ner"):
    db = sqlite3.connect(database, isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(library)
    db.enable_load_extension(False)
    query = "SELECT done, total, entities, errors, rows_per_second, eta_seconds FROM ner_enrich(?, ?)"
    for done, total, entities, errors, rate, eta in db.execute(query, (table, column)):
        print(f"{done} of {total} rows, {entities} entities, {errors} errors"
              f", {rate or 0:.0f} rows/s, {eta or 0:.0f} s left", flush=True)
    db.close()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
