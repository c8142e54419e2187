"""python -m sqlite_ner_ext FILE.db TABLE COLUMN: keeps TABLE_COLUMN_ner, the entities of a text column,
up to date (ner_enrich), with a progress bar; --html writes a page of labelled rows."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import Any, Sequence

from . import _page, _shards
from ._load import LoadError, connect
from ._version import version

INTERRUPTED = 130  # as a shell reports SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sqlite_ner_ext",
        description="Labels a text column of an SQLite table and keeps the entities in TABLE_COLUMN_ner.",
    )
    parser.add_argument("file", help="the database")
    parser.add_argument("table", help="the table, or schema.table")
    parser.add_argument("column", help="its text column")
    parser.add_argument("--model", help="path of a model directory or file (default: the embedded model)")
    parser.add_argument("--aggregation", help="first (default), simple, average, max or strict")
    parser.add_argument("--threshold", type=float, help="leave out entities scoring below it")
    parser.add_argument("--html", metavar="OUT", help="write a page of labelled rows")
    parser.add_argument("--rows", type=int, default=200, metavar="N", help="rows of that page (default 200)")
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="label in N processes (default 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--version", action="version", version=version)
    return parser


class _Plain:
    """A progress line without tqdm: redrawn on a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self.terminal, self.last = sys.stderr.isatty(), 0.0

    def show(self, done: int, total: int, entities: int, rate: float | None, eta: float | None) -> None:
        now = time.monotonic()
        if now - self.last < (0.1 if self.terminal else 10) and done < total:
            return
        self.last = now
        share = done / total if total else 1.0
        line = f"{share:4.0%} {done:,}/{total:,} rows, {entities:,} entities"
        if rate is not None and eta is not None:
            line += f", {rate:,.0f} rows/s, {_duration(eta)} left"
        print(f"\r{line:<78}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal and self.last:
            print(file=sys.stderr)


class _Tqdm:
    def __init__(self, tqdm: Any) -> None:
        self.bar = tqdm(unit=" rows", unit_scale=True, dynamic_ncols=True)

    def show(self, done: int, total: int, entities: int, rate: float | None, eta: float | None) -> None:
        self.bar.total = total
        self.bar.set_postfix(entities=entities, refresh=False)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        self.bar.close()


class _Quiet:
    def show(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass


def _progress(quiet: bool) -> Any:
    if quiet:
        return _Quiet()
    try:
        from tqdm import tqdm
    except ImportError:
        return _Plain()
    return _Tqdm(tqdm)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def open_database(file: str, model: str | None) -> tuple[Any, str | None]:
    """A connection with the library, and the name of the model for the SQL functions."""
    if not os.path.exists(file):
        raise FileNotFoundError(f"there is no file {file}; give an existing database")
    conn = connect(file, isolation_level=None, timeout=60)
    if model is None:
        return conn, None
    name = re.sub(r"[^A-Za-z0-9._-]", "-", os.path.basename(os.path.normpath(model)))[:60] or "model"
    conn.execute("SELECT ner_load(?, ?)", (name, os.path.abspath(model))).fetchall()
    return conn, name


def _enrich(conn: Any, arguments: argparse.Namespace, model: str | None) -> tuple[int, int, int]:
    done = entities = errors = 0
    progress = _progress(arguments.quiet)
    rows = conn.execute(
        "SELECT done, total, entities, errors, rows_per_second, eta_seconds FROM ner_enrich(?, ?, ?, ?, ?)",
        (arguments.table, arguments.column, model, arguments.aggregation, arguments.threshold),
    )
    try:
        for done, total, entities, errors, rate, eta in rows:
            if total:  # nothing is left after --shards
                progress.show(done, total, entities, rate, eta)
    except KeyboardInterrupt:
        rows.close()
        progress.close()
        print(f"stopped: {done:,} rows are labelled; the same command goes on with the rest", file=sys.stderr)
        raise
    progress.close()
    return done, entities, errors


def _read_only(file: str) -> str:
    """Names what SQLite cannot write to: it makes its journal beside the file."""
    for path in (file, os.path.dirname(os.path.abspath(file))):
        if not os.access(path, os.W_OK):
            return f"; {path} cannot be written to: change its permissions, or label a copy"
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.shards < 1:
        _parser().error("--shards takes a whole number from 1")
    try:
        conn, model = open_database(arguments.file, arguments.model)
        counts = [0, 0, 0]
        if arguments.shards > 1:
            counts = _shards.label_in_processes(conn, arguments, model, _progress(arguments.quiet))
        done, entities, errors = (a + b for a, b in zip(counts, _enrich(conn, arguments, model)))
        if arguments.html:
            _page.write(conn, arguments.table, arguments.column, model, arguments.html, arguments.rows)
        conn.close()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (LoadError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # whichever module's sqlite3.Error
        if not any(base.__name__ == "Error" for base in type(error).__mro__):
            raise
        print(f"error: {error}{_read_only(arguments.file)}", file=sys.stderr)
        return 1
    if not arguments.quiet:
        print(f"{done:,} rows labelled, {entities:,} entities, {errors:,} errors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
