"""--shards: labels the pending rows of a table in several processes and merges their results.

The parent makes the tables (ner_enrich, one batch), splits the pending rows by rowid into ranges and starts
a worker for each. A worker copies its rows into a database of its own beside the file and runs ner_enrich
there. The parent then takes over the results of every row that has not changed since (the queue's `change`
tells), in one transaction for each shard; changed rows stay pending. So the result is what one process
makes, and a process that dies loses its own shard only.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from typing import Any

from ._load import connect
from ._page import quote

_POLL_S = 0.5


def label_in_processes(conn: Any, arguments: argparse.Namespace, model: str | None, progress: Any) -> list[int]:
    """Labels what is pending, but for rows that change meanwhile: numbers of rows, entities and errors.

    Raises ValueError and OSError.
    """
    _check_key(conn, arguments.table)
    total, *counts = conn.execute(
        "SELECT total, done, entities, errors FROM ner_enrich(?, ?, ?, ?, ?) LIMIT 1",
        (arguments.table, arguments.column, model, arguments.aggregation, arguments.threshold),
    ).fetchone()
    names = _names(conn, arguments.table, arguments.column)
    ranges = _ranges(conn, names, arguments.shards)
    if not ranges:
        return counts
    folder = tempfile.mkdtemp(prefix=".ner-shards-", dir=os.path.dirname(os.path.abspath(arguments.file)))
    workers: list[tuple[subprocess.Popen, str]] = []
    try:
        for i, (first, last) in enumerate(ranges):
            workers.append(_start(arguments, names, folder, i, first, last, len(ranges)))
        _watch(workers, counts[0], counts[1], total, progress)
        for process, shard in workers:
            if process.returncode:
                why = process.stderr.read().strip() or f"its process ended with {process.returncode}"
                raise ValueError(f"a shard failed: {why}; the same command goes on with the rest")
            counts = [a + b for a, b in zip(counts, _merge(conn, names, shard))]
    finally:
        for process, _ in workers:
            if process.poll() is None:
                process.kill()
            process.wait()
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
        progress.close()
    return counts


def _split(table: str) -> tuple[str, str]:
    """Schema and name."""
    schema, _, bare = table.rpartition(".")
    return schema or "main", bare


def _check_key(conn: Any, table: str) -> None:
    """Refuses a table whose rowid has no name of its own: of other primary keys SQLite makes an index."""
    schema, bare = _split(table)
    columns = conn.execute(f"PRAGMA {quote(schema)}.table_info({quote(bare)})").fetchall()
    indexes = conn.execute(f"PRAGMA {quote(schema)}.index_list({quote(bare)})").fetchall()
    # A table that is not there, or is a view, is left to ner_enrich() to name.
    if columns and (not any(column[5] for column in columns) or any(index[3] == "pk" for index in indexes)):
        raise ValueError(
            f"--shards needs a table with an INTEGER PRIMARY KEY, which {table} has not; leave --shards out, "
            "or give the table such a key"
        )


def _names(conn: Any, table: str, column: str) -> dict[str, str]:
    """The table's schema and name as SQL, and its results' name, as ner_enrich spells them."""
    schema, bare = _split(table)
    results = f"{bare}_{column}_ner"
    made = {
        name.lower(): (name, sql)
        for name, sql in conn.execute(f"SELECT name, sql FROM {quote(schema)}.sqlite_schema WHERE type = 'table'")
    }
    if results.lower() not in made:
        raise ValueError(f"--shards finds no table {results} in {schema}; leave it out")
    results = made[results.lower()][0]
    key = conn.execute(f"PRAGMA {quote(schema)}.table_info({quote(results)})").fetchone()[1]
    return {"schema": schema, "table": bare, "column": column, "results": results, "key": key}


def _ranges(conn: Any, names: dict[str, str], n: int) -> list[tuple[int, int]]:
    """At most n ranges of rowids, each with as many pending rows as the others."""
    queue = f"{quote(names['schema'])}.{quote(names['results'] + '_queue')}"
    key = quote(names["key"])
    return conn.execute(
        f"SELECT min(k), max(k) FROM (SELECT {key} AS k, ntile({n}) OVER (ORDER BY {key}) AS part FROM {queue})"
        " GROUP BY part ORDER BY part"
    ).fetchall()


def _start(
    arguments: argparse.Namespace, names: dict[str, str], folder: str, number: int, first: int, last: int, n: int
) -> tuple[subprocess.Popen, str]:
    shard = os.path.join(folder, f"shard-{number}.db")
    task = {
        "file": os.path.abspath(arguments.file), "shard": shard, "names": names, "first": first, "last": last,
        "model": os.path.abspath(arguments.model) if arguments.model else None,
        "aggregation": arguments.aggregation, "threshold": arguments.threshold,
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    process = subprocess.Popen(
        [sys.executable, "-m", "sqlite_ner_ext._shards", json.dumps(task)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "NER_THREADS": str(max(1, cores // n))},
    )
    return process, shard


def _watch(
    workers: list[tuple[subprocess.Popen, str]], done_before: int, found_before: int, total: int, progress: Any
) -> None:
    """Shows the progress of all until each has ended."""
    latest: dict[int, list] = {}
    with selectors.DefaultSelector() as selector:
        for process, _ in workers:
            selector.register(process.stdout, selectors.EVENT_READ, process)
        while selector.get_map():
            for key, _ in selector.select(_POLL_S):
                line = key.fileobj.readline()
                if not line:
                    selector.unregister(key.fileobj)
                    key.data.wait()
                    continue
                latest[key.data.pid] = json.loads(line)
                done, entities, rate = (sum(row[i] or 0 for row in latest.values()) for i in (0, 1, 2))
                done, entities = done + done_before, entities + found_before
                left = max(0, total - done)
                progress.show(done, max(total, done), entities, rate, left / rate if rate else None)


def _merge(conn: Any, names: dict[str, str], shard: str) -> list[int]:
    """Takes a shard's results over, of the rows whose note in the queue is the one it worked from: their
    numbers of rows, entities and errors."""
    schema, results, key = quote(names["schema"]), names["results"], quote(names["key"])
    conn.execute("ATTACH ? AS ner_shard", (shard,))
    try:
        conn.execute("BEGIN IMMEDIATE")
        try:
            conn.execute("DROP TABLE IF EXISTS temp.ner_shard_rows")
            conn.execute(
                f"CREATE TEMP TABLE ner_shard_rows AS SELECT t.k FROM ner_shard.ner_task t"
                f" JOIN {schema}.{quote(results + '_queue')} q ON q.{key} = t.k AND q.change = t.change"
                f" WHERE t.k NOT IN (SELECT {key} FROM ner_shard.{quote(results + '_queue')})"
            )
            conn.execute("CREATE UNIQUE INDEX temp.ner_shard_rows_k ON ner_shard_rows(k)")
            taken = conn.execute("SELECT count(*) FROM temp.ner_shard_rows").fetchone()[0]
            inserted = []
            for suffix in ("", "_error"):
                table = quote(results + suffix)
                conn.execute(f"DELETE FROM {schema}.{table} WHERE {key} IN (SELECT k FROM temp.ner_shard_rows)")
                conn.execute(
                    f"INSERT INTO {schema}.{table} SELECT * FROM ner_shard.{table}"
                    f" WHERE {key} IN (SELECT k FROM temp.ner_shard_rows) ORDER BY rowid"
                )
                inserted.append(conn.execute("SELECT changes()").fetchone()[0])
            conn.execute(
                f"DELETE FROM {schema}.{quote(results + '_queue')} WHERE {key} IN (SELECT k FROM temp.ner_shard_rows)"
            )
            conn.execute(
                f"REPLACE INTO {schema}.{quote(results + '_state')}(key, value) VALUES ('orphan_scan', random())"
            )
            conn.execute("DROP TABLE temp.ner_shard_rows")
            conn.execute("COMMIT")
        except BaseException:
            conn.execute("ROLLBACK")
            raise
    finally:
        conn.execute("DETACH ner_shard")
    return [taken, *inserted]


def _work(task: dict) -> None:
    """A worker: its rows into the shard's database, then ner_enrich there; a JSON line of progress each."""
    names = task["names"]
    conn = connect(task["shard"], isolation_level=None)
    conn.execute("PRAGMA synchronous = OFF")  # a shard that does not end well is made anew
    conn.execute("ATTACH ? AS source", (task["file"],))
    table, column, key = quote(names["table"]), quote(names["column"]), quote(names["key"])
    queue = f"source.{quote(names['results'] + '_queue')}"
    conn.execute("BEGIN")
    conn.execute("CREATE TABLE ner_task(k INTEGER PRIMARY KEY, change INTEGER)")
    conn.execute(f"CREATE TABLE {table}({_other(names['column'])} INTEGER PRIMARY KEY, {column})")
    bounds = (task["first"], task["last"])
    conn.execute(f"INSERT INTO ner_task SELECT {key}, change FROM {queue} WHERE {key} BETWEEN ? AND ?", bounds)
    conn.execute(
        f"INSERT INTO {table} SELECT d.rowid, d.{column} FROM source.{table} d JOIN ner_task t ON t.k = d.rowid"
    )
    conn.execute("COMMIT")
    conn.execute("DETACH source")
    model = None
    if task["model"]:
        model = "model"
        conn.execute("SELECT ner_load(?, ?)", (model, task["model"])).fetchall()
    rows = conn.execute(
        "SELECT done, entities, rows_per_second FROM ner_enrich(?, ?, ?, ?, ?)",
        (names["table"], names["column"], model, task["aggregation"], task["threshold"]),
    )
    for row in rows:
        print(json.dumps(list(row)), flush=True)
    conn.close()


def _other(column: str) -> str:
    """A name for the shard's key that is not the text column's."""
    return "ner_key" if column.lower() != "ner_key" else "ner_key_2"


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    try:
        _work(json.loads(sys.argv[1]))
    except Exception as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
