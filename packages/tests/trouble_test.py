"""What goes wrong, in an environment into which the wheel was installed: each fault gives a clear error
and leaves nothing half-written.

    python packages/tests/trouble_test.py [DIST]

DIST: a folder with the wheels of other platforms, which are tried by force.
"""

from __future__ import annotations

import glob
import importlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zipfile

import sqlite_ner_ext

NOBODY = 65534
TEXT = "Angela Merkel lived in Berlin"
passed, failed, skipped = [], [], []


def check(name, condition, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAILED: {name} {detail}")


def skip(name):
    skipped.append(name)
    print(f"skipped: {name}")


def module(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def message(kind, call, *arguments, **named):
    """The message of the error that a call raises; '' where it raises none of that kind."""
    try:
        call(*arguments, **named)
    except kind as error:
        return str(error)
    return ""


def python(code_or_module, *arguments, interpreter=sys.executable, path=None, **options):
    command = [interpreter, *code_or_module, *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **({"PYTHONPATH": path} if path else {})}
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options)


def is_clear(result, part):
    return result.returncode == 1 and part in result.stderr and "Traceback" not in result.stderr


def new_database(folder, name="docs.db"):
    file = os.path.join(folder, name)
    conn = sqlite3.connect(file)
    conn.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT)")
    conn.executemany("INSERT INTO docs(body) VALUES (?)", [(TEXT,), (None,)])
    conn.commit()
    conn.close()
    return file


LOAD = ("-c", "import sqlite3, sqlite_ner_ext\n"
        "try: sqlite_ner_ext.load(sqlite3.connect(':memory:'))\n"
        "except sqlite_ner_ext.LoadError as error: raise SystemExit(str(error))")


def test_other_platform(folder, dist):
    """A wheel of another platform, unpacked by force."""
    package = os.path.dirname(sqlite_ner_ext.__file__)
    library = sqlite_ner_ext.loadable_path() + ".so"
    if os.path.exists(library):
        made = os.path.join(folder, "made", "sqlite_ner_ext")
        shutil.copytree(package, made)
        with open(os.path.join(made, "ner.so"), "r+b") as file:
            file.seek(18)  # e_machine
            file.write((183).to_bytes(2, "little") if os.uname().machine != "aarch64" else (62).to_bytes(2, "little"))
        with open(os.path.join(made, "_version.py"), "a") as file:
            file.write('target = "elsewhere-linux-gnu"\n')
        result = python(LOAD, path=os.path.dirname(made))
        check("other processor", is_clear(result, "it was built for elsewhere-linux-gnu") and "install the wheel" in result.stderr, result.stderr)
        with open(os.path.join(made, "_version.py"), "a") as file:
            file.write('target = ""\n')
        os.unlink(os.path.join(made, "ner.so"))
        result = python(LOAD, path=os.path.dirname(made))
        check("no library", is_clear(result, "has no library for this platform"), result.stderr)
    for wheel in sorted(glob.glob(os.path.join(dist, "sqlite_ner_ext-*.whl"))) if dist else []:
        name = os.path.basename(wheel)
        where = os.path.join(folder, name)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(where)
        result = python(LOAD, path=where)
        if result.returncode == 0:
            check(f"runs: {name}", "manylinux" in name)
        else:
            check(f"other platform: {name}", is_clear(result, "it was built for "), result.stderr)
        shutil.rmtree(where)


def test_no_extensions(folder):
    """A Python built without extension loading."""
    package = os.path.join(folder, "plain")
    shutil.copytree(os.path.dirname(sqlite_ner_ext.__file__), os.path.join(package, "sqlite_ner_ext"))
    file = new_database(folder)
    patched = ("-c", "import sqlite3, sys\n"
               "class Connection:\n execute = None\n"
               "sqlite3.Connection = Connection\nfor name in ('pysqlite3', 'sqlean'): sys.modules[name] = None\n"
               "from sqlite_ner_ext.__main__ import main\nsys.exit(main(sys.argv[1:]))")
    result = python(patched, file, "docs", "body")
    check("command without extension loading", is_clear(result, "/usr/bin/python3"), result.stderr)
    candidates = glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python")) + glob.glob("/usr/local/bin/python3")
    probe = "import sqlite3, sys; sys.exit(sys.version_info < (3, 8) or hasattr(sqlite3.Connection, 'enable_load_extension'))"
    without = [p for p in sorted(candidates) if python(("-c", probe), interpreter=p).returncode == 0]
    if not without:
        skip("a Python built without extension loading")
    for interpreter in without[:1] + without[-1:]:
        result = python(LOAD, interpreter=interpreter, path=package)
        check("load() without extension loading", is_clear(result, "without loading of SQLite extensions") and "apsw" in result.stderr, result.stderr)
        result = python(("-m", "sqlite_ner_ext"), file, "docs", "body", interpreter=interpreter, path=package)
        check("the command there", is_clear(result, "/usr/bin/python3"), result.stderr)
    names = [row[0] for row in sqlite3.connect(file).execute("SELECT name FROM sqlite_schema")]
    check("database as before", names == ["docs"], str(names))


def test_two_sqlites(folder):
    """One file, opened by two copies of SQLite in one process."""
    other = next((m for m in map(module, ("pysqlite3", "sqlean")) if m), None)
    if other is None:
        skip("two copies of SQLite")
        return
    file = new_database(folder, "two.db")
    first, second = sqlite3.connect(file), other.connect(file)
    sqlite_ner_ext.load(first)
    sqlite_ner_ext.load(second)
    sql = "SELECT count(*) FROM docs, ner(docs.body)"
    check("two copies of SQLite: load()", first.execute(sql).fetchone() == second.execute(sql).fetchone() == (2,))
    raw = other.connect(file)
    raw.enable_load_extension(True)
    text = message(other.Error, raw.load_extension, sqlite_ner_ext.loadable_path())
    check("two copies of SQLite: one file of the library", "another copy of SQLite" in text and ";" in text, text)


def test_read_only(folder):
    """A database in a folder where nothing can be written."""
    closed = os.path.join(folder, "closed")
    os.mkdir(closed)
    file = new_database(closed)
    page = os.path.join(closed, "page.html")
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    os.chmod(closed, 0o555)
    for mode in (0o444, 0o666):
        os.chmod(file, mode)
        for arguments in ((), ("--shards", "2")):
            result = python(("-m", "sqlite_ner_ext"), file, "docs", "body", *arguments, **options)
            name = f"read-only folder, file {mode:o} {' '.join(arguments)}"
            check(name, result.returncode == 1 and "Traceback" not in result.stderr and "cannot be written to: change" in result.stderr, result.stderr)
    writable = os.path.join(folder, "writable")
    os.mkdir(writable)
    other = new_database(writable)
    for path in (writable, other):
        os.chmod(path, 0o777)
    result = python(("-m", "sqlite_ner_ext"), other, "docs", "body", "--html", page, **options)
    check("read-only folder, page", is_clear(result, closed), result.stderr)
    os.chmod(closed, 0o755)
    check("read-only folder: as before", os.listdir(closed) == ["docs.db"], str(os.listdir(closed)))


def test_partitions(folder):
    """What a worker of a batch engine meets."""
    pandas, pyarrow = module("pandas"), module("pyarrow")
    if pandas is None or pyarrow is None:
        skip("partitions: pandas and pyarrow")
        return
    import pyarrow.parquet

    source, target = os.path.join(folder, "in.parquet"), os.path.join(folder, "out", "in.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "body": [TEXT, None], "blob": [b"a", b"b"]}), source)
    label = sqlite_ner_ext.label_parquet
    text = message(KeyError, label, source, target, "nosuch", "id")
    check("no column", "'nosuch'" in text and "the columns are id, body, blob" in text, text)
    text = message(KeyError, label, source, target, "body", "nosuch")
    check("no key", "'nosuch'" in text, text)
    text = message(sqlite_ner_ext.ModelError, label, source, target, "body", "id", model="/nonexistent/model")
    check("no model file", "/nonexistent/model" in text, text)
    text = message(TypeError, label, source, target, "blob", "id")
    check("not a string column", "binary" in text, text)
    text = message(FileNotFoundError, label, os.path.join(folder, "nosuch.parquet"), target, "body", "id")
    check("no source", "nosuch.parquet" in text, text)
    check("nothing half-written", os.listdir(os.path.dirname(target)) == [], str(os.listdir(os.path.dirname(target))))

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    from sqlite_ner_ext._parquet import _HOST

    left = [os.path.join(os.path.dirname(target), f".in.parquet.{_HOST}.{pid}.tmp") for pid in (ended.pid, os.getppid())]
    for name in left:
        open(name, "w").close()
    counts = label(source, target, "body", "id")
    check("label_parquet", counts == {"rows": 2, "entities": 2, "errors": 0}, str(counts))
    check("a killed worker's rest is removed", not os.path.exists(left[0]))
    check("a running worker's is not", os.path.exists(left[1]))

    for name, column in [("typed", pyarrow.array([None] * 3, pyarrow.string())), ("untyped", pyarrow.nulls(3))]:
        pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2, 3], "body": column}), source)
        counts = label(source, target, "body", "id")
        check(f"NULLs alone, {name}", counts == {"rows": 3, "entities": 0, "errors": 0}, str(counts))
        written = pyarrow.parquet.read_table(target)
        check(f"NULLs alone, {name}: columns", written.column_names == ["id", "entity", "label", "score", "start", "end", "error"])
    batch = pyarrow.record_batch({"id": pyarrow.array([1]), "body": pyarrow.nulls(1)})
    parts = list(sqlite_ner_ext.label_partition(iter([batch, batch.slice(1)]), column="body", key="id"))
    check("batches without a text", sum(map(len, parts)) == 0)
    frame = pandas.DataFrame({"id": [1, 2, 3], "body": [TEXT, b"\xff", 2]})
    rows = sqlite_ner_ext.label_partition(frame, column="body", key="id")
    bad = rows[rows["error"].notna()]
    check("a bad row keeps its key and its error", list(bad["id"]) == [2] and "bytes" in bad["error"].iloc[0], str(rows))


def main():
    dist = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        test_other_platform(folder, dist)
        test_no_extensions(folder)
        test_two_sqlites(folder)
        test_read_only(folder)
        test_partitions(folder)
    print(f"trouble: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
