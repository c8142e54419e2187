"""A page of labelled rows, to look at in a browser: one self-contained HTML file."""

from __future__ import annotations

import html
import os
import tempfile
from typing import Any

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="ascii">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
         background: #fff; color: #111 }}
  h1 {{ font-size: 1.3rem }}
  td {{ padding: .4rem .8rem .4rem 0; vertical-align: top; border-bottom: 1px solid #ddd;
        overflow-wrap: anywhere }}
  td:first-child {{ color: #666; white-space: nowrap; text-align: right }}
  .error {{ color: #a00 }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
<table>
"""


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def table_name(table: str) -> str:
    """'docs' or 'schema.docs' as SQL."""
    return ".".join(quote(part) for part in table.split(".", 1))


def write(conn: Any, table: str, column: str, model: str | None, target: str, rows: int) -> None:
    """Writes the first `rows` rows of the table with their entities marked. The file is complete or
    as it was before: it is written beside the target and renamed."""
    source = table_name(table)
    n_rows = conn.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
    shown = min(rows, n_rows)
    title = html.escape(f"{table}.{column}").encode("ascii", "xmlcharrefreplace").decode()
    folder = os.path.dirname(os.path.abspath(target))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".ner-page-", suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="ascii", errors="xmlcharrefreplace") as page:
            page.write(_HEAD.format(title=title, note=f"{shown:,} of {n_rows:,} rows"))
            for number, text in enumerate(
                conn.execute(f"SELECT {quote(column)} FROM {source} LIMIT ?", (rows,)).fetchall(), 1
            ):
                page.write(f"<tr><td>{number}<td>{_cell(conn, text[0], model)}\n")
            page.write("</table>\n</body>\n</html>\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _cell(conn: Any, text: Any, model: str | None) -> str:
    if text is None:
        return "<i>NULL</i>"
    try:
        return conn.execute("SELECT ner_html(?, ?)", (text, model)).fetchone()[0]
    except Exception as error:
        return f'<span class="error">{html.escape(str(error))}</span>'
