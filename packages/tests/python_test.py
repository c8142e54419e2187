"""What a user of sqlite-ner-ext does, in an environment into which the wheel was installed:

    python packages/tests/python_test.py

Modules that are not installed are reported as skipped. Exits with the number of failures.
"""

from __future__ import annotations

import importlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import sqlite_ner_ext

TEXT = "Angela Merkel lived in Berlin"
FOUND = [("Angela Merkel", "PER"), ("Berlin", "LOC")]
passed, failed, skipped = [], [], []


def check(name, condition, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAILED: {name} {detail}")


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        skipped.append(name)
        return None


def raises(kind, part, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return part in str(error)
    return False


def entities(conn):
    return [tuple(row) for row in conn.execute("SELECT entity, label FROM ner(?)", (TEXT,)).fetchall()]


def run(*arguments, **options):
    command = [sys.executable, "-m", "sqlite_ner_ext", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_hosts():
    for name in ("sqlite3", "pysqlite3", "sqlean"):
        host = module(name)
        if host is None:
            continue
        conn = host.connect(":memory:")
        sqlite_ner_ext.load(conn)
        check(f"{name}: load", entities(conn) == FOUND)
        sqlite_ner_ext.load(conn)
        sqlite_ner_ext.load(conn, safe=True)
        check(f"{name}: loading again", entities(conn) == FOUND)
        safe = host.connect(":memory:")
        sqlite_ner_ext.load(safe, safe=True)
        check(f"{name}: safe", entities(safe) == FOUND)
        check(f"{name}: safe has no ner_load", raises(host.Error, "ner_load", safe.execute, "SELECT ner_load('a', 'b')"))
        check(f"{name}: loading is off again", raises(host.Error, "", safe.execute, "SELECT load_extension('x')"))
    apsw = module("apsw")
    if apsw:
        conn = apsw.Connection(":memory:")
        sqlite_ner_ext.load(conn)
        check("apsw: load", entities(conn) == FOUND)
        conn = apsw.Connection(":memory:")
        sqlite_ner_ext.load(conn, safe=True)
        check("apsw: safe", entities(conn) == FOUND)
    check("load(): not a connection", raises(sqlite_ner_ext.LoadError, "takes a connection", sqlite_ner_ext.load, 7))

    class Without:
        execute = None

    check("load(): no extension loading", raises(sqlite_ner_ext.LoadError, "/usr/bin/python3", sqlite_ner_ext.load, Without()))
    check("loadable_path()", os.path.exists(sqlite_ner_ext.loadable_path() + ".so") or sys.platform != "linux")
    version = sqlite_ner_ext.connect(":memory:").execute("SELECT ner_version()").fetchone()[0]
    check("version", version.startswith(sqlite_ner_ext.version), version)


def test_frames():
    texts = [TEXT, None, "", "é😀 Paris \ud800 Berlin", 12.5, "Reuters"]
    arrow, pandas, polars = module("pyarrow"), module("pandas"), module("polars")
    expected = None
    if pandas:
        found = sqlite_ner_ext.label(pandas.DataFrame({"body": texts}), "body")
        first = found[found["row"] == 0]
        check("pandas: entities", list(zip(first["entity"], first["label"])) == FOUND)
        check("pandas: bytes are an error", "bytes" in sqlite_ner_ext.label(pandas.DataFrame({"b": [b"x"]}), "b")["error"][0])
        for missing in (pandas.NA, pandas.NaT, float("nan"), None):
            check(f"pandas: {missing}", len(sqlite_ner_ext.label(pandas.DataFrame({"b": pandas.Series([missing], dtype="object")}), "b")) == 0)
        for odd in ([1, 2], {"a": 1}, True):
            check(f"pandas: {odd} is an error", "give a string" in sqlite_ner_ext.label(pandas.DataFrame({"b": pandas.Series([odd], dtype="object")}), "b")["error"][0])
        check("pandas: NA of its strings", len(sqlite_ner_ext.label(pandas.DataFrame({"b": pandas.Series([TEXT, None], dtype="string")}), "b")) == 2)
        check("pandas: no column", raises(KeyError, "the columns are body", sqlite_ner_ext.label, pandas.DataFrame({"body": texts}), "x"))
        clean = [t for t in texts if not isinstance(t, float)]
        clean[3] = "é😀 Paris in Berlin"
        expected = sqlite_ner_ext.label(pandas.DataFrame({"body": clean}), "body").values.tolist()
        conn = sqlite_ner_ext.connect(":memory:")
        conn.execute("CREATE TABLE t(k INTEGER PRIMARY KEY, x)")
        conn.executemany("INSERT INTO t VALUES (?, ?)", enumerate(clean))
        truth = conn.execute("SELECT key, entity, label, score, start, end, error FROM ner_query('SELECT k, x FROM t')").fetchall()
        check("pandas: as ner_query", [list(row) for row in truth] == [[None if v != v else v for v in row] for row in expected])
        check("pandas: empty", len(sqlite_ner_ext.label(pandas.DataFrame({"body": []}), "body")) == 0)
        if arrow:
            for kind in (arrow.string(), arrow.large_string()):
                table = arrow.table({"body": arrow.chunked_array([arrow.array(clean[:2], kind), arrow.array(clean[2:], kind)])})
                got = [list(row.values()) for row in sqlite_ner_ext.label(table, "body").to_pylist()]
                check(f"pyarrow: {kind}", got == [list(row) for row in truth], str(got))
                sliced = sqlite_ner_ext.label(table.slice(3), "body").to_pylist()
                check(f"pyarrow: slice of {kind}", [r["entity"] for r in sliced] == [r[1] for r in truth if r[0] >= 3])
            check("pyarrow: numbers", raises(TypeError, "int64", sqlite_ner_ext.label, arrow.table({"n": [1]}), "n"))
            check("pyarrow: NULLs alone", len(sqlite_ner_ext.label(arrow.table({"n": [None, None]}), "n")) == 0)
            many = arrow.table({"body": clean * 2000})
            check("pyarrow: many", len(sqlite_ner_ext.label(many, "body")) == 2000 * len(truth))
        if polars and arrow:
            got = sqlite_ner_ext.label(polars.DataFrame({"body": clean}), "body")
            check("polars", [list(r) for r in got.rows()] == [list(r) for r in truth])
            check("polars: no column", raises(KeyError, "body", sqlite_ner_ext.label, polars.DataFrame({"body": ["a"]}), "x"))
    check("label(): other frames", raises(TypeError, "DataFrame", sqlite_ner_ext.label, [1], "x"))
    if pandas:
        frame = pandas.DataFrame({"id": [7, 8], "body": [TEXT, None]})
        part = sqlite_ner_ext.label_partition(frame, column="body", key="id")
        check("label_partition: frame", list(part["id"]) == [7, 7] and list(part["entity"]) == ["Angela Merkel", "Berlin"])
        check("label_partition: meta", list(sqlite_ner_ext.partition_meta("int64", "id").dtypes) == list(part.dtypes))
        parts = list(sqlite_ner_ext.label_partition(iter([frame, frame]), column="body", key="id"))
        check("label_partition: frames", [len(p) for p in parts] == [2, 2])
        nulls = sqlite_ner_ext.label_partition(frame.iloc[1:], column="body", key="id")
        check("label_partition: NULLs alone", len(nulls) == 0 and list(nulls.columns) == list(part.columns))
        check("label_partition: no model", raises(sqlite_ner_ext.ModelError, "/nonexistent", sqlite_ner_ext.label_partition, frame, "body", "id", "/nonexistent"))
        check("aggregation", raises(ValueError, "strict", sqlite_ner_ext.label, frame, "body", None, "best"))


def test_command(folder):
    file = os.path.join(folder, "docs.db")
    conn = sqlite3.connect(file)
    conn.executescript("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT);")
    conn.executemany("INSERT INTO docs(body) VALUES (?)", [(TEXT,), (None,), ("<b>&\" é😀 Paris",), (b"\0",)])
    conn.commit()
    page = os.path.join(folder, "out.html")
    result = run(file, "docs", "body", "--html", page)
    check("command", result.returncode == 0 and "rows labelled" in result.stdout, result.stderr)
    check("command: entities", conn.execute("SELECT count(*) FROM docs_body_ner").fetchone()[0] >= 3)
    with open(page, encoding="ascii") as out:
        text = out.read()
    check("command: page", "ner-per" in text and "<b>" not in text and "Angela Merkel" in text)
    for arguments, part in [
        ((file, "docs", "nosuch"), "nosuch"), ((file, "nosuch", "body"), "nosuch"),
        ((os.path.join(folder, "nosuch.db"), "docs", "body"), "nosuch.db"),
        ((file, "docs", "body", "--model", "/nonexistent"), "/nonexistent"),
        ((file, "docs", "body", "--aggregation", "best"), "best"),
        ((file, "docs", "body", "--html", "/nonexistent/x.html"), "/nonexistent"),
    ]:
        result = run(*arguments)
        check(f"command: {arguments[1:]}", result.returncode == 1 and part in result.stderr and "Traceback" not in result.stderr, result.stderr)
    check("command: made no file", not os.path.exists(os.path.join(folder, "nosuch.db")))


def results(conn):
    return [
        conn.execute(f"SELECT * FROM docs_body_ner{suffix} ORDER BY docs_rowid, rowid").fetchall()
        for suffix in ("", "_error", "_queue")
    ]


def test_shards(folder):
    """--shards makes and reports what one process does, with rowids far apart and rows that have no text."""
    files = {n: os.path.join(folder, f"shards-{n}.db") for n in (1, 2, 7)}
    odd = [None, b"\xff\0", "", 5, "Z\u00fcrich " * 600]
    rows = [(i * i * i * 1_000_003, odd[i % 25] if i % 25 < len(odd) else f"{TEXT} {i}") for i in range(-150, 450)]
    reports = {}
    for n, file in files.items():
        conn = sqlite3.connect(file)
        conn.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, body)")
        conn.executemany("INSERT INTO docs VALUES (?, ?)", rows)
        conn.commit()
        result = run(file, "docs", "body", "--shards", str(n))
        reports[n] = result.stdout
        check(f"shards {n}", result.returncode == 0, result.stderr)
        if n == 1:
            want = results(conn)
        check(f"shards {n}: as one process", results(conn) == want and len(want[0]) > 1000 and len(want[1]) > 10)
        check(f"shards {n}: report", reports[n] == reports[1], reports[n])
        conn.execute("UPDATE docs SET body = 'Ada in Rome' WHERE id = ?", rows[7][:1])
        conn.execute("INSERT INTO docs VALUES (-7, ?)", (TEXT,))
        conn.commit()
        result = run(file, "docs", "body", "--shards", str(n))
        check(f"shards {n}: what has changed", result.stdout.startswith("2 rows labelled, 3 entities"), result.stdout)
        conn.close()
    check("shards: nothing is left", not [name for name in os.listdir(folder) if "shards-" in name and not name.endswith(".db")])
    for key in ("k TEXT PRIMARY KEY)", "k INTEGER PRIMARY KEY DESC)", "k INTEGER)", "k PRIMARY KEY) WITHOUT ROWID"):
        file = os.path.join(folder, "keys.db")
        conn = sqlite3.connect(file)
        conn.execute(f"CREATE TABLE docs(body, {key}")
        conn.execute("INSERT INTO docs VALUES (?, 1)", (TEXT,))
        conn.commit()
        result = run(file, "docs", "body", "--shards", "2")
        check(f"shards: {key}", result.returncode == 1 and "INTEGER PRIMARY KEY" in result.stderr and not result.stdout, result.stderr)
        check(f"shards: {key}: nothing is made", conn.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'docs_%'").fetchone()[0] == 0)
        check(f"shards: {key}: without", run(file, "docs", "body").returncode == 0)
        conn.close()
        os.unlink(file)


def test_stop(folder):
    """Ctrl-C stops cleanly; the next run does the rest."""
    file = os.path.join(folder, "stop.db")
    conn = sqlite3.connect(file)
    conn.executescript("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT);")
    conn.executemany("INSERT INTO docs(body) VALUES (?)", [(f"{TEXT} in {i}",) for i in range(3000)])
    conn.commit()
    process = subprocess.Popen([sys.executable, "-m", "sqlite_ner_ext", file, "docs", "body"], stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        time.sleep(0.05)
        made = conn.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'docs_body_ner'").fetchone()[0]
        if made and conn.execute("SELECT count(*) FROM docs_body_ner").fetchone()[0]:
            break
    process.send_signal(signal.SIGINT)
    message = process.communicate()[1]
    part = conn.execute("SELECT count(DISTINCT docs_rowid) FROM docs_body_ner").fetchone()[0]
    check("stop: status", process.returncode == 130 and "Traceback" not in message, f"{process.returncode} {message}")
    check("stop: some rows", 0 < part < 3000, str(part))
    check("stop: goes on", run(file, "docs", "body", "--quiet").returncode == 0)
    check("stop: whole", conn.execute("SELECT count(*) FROM docs_body_ner WHERE label = 'PER'").fetchone()[0] >= 3000)


def main():
    with tempfile.TemporaryDirectory() as folder:
        test_hosts()
        test_frames()
        test_command(folder)
        test_shards(folder)
        test_stop(folder)
    print(f"python: {len(passed)} passed, {len(failed)} failed; not installed: {', '.join(sorted(set(skipped))) or 'nothing'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
