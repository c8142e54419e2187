"""sqlite-utils plugin: the SQL functions of sqlite-ner on every connection, and a command,
`sqlite-utils ner DB TABLE COLUMN`, that keeps a table of a text column's entities."""

from __future__ import annotations

import sys

import click
from sqlite_utils import hookimpl

import sqlite_ner_ext
from sqlite_ner_ext.__main__ import main


@hookimpl
def prepare_connection(conn) -> None:
    sqlite_ner_ext.load(conn)


@hookimpl
def register_commands(cli) -> None:
    @cli.command(name="ner")
    @click.argument("path", type=click.Path(exists=True, dir_okay=False))
    @click.argument("table")
    @click.argument("column")
    @click.option("--model", help="Path of a model directory or file")
    @click.option("--aggregation", help="first, simple, average, max or strict")
    @click.option("--threshold", type=float, help="Leave out entities scoring below it")
    @click.option("--html", help="Write a page of labelled rows")
    @click.option("--shards", type=int, default=1, help="Label in several processes")
    @click.option("-s", "--silent", is_flag=True, help="No progress")
    def ner(path, table, column, model, aggregation, threshold, html, shards, silent):
        "Keep TABLE_COLUMN_ner, a table of the entities in a text column, up to date"
        arguments = [path, table, column, f"--shards={shards}"]
        for option, value in [("model", model), ("aggregation", aggregation), ("threshold", threshold), ("html", html)]:
            if value is not None:
                arguments.append(f"--{option}={value}")
        if silent:
            arguments.append("--quiet")
        sys.exit(main(arguments))
