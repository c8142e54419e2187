#!/usr/bin/env python3
"""Checks that labelling with several worker processes gives, row by row, what one process gives:

    python3 prove.py ENGINE FOLDER [--rows 500000] [--parts 50] [--workers 2] [--kill]

ENGINE is dask or spark. Makes FOLDER/in (Parquet files of made-up sentences), labels it, with --kill ends a
worker process by its pid after some parts are written, runs the engine again for what is missing, and
compares everything with ner_query in this process. Prints rows/s and peak memory.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import pyarrow
import pyarrow.parquet

import sqlite_ner_ext

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = "Anna Schmidt|Peter Hansen|Sarah Jones|Kofi Mensah|Maria Lopez|Wei Chen|Olga Ivanova|Tom Baker".split("|")
PLACES = "Berlin|Paris|Lagos|Lima|Osaka|Warsaw|Madrid|Toronto|Nairobi|Geneva".split("|")
FIRMS = "Siemens|Reuters|Toyota|Nestle|Airbus|Unilever|Ericsson|Petrobras".split("|")
FORMS = [
    "{name} of {firm} flew to {place} .",
    "{firm} opened an office in {place} , said {name} .",
    "Ticket {number} : the printer on floor {digit} is out of paper .",
    "{name} moved from {place} to {other} in {year} .",
    "Please send the invoice to {firm} , {place} .",
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
                firm=chance.choice(FIRMS), number=i, digit=i % 9, year=1950 + i % 70)
            for i in ids
        ]
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, "body": body}), f"{folder}/part-{part:05}.parquet")


def command(engine: str, source: str, target: str, workers: int) -> list[str]:
    script = [sys.executable, f"{HERE}/label_{engine}.py", source, target, "--column", "body", "--key", "id"]
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


def run(engine: str, source: str, target: str, workers: int, kill: bool) -> dict[str, float]:
    begin = time.monotonic()
    process = subprocess.Popen(command(engine, source, target, workers), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout), daemon=True)
    reader.start()
    peak_driver = peak_worker = 0
    killed = None
    while process.poll() is None:
        time.sleep(0.5)
        sizes = processes(process.pid)
        below = {pid: is_worker(pid) for pid in sizes}
        peak_driver = max([peak_driver] + [size for pid, size in sizes.items() if not below[pid]])
        peak_worker = max([peak_worker] + [size for pid, size in sizes.items() if below[pid]])
        written = len([n for n in os.listdir(target) if n.endswith(".parquet") and not n.startswith(".")]) if os.path.isdir(target) else 0
        victims = [pid for pid in below if below[pid] and pid != process.pid]
        if kill and killed is None and written >= 3 and victims:
            killed = victims[0]
            os.kill(killed, signal.SIGKILL)
            print(f"killed worker {killed} after {written} parts")
    reader.join()
    return {"seconds": time.monotonic() - begin, "status": process.returncode, "driver": peak_driver,
            "worker": peak_worker, "output": "".join(output)}


def truth(source: str) -> tuple[dict[int, list], float]:
    """One process's ner_query over all rows: id -> its entities."""
    db = sqlite_ner_ext.connect(":memory:")
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body)")
    for name in sorted(os.listdir(source)):
        table = pyarrow.parquet.read_table(f"{source}/{name}")
        db.executemany("INSERT INTO t VALUES (?, ?)", zip(table.column("id").to_pylist(), table.column("body").to_pylist()))
    result: dict[int, list] = {}
    begin = time.monotonic()
    for key, *rest in db.execute("SELECT key, entity, label, score, start, end, error FROM ner_query('SELECT id, body FROM t')"):
        result.setdefault(key, []).append(tuple(rest))
    return result, time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["dask", "spark"])
    parser.add_argument("folder")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--parts", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true")
    arguments = parser.parse_args()
    source, target = f"{arguments.folder}/in", f"{arguments.folder}/out-{arguments.engine}"
    shutil.rmtree(target, ignore_errors=True)
    make(source, arguments.rows, arguments.parts)
    first = run(arguments.engine, source, target, arguments.workers, arguments.kill)
    missing = len(sqlite_ner_ext.missing_parts(source, target))
    print(f"{arguments.engine}, {arguments.workers} workers: {first['seconds']:.1f} s, "
          f"{arguments.rows / first['seconds']:,.0f} rows/s, driver {first['driver'] / 1e6:,.0f} MB, "
          f"a worker {first['worker'] / 1e6:,.0f} MB, status {first['status']}, {missing} parts missing")
    if missing:
        again = run(arguments.engine, source, target, arguments.workers, False)
        print(f"again, for what was missing: {again['seconds']:.1f} s, status {again['status']}")
        if again["status"]:
            sys.exit(again["output"])
    expected, seconds = truth(source)
    print(f"one process, ner_query: {arguments.rows / seconds:,.0f} rows/s")
    got: dict[int, list] = {}
    for name in sorted(n for n in os.listdir(target) if not n.startswith(".")):
        for row in pyarrow.parquet.read_table(f"{target}/{name}").to_pylist():
            got.setdefault(row.pop("id"), []).append(tuple(row.values()))
    n_entities = sum(map(len, expected.values()))
    if got != expected:
        different = [key for key in set(got) | set(expected) if got.get(key) != expected.get(key)]
        sys.exit(f"different: {len(different)} rows, first {different[0]}: {got.get(different[0])} {expected.get(different[0])}")
    print(f"equal, row by row: {arguments.rows:,} rows, {n_entities:,} entities; "
          f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


if __name__ == "__main__":
    main()
