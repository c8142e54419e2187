"""Checked by mypy --strict, never run: the types of sqlite_ner_ext as its users see them."""

from __future__ import annotations

import sqlite3

import sqlite_ner_ext

conn: sqlite3.Connection = sqlite3.connect(":memory:")
sqlite_ner_ext.load(conn)
sqlite_ner_ext.load(conn, safe=True)
path: str = sqlite_ner_ext.loadable_path()
number: str = sqlite_ner_ext.version
counts: dict[str, int] = sqlite_ner_ext.label_parquet("in.parquet", "out.parquet", column="body", key="id")
parts: list[tuple[str, str]] = sqlite_ner_ext.missing_parts("in", "out")
error: type[RuntimeError] = sqlite_ner_ext.LoadError
