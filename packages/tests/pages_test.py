"""Follows the pages of packages/ to the letter in an empty folder, in the environment of this Python:

    python packages/tests/pages_test.py PAGE...      # python, sqlite-utils, datasette, scale-out

Every ```sh and ```python block of packages/PAGE/README.md is run; `pip install` takes our packages from
dist/. What the reader has is there: my.db with a table docs, and for scale-out a folder IN and frames.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TEXT = "Angela Merkel lived in Berlin"
passed, failed = [], []

# What stands before a snippet that begins in the middle of a program, and after it.
AROUND = {
    "mapInArrow": (
        "import os, sys\nfrom pyspark.sql import SparkSession\nos.environ['PYSPARK_PYTHON'] = sys.executable\n"
        "spark = SparkSession.builder.master('local[1]').getOrCreate()\n"
        f"frame = spark.createDataFrame([(1, '{TEXT}'), (2, None)], 'id bigint, body string')\n",
        "print(entities.collect())\n",
    ),
    "map_partitions": (
        "import dask.dataframe, pandas\n"
        f"frame = dask.dataframe.from_pandas(pandas.DataFrame({{'id': [1, 2], 'body': ['{TEXT}', None]}}), npartitions=2)\n",
        "print(entities.compute(scheduler='synchronous').to_string())\n",
    ),
}


def blocks(page):
    with open(os.path.join(PACKAGES, page, "README.md"), encoding="utf8") as file:
        return re.findall(r"^```(\w*)\n(.*?)^```", file.read(), re.M | re.S)


def check(name, condition, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAILED: {name} {detail}")


def shell(script, folder, environment):
    return subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def serve(script, folder, environment):
    """A script whose last command is a server: it has to answer."""
    process = subprocess.Popen(["sh", "-e", "-c", script.replace("datasette my.db", "exec datasette my.db")], cwd=folder,
                               env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen("http://127.0.0.1:8001/-/ner", timeout=5) as answer:
                    return "<textarea" in answer.read().decode(), ""
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.5)
        return False, process.communicate(timeout=5)[0] if process.poll() is not None else "no answer"
    finally:
        process.terminate()
        process.wait(30)


def follow(page, folder):
    conn = sqlite3.connect(os.path.join(folder, "my.db"))
    conn.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT)")
    conn.execute("INSERT INTO docs(body) VALUES (?)", (TEXT,))
    conn.commit()
    conn.close()
    environment = {
        **os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "PIP_FIND_LINKS": os.path.join(os.path.dirname(PACKAGES), "dist"), "PIP_QUIET": "1",
    }
    if page == "scale-out":
        import pyarrow
        import pyarrow.parquet

        os.mkdir(os.path.join(folder, "IN"))
        pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "body": [TEXT, None]}), os.path.join(folder, "IN", "a.parquet"))
        for name in ("label_dask.py", "label_spark.py", "prove.py"):
            os.symlink(os.path.join(PACKAGES, page, name), os.path.join(folder, name))
    for number, (language, text) in enumerate(blocks(page), 1):
        name = f"packages/{page}/README.md, block {number}"
        if language == "python":
            before, after = next((around for part, around in AROUND.items() if part in text), ("", ""))
            with open(os.path.join(folder, "block.py"), "w") as file:
                file.write(before + text + after)
            result = shell("python block.py", folder, environment)
            check(name, result.returncode == 0 and "Angela Merkel" in result.stdout and "Berlin" in result.stdout, result.stdout[-3000:])
        elif language == "sh" and "datasette my.db" in text:
            check(name, *serve(text, folder, environment))
        elif language == "sh":
            result = shell(text, folder, environment)
            check(name, result.returncode == 0, result.stdout[-3000:])


def main():
    for page in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            follow(page, folder)
    print(f"pages: {len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
