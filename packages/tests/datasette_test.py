"""The Datasette and sqlite-utils plugins as a visitor and a user meet them, over HTTP:

    python packages/tests/datasette_test.py [--screenshot FOLDER]

With --screenshot headless Chromium uses the pages and draws them into FOLDER (Debian: chromium-driver).
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from browser import Browser  # noqa: E402

PORT = 18765
BASE = f"http://127.0.0.1:{PORT}"
TEXT = "Angela Merkel met Emmanuel Macron in Paris."
passed, failed = [], []


def check(name, condition, detail=""):
    (passed if condition else failed).append(name)
    if not condition:
        print(f"FAILED: {name} {detail}")


opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def get(path, data=None):
    try:
        with opener.open(BASE + path, data, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def query(sql):
    status, body = get("/docs.json?" + urllib.parse.urlencode({"sql": sql, "_shape": "objects"}))
    return status, json.loads(body)


def test_sql():
    status, answer = query(f"SELECT entity, label FROM ner('{TEXT}')")
    check("ner()", status == 200 and answer["rows"][0] == {"entity": "Angela Merkel", "label": "PER"}, str(answer))
    for call in ("ner_load('x','/etc/passwd')", "ner_convert('a','b','int8')", "ner_default('x')", "ner_unload('x')", "ner_threads(1)", "ner_debug()"):
        status, answer = query(f"SELECT {call}")
        check(f"no {call}", status == 400 and "no such function" in answer["error"], str(answer))
    for table in ("ner_query('SELECT 1,2')", "ner_enrich('docs','body')", "ner_models"):
        status, answer = query(f"SELECT * FROM {table}")
        check(f"no {table}", status == 400 and "no such table" in answer["error"], str(answer))


def test_cells():
    sql = "SELECT body, ner_html(body) AS marked FROM docs"
    status, body = get("/docs?" + urllib.parse.urlencode({"sql": sql}))
    check("cells: drawn", '<mark class="ner-per"' in body)
    check("cells: a table's own HTML is escaped", "<script>alert" not in body and "&lt;script&gt;alert" in body)
    evil = [
        '<span class="ner" style="white-space:pre-wrap"><script>alert(1)</script></span>',
        '<span class="ner" style="white-space:pre-wrap" onclick="x">a</span>',
        '<span class="ner" style="white-space:pre-wrap">a</span><img src=x onerror=alert(1)>',
        '<span class="ner" style="white-space:pre-wrap"><mark class="ner-per" style="position:fixed" title="">a</mark></span>',
        '<span class="ner" style="white-space:pre-wrap"><mark class="ner-per" style="background:url(x);color:#111;padding:.1em .3em;border-radius:.3em" title="">a<small style="margin-left:.4em;font-size:.7em;font-weight:700">PER</small></mark></span>',
    ]
    from datasette_sqlite_ner import is_ner_html

    for value in evil:
        check("cells: let through", not is_ner_html(value), value)
    conn = sqlite3.connect(":memory:")
    import sqlite_ner_ext

    sqlite_ner_ext.load(conn)
    odd = ["", "a<b>&\"'", "é😀\u200b\n\r\t", TEXT * 50, "\x01\x7f", "x" * 200000]
    for text in odd:
        begin = time.monotonic()
        check("cells: ours", is_ner_html(conn.execute("SELECT ner_html(?)", (text,)).fetchone()[0]), text[:40])
        check("cells: quickly", time.monotonic() - begin < 60)
    hostile = '<span class="ner" style="white-space:pre-wrap">' + "&amp;" * 50000 + "<"
    check("cells: no long matching", not is_ner_html(hostile))


def test_page():
    status, body = get("/-/ner")
    check("page: form", status == 200 and "<textarea" in body)
    token = re.search(r'name="csrftoken" value="([^"]+)"', body)
    check("page: token", token is not None)

    def post(text):
        return get("/-/ner", urllib.parse.urlencode({"csrftoken": token.group(1), "text": text}).encode())

    status, body = post(TEXT + " <script>alert(2)</script>")
    check("page: result", status == 200 and '<mark class="ner-per"' in body and "<td>Angela Merkel</td>" in body)
    check("page: escaped", "<script>alert(2)" not in body)
    check("page: empty", "There is no text" in post(" ")[1])
    check("page: too long", "at most 100,000" in post("a" * 100001)[1])
    check("page: no token", get("/-/ner", b"text=x")[0] == 403)


def test_sqlite_utils(folder):
    file = os.path.join(folder, "utils.db")
    conn = sqlite3.connect(file)
    conn.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT)")
    conn.execute("INSERT INTO docs(body) VALUES (?)", (TEXT,))
    conn.commit()
    tool = os.path.join(os.path.dirname(sys.executable), "sqlite-utils")
    result = subprocess.run([tool, "ner", file, "docs", "body", "--silent"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("sqlite-utils ner", result.returncode == 0, result.stdout)
    result = subprocess.run([tool, file, "SELECT n.entity FROM docs, ner(docs.body) n"], stdout=subprocess.PIPE, text=True)
    check("sqlite-utils: functions", "Angela Merkel" in result.stdout, result.stdout)
    result = subprocess.run([tool, "ner", file, "docs", "nosuch", "--silent"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("sqlite-utils: error", result.returncode == 1 and "nosuch" in result.stdout and "Traceback" not in result.stdout, result.stdout)


def test_in_browser(out):
    """What a visitor sees, in headless Chromium, with a picture of it in the folder `out`."""
    attack = " <script>alert(3)</script>"
    marks = "return [...document.querySelectorAll('mark')].map(m => m.firstChild.data + '/' + m.querySelector('small').innerText)"
    with Browser() as browser:
        browser.open(f"{BASE}/docs?" + urllib.parse.urlencode({"sql": "SELECT id, ner_html(body) AS marked FROM docs"}))
        seen = browser.run(marks)
        check("browser: cells", seen == ["Angela Merkel/PER", "Emmanuel Macron/PER", "Paris/LOC", "Berlin/LOC"], str(seen))
        browser.screenshot(f"{out}/table.png")
        browser.open(BASE + "/-/ner")
        browser.find("textarea").type(TEXT + attack)
        browser.find("input[type=submit][value='Find entities']").click()
        seen = browser.run(marks)
        check("browser: page", seen == ["Angela Merkel/PER", "Emmanuel Macron/PER", "Paris/LOC"], str(seen))
        seen = browser.run("return [...document.querySelectorAll('tbody td:first-child')].map(cell => cell.innerText)")
        check("browser: entities", seen == ["Angela Merkel", "Emmanuel Macron", "Paris"], str(seen))
        check("browser: the text stays", browser.run("return document.querySelector('textarea').value") == TEXT + attack)
        check("browser: no script runs", browser.alert() is None)
        check("browser: the script is shown", attack in browser.run("return document.querySelector('span.ner').innerText"))
        browser.screenshot(f"{out}/page.png")


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "docs.db")
        conn = sqlite3.connect(file)
        conn.execute("CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT)")
        conn.executemany("INSERT INTO docs(body) VALUES (?)", [(TEXT,), ("<script>alert(1)</script> in Berlin",), ("Nothing here.",)])
        conn.commit()
        conn.close()
        server = subprocess.Popen(
            [os.path.join(os.path.dirname(sys.executable), "datasette"), file, "-h", "127.0.0.1", "-p", str(PORT)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(BASE + "/-/versions.json", timeout=5)
                    break
                except OSError:
                    time.sleep(0.2)
            test_sql()
            test_cells()
            test_page()
            if "--screenshot" in sys.argv:
                test_in_browser(sys.argv[sys.argv.index("--screenshot") + 1])
        finally:
            server.terminate()
            server.wait(30)
        test_sqlite_utils(folder)
    print(f"datasette: {len(passed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
