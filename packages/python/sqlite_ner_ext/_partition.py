"""label_partition(): the worker's side of batch engines that split a table into partitions.

    Dask:   frame.map_partitions(label_partition, column="body", key="id", meta=partition_meta("int64"))
    Spark:  frame.mapInPandas(partial(label_partition, column="body", key="id"), schema)
            frame.mapInArrow(partial(label_partition, column="body", key="id"), schema)
"""

from __future__ import annotations

from typing import Any, Iterator

from ._engine import ENTITY_COLUMNS, entities_of_arrow, entities_of_texts, set_threads
from ._frames import _check_column, arrow_table, collect


def label_partition(
    partition: Any,
    column: str,
    key: str,
    model: str | None = None,
    aggregation: str | None = None,
    threshold: float | None = None,
    threads: int = 1,
) -> Any:
    """The entities of one partition: columns `key`, entity, label, score, start, end, error.

    `partition`: a pandas DataFrame (Dask, map_partitions), giving a DataFrame, or an iterator of pandas
    DataFrames or Arrow record batches (Spark, mapInPandas and mapInArrow), giving an iterator of the
    same. The model is opened once in each worker process, which uses `threads` threads: engines run a
    worker per core. A value that is no text keeps its key and an error; NULL has no entities. Raises
    KeyError for a column that does not exist, LoadError, and ModelError where the worker lacks the
    model.
    """
    set_threads(threads)
    options = (model, aggregation, threshold)
    if hasattr(partition, "columns") and hasattr(partition, "index"):
        return _label_frame(partition, column, key, options)
    return _label_batches(iter(partition), column, key, options)


def partition_meta(key_type: str = "int64", key: str = "key") -> Any:
    """An empty DataFrame of label_partition's result, for Dask's `meta`."""
    import pandas

    types = (key_type, "object", "object", "float64", "Int64", "Int64", "object")
    return pandas.DataFrame({n: pandas.Series(dtype=t) for n, t in zip((key,) + ENTITY_COLUMNS, types)})


def _label_frame(frame: Any, column: str, key: str, options: tuple) -> Any:
    import pandas

    _check_column(column, frame.columns)
    _check_column(key, frame.columns)
    result = pandas.DataFrame(collect(entities_of_texts(zip(frame[key], frame[column]), *options), key))
    types = {"entity": "object", "label": "object", "score": "float64", "start": "Int64", "end": "Int64", "error": "object"}
    return result.astype({key: frame[key].dtype, **types})


def _label_batches(batches: Iterator[Any], column: str, key: str, options: tuple) -> Iterator[Any]:
    for batch in batches:
        if type(batch).__module__.split(".")[0] == "pyarrow":
            _check_column(column, batch.schema.names)
            _check_column(key, batch.schema.names)
            keys = batch.column(batch.schema.get_field_index(key))
            texts = batch.column(batch.schema.get_field_index(column))
            rows = entities_of_arrow(keys.to_pylist(), texts, *options)
            yield from arrow_table(rows, key, keys.type).to_batches()
        else:
            yield _label_frame(batch, column, key, options)
