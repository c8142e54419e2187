"""label(): the entities of a column of a pandas, Polars or Arrow table."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from ._engine import ENTITY_COLUMNS, entities_of_arrow, entities_of_texts


def label(
    frame: Any,
    column: str,
    model: str | None = None,
    aggregation: str | None = None,
    threshold: float | None = None,
) -> Any:
    """The entities of a text column, as a frame of the same kind.

    `frame`: a pandas or Polars DataFrame or a pyarrow Table. `model`: the path of a model directory or
    file; default: the environment's NER_MODEL, else the embedded model. The result has a row for each
    entity: `row` (position in `frame`, from 0), `entity`, `label`, `score`, `start`, `end` (code points,
    half open) and `error`, None but for a value that is no text. Raises KeyError for a column that does
    not exist, LoadError and ModelError.
    """
    kind = type(frame).__module__.split(".")[0]
    if kind == "pandas":
        import pandas

        _check_column(column, frame.columns)
        rows = entities_of_texts(enumerate(frame[column]), model, aggregation, threshold)
        return pandas.DataFrame(collect(rows, "row"))
    if kind == "polars":
        import polars

        _check_column(column, frame.columns)
        rows = entities_of_arrow(_count(), frame[column].to_arrow(), model, aggregation, threshold)
        return polars.from_arrow(arrow_table(rows, "row"))
    if kind == "pyarrow":
        _check_column(column, frame.column_names)
        rows = entities_of_arrow(_count(), frame.column(column), model, aggregation, threshold)
        return arrow_table(rows, "row")
    raise TypeError(f"label() takes a pandas or Polars DataFrame or a pyarrow Table, not {type(frame).__name__}")


def _check_column(column: str, columns: Iterable[Any]) -> None:
    names = list(columns)
    if column not in names:
        raise KeyError(f"there is no column {column!r}; the columns are {', '.join(map(str, names))}")


def _count() -> Iterator[int]:
    i = 0
    while True:
        yield i
        i += 1


def collect(rows: Iterable[tuple], key: str) -> dict[str, list]:
    """Rows as columns: `key`, then the entity columns."""
    columns: dict[str, list] = {name: [] for name in (key,) + ENTITY_COLUMNS}
    appends = [values.append for values in columns.values()]
    for row in rows:
        for append, value in zip(appends, row):
            append(value)
    return columns


def arrow_table(rows: Iterable[tuple], key: str, key_type: Any = None) -> Any:
    """Rows as a pyarrow Table with fixed types, whatever the rows hold."""
    import pyarrow

    text, real, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    types = (key_type or whole, text, text, real, whole, whole, text)
    schema = pyarrow.schema(list(zip((key,) + ENTITY_COLUMNS, types)))
    return pyarrow.table(collect(rows, key), schema=schema)
