"""Datasette plugin: the SQL functions of sqlite-ner on every connection, ner_html() shown as HTML, and a
page, /-/ner, that labels a text one pastes.

Only the safe entry point is loaded: visitors who may run SQL get no function that reads or writes a
file or runs SQL text.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from typing import Any

import markupsafe
from datasette import Forbidden, Response, hookimpl

import sqlite_ner_ext

MAX_CHARACTERS = 100_000

# What ner_html() writes, to the letter. A cell is shown as HTML only if all of it has this form, so a
# table's own text can bring no other tag, attribute or style.
_TEXT = r"(?:[^<>&\"'\x80-\U0010ffff]|&(?:amp|lt|gt|quot|#39|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)*"
_MARK = (
    r"<mark class=\"ner-[a-z0-9_-]*\" style=\"background:#[0-9a-f]{6};color:#111;padding:\.1em \.3em;"
    r"border-radius:\.3em\" title=\"" + _TEXT + r"\">" + _TEXT
    + r"<small style=\"margin-left:\.4em;font-size:\.7em;font-weight:700\">" + _TEXT + r"</small></mark>"
)
_NER_HTML = re.compile(
    r"<span class=\"ner\" style=\"white-space:pre-wrap\">" + _TEXT + r"(?:" + _MARK + _TEXT + r")*</span>"
)


def is_ner_html(value: Any) -> bool:
    """Whether a value is, whole, what ner_html() gives."""
    return isinstance(value, str) and _NER_HTML.fullmatch(value) is not None


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    sqlite_ner_ext.load(conn, safe=True)


@hookimpl
def render_cell(value: Any) -> Any:
    return markupsafe.Markup(value) if is_ner_html(value) else None


@hookimpl
def register_routes() -> list:
    return [(r"^/-/ner$", ner_page)]


@hookimpl
def menu_links(datasette: Any) -> list:
    return [{"href": datasette.urls.path("/-/ner"), "label": "Label a text"}]


_local = threading.local()


def label_text(text: str) -> tuple[str, list[tuple]]:
    """The text as HTML, and its entities: (entity, label, score)."""
    if not hasattr(_local, "connection"):
        connection = sqlite3.connect(":memory:")
        sqlite_ner_ext.load(connection, safe=True)
        _local.connection = connection
    marked = _local.connection.execute("SELECT ner_html(?)", (text,)).fetchone()[0]
    rows = _local.connection.execute("SELECT entity, label, round(score, 3) FROM ner(?)", (text,)).fetchall()
    return marked, rows


_PAGE = """{% extends "default:base.html" %}
{% block title %}Label a text{% endblock %}
{% block content %}
<h1>Label a text</h1>
<form action="{{ action }}" method="post">
  <input type="hidden" name="csrftoken" value="{{ csrftoken() }}">
  <p><label for="ner-text">Text</label></p>
  <p><textarea id="ner-text" name="text" rows="8" maxlength="{{ limit }}"
     style="width:100%;max-width:60rem;box-sizing:border-box">{{ text }}</textarea></p>
  <p><input type="submit" value="Find entities"></p>
</form>
{% if message %}<p class="message-error">{{ message }}</p>{% endif %}
{% if marked %}
<h2>Result</h2>
<p style="line-height:2;max-width:60rem;overflow-wrap:anywhere">{{ marked }}</p>
<table class="rows-and-columns">
<thead><tr><th>entity</th><th>label</th><th>score</th></tr></thead>
<tbody>{% for entity, label, score in entities %}
<tr><td>{{ entity }}</td><td>{{ label }}</td><td>{{ score }}</td></tr>{% endfor %}
</tbody></table>
{% endif %}
{% endblock %}
"""


async def ner_page(datasette: Any, request: Any) -> Any:
    if not await datasette.permission_allowed(request.actor, "view-instance", default=True):
        raise Forbidden("view-instance")
    text, message, marked, entities = "", "", "", []
    if request.method == "POST":
        text = (await request.post_vars()).get("text", "")
        if len(text) > MAX_CHARACTERS:
            message = f"The text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are labelled here."
        elif text.strip():
            result, entities = await asyncio.get_running_loop().run_in_executor(None, label_text, text)
            marked = markupsafe.Markup(result)
        else:
            message = "There is no text."
    template = datasette.jinja_env.from_string(_PAGE)
    body = await datasette.render_template(
        template,
        {
            "action": datasette.urls.path("/-/ner"),
            "entities": entities,
            "limit": MAX_CHARACTERS,
            "marked": marked,
            "message": message,
            "text": text,
        },
        request=request,
    )
    return Response.html(body)
