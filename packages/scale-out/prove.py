#!/usr/bin/env python3
"""Checks that labelling with several worker processes gives, row by row, what one process gives, and
measures it:

    python3 prove.py FOLDER [--engines dask,spark] [--rows 500000] [--parts 50] [--workers 2]
                            [--model FILE] [--kill] [--no-truth]

Makes FOLDER/in (Parquet files of made-up sentences) and labels it with each engine and number of workers.
With --kill it ends the first run's worker process by its pid after some parts are written, and then runs
the engine again for what is missing. Every result is compared with ner_query in this process. Prints
rows/s, with and without the engine's own start, and peak memory.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Iterator

import pyarrow
import pyarrow.parquet

import sqlite_ner_ext

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = "Anna Schmidt|Peter Hansen|Sarah Jones|Kofi Mensah|Maria Lopez|Wei Chen|Olga Ivanova|Tom Baker".split("|")
PLACES = "Berlin|Paris|Lagos|Lima|Osaka|Warsaw|Madrid|Toronto|Nairobi|Geneva".split("|")
FIRMS = "Siemens|Reuters|Toyota|Nestle|Airbus|Unilever|Ericsson|Petrobras".split("|")
FORMS = [
    "{name} of {firm}",
    "{firm} , {place} , {year}",
    "Ticket {number} : no paper",
    "{name} left {place} for {other}",
    "Invoice {number} to {firm}",
]


def make(folder: str, rows: int, parts: int) -> None:
    """Parquet files with id and body; every 1,000th body is NULL."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    chance = random.Random(7)
    per_part = -(-rows // parts)
    for part in range(parts):
        ids = list(range(part * per_part, min(rows, (part + 1) * per_part)))
        body = [
            None if i % 1000 == 999 else chance.choice(FORMS).format(
                name=chance.choice(NAMES), place=chance.choice(PLACES), other=chance.choice(PLACES),
                firm=chance.choice(FIRMS), number=i, year=1950 + i % 70)
            for i in ids
        ]
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, "body": body}), f"{folder}/part-{part:05}.parquet")


def command(engine: str, source: str, target: str, workers: int, model: str | None) -> list[str]:
    script = [sys.executable, f"{HERE}/label_{engine}.py", source, target, "--column", "body", "--key", "id"]
    script += ["--model", model] if model else []
    return script + (["--workers", str(workers)] if engine == "dask" else ["--master", f"local[{workers}]"])


def processes(root: int) -> dict[int, int]:
    """pid -> resident bytes of all processes below `root`, itself included."""
    parents, sizes = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            parents[int(pid)], sizes[int(pid)] = int(fields[1]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    below, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return {pid: sizes.get(pid, 0) for pid in below}


def is_worker(pid: int) -> bool:
    """Whether a process has the library open: the driver has not."""
    try:
        with open(f"/proc/{pid}/maps") as maps:
            return "/ner.so" in maps.read()
    except OSError:
        return False


def written(target: str) -> int:
    """The number of finished parts."""
    return len([n for n in os.listdir(target) if not n.startswith(".")]) if os.path.isdir(target) else 0


def run(engine: str, source: str, target: str, workers: int, model: str | None, kill: bool) -> dict:
    """Runs the engine once. Peaks are resident bytes: of all processes without the library together (driver,
    scheduler, Java), and of the largest worker."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command(engine, source, target, workers, model), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout), daemon=True)
    reader.start()
    peak_driver = peak_worker = at_once = 0
    working = killed = None
    while process.poll() is None:
        time.sleep(0.25)
        sizes = processes(process.pid)
        labelling = {pid for pid in sizes if pid != process.pid and is_worker(pid)}
        peak_driver = max(peak_driver, sum(size for pid, size in sizes.items() if pid not in labelling))
        peak_worker = max([peak_worker] + [sizes[pid] for pid in labelling])
        at_once = max(at_once, len(labelling))
        if labelling and working is None:
            working = time.monotonic()
        done = written(target)
        if kill and killed is None and done >= 3 and labelling:
            killed = min(labelling)
            os.kill(killed, signal.SIGKILL)
            print(f"{engine}: killed worker {killed} after {done} parts", flush=True)
    reader.join()
    end = time.monotonic()
    return {"seconds": end - begin, "working": end - (working or begin), "status": process.returncode,
            "driver": peak_driver, "worker": peak_worker, "at once": at_once, "output": "".join(output), "killed": killed}


def label(engine: str, source: str, target: str, workers: int, model: str | None, rows: int, kill: bool) -> None:
    """Labels everything, in a second run where a killed worker made the first one end."""
    shutil.rmtree(target, ignore_errors=True)
    first = run(engine, source, target, workers, model, kill)
    missing = len(sqlite_ner_ext.missing_parts(source, target))
    print(f"{engine}, {workers} workers: {first['seconds']:.1f} s, {rows / first['seconds']:,.0f} rows/s "
          f"({rows / first['working']:,.0f} without the start), driver {first['driver'] / 1e6:,.0f} MB, "
          f"a worker {first['worker'] / 1e6:,.0f} MB, status {first['status']}, {missing} parts missing", flush=True)
    if first["at once"] < workers:
        sys.exit(f"{engine}: no more than {first['at once']} of {workers} workers were at work at once")
    if kill and not first["killed"]:
        sys.exit("no worker could be killed: it was all done before; take more rows")
    if missing:
        if not kill:
            sys.exit(first["output"])
        again = run(engine, source, target, workers, model, False)
        print(f"{engine}, again for what was missing: {again['seconds']:.1f} s, status {again['status']}", flush=True)
        if again["status"]:
            sys.exit(again["output"])
    left = [name for name in os.listdir(target) if name.startswith(".") and name.endswith(".tmp")]
    if left:
        sys.exit(f"{engine}: unfinished files are left: {left}")


def truth(source: str, model: str | None) -> Iterator[tuple]:
    """One process's ner_query over all rows, in order."""
    db = sqlite_ner_ext.connect("")
    if model:
        db.execute("SELECT ner_load('truth', ?)", (os.path.abspath(model),)).fetchall()
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
    for name in sorted(os.listdir(source)):
        table = pyarrow.parquet.read_table(f"{source}/{name}")
        db.executemany("INSERT INTO t VALUES (?, ?)", zip(table.column("id").to_pylist(), table.column("body").to_pylist()))
    yield from db.execute(
        "SELECT key, entity, label, score, start, end, error FROM ner_query('SELECT id, body FROM t ORDER BY id', ?)",
        ("truth" if model else None,),
    )


def result(target: str) -> Iterator[tuple]:
    """What an engine wrote, in the order of the parts."""
    for name in sorted(n for n in os.listdir(target) if not n.startswith(".")):
        columns = pyarrow.parquet.read_table(f"{target}/{name}").to_pydict()
        yield from zip(*columns.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--engines", default="dask,spark")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--parts", type=int, default=50)
    parser.add_argument("--workers", default="2", help="numbers of workers, such as 1,2")
    parser.add_argument("--model", help="a one-file model, which is sent to the workers")
    parser.add_argument("--kill", action="store_true", help="kill a worker of each engine's first run")
    parser.add_argument("--no-truth", action="store_true", help="measure only")
    arguments = parser.parse_args()
    source = f"{arguments.folder}/in"
    make(source, arguments.rows, arguments.parts)
    targets = []
    for engine in arguments.engines.split(","):
        for i, workers in enumerate(arguments.workers.split(",")):
            targets.append(f"{arguments.folder}/out-{engine}-{workers}")
            label(engine, source, targets[-1], int(workers), arguments.model, arguments.rows, arguments.kill and i == 0)
    if arguments.no_truth:
        return
    begin = time.monotonic()
    n_entities = 0
    for expected, *got in itertools.zip_longest(truth(source, arguments.model), *map(result, targets)):
        n_entities += 1
        for target, row in zip(targets, got):
            if row != expected:
                sys.exit(f"{target} differs: {row}, ner_query: {expected}")
    seconds = time.monotonic() - begin
    print(f"one process, ner_query: {seconds:.1f} s with the comparison, {arguments.rows / seconds:,.0f} rows/s, "
          f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")
    print(f"equal, row by row: {arguments.rows:,} rows, {n_entities:,} entities, {len(targets)} results")


if __name__ == "__main__":
    main()
