"""Parquet files to Parquet files, one at a time: what a worker of a batch engine does with its share."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile

from ._engine import entities_of_arrow, set_threads
from ._frames import _check_column, arrow_table

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:60]
_ROWS = 8192  # read at once: what a worker holds in memory


def label_parquet(
    source: str,
    target: str,
    column: str,
    key: str,
    model: str | None = None,
    aggregation: str | None = None,
    threshold: float | None = None,
    threads: int = 1,
) -> dict[str, int]:
    """Writes the entities of a Parquet file's text column to another: `key`, entity, label, score, start,
    end, error. The target is complete or absent: it is written beside its place and renamed. Returns the
    counts rows, entities and errors."""
    import pyarrow
    import pyarrow.parquet

    set_threads(threads)
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    counts = {"rows": 0, "entities": 0, "errors": 0}
    folder, name = os.path.split(os.path.abspath(target))
    temporary = os.path.join(folder, f".{name}.{_HOST}.{os.getpid()}.tmp")  # readers of folders skip dot files
    with pyarrow.parquet.ParquetFile(source) as file:
        for needed in (column, key):
            _check_column(needed, file.schema_arrow.names)
        key_type = file.schema_arrow.field(key).type
        schema = arrow_table([], key, key_type).schema
        try:
            with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for batch in file.iter_batches(_ROWS, columns=[key, column]):
                    keys = batch.column(batch.schema.get_field_index(key)).to_pylist()
                    texts = batch.column(batch.schema.get_field_index(column))
                    table = arrow_table(
                        entities_of_arrow(keys, texts, model, aggregation, threshold), key, key_type
                    )
                    writer.write_table(table)
                    errors = len(table) - table.column("error").null_count
                    counts["rows"] += len(keys)
                    counts["errors"] += errors
                    counts["entities"] += len(table) - errors
            os.replace(temporary, target)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
    _remove_abandoned(folder, name)
    return counts


def _remove_abandoned(folder: str, name: str) -> None:
    """Removes what killed processes of this machine left of a file. Other machines, and a second worker at
    the same file, may still be writing theirs."""
    pattern = re.compile(rf"\.{re.escape(name)}\.{re.escape(_HOST)}\.(\d+)\.tmp")
    for entry in os.listdir(folder):
        found = pattern.fullmatch(entry)
        if found and not _is_running(int(found.group(1))):
            os.unlink(os.path.join(folder, entry))


def _is_running(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill() would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def model_from_bytes(data: bytes) -> str:
    """A one-file model that came over the network (ner_convert's file, read whole) as a local path. It is
    written once per machine, however many workers ask."""
    name = f"sqlite-ner-{hashlib.sha256(data).hexdigest()[:24]}.safetensors"
    path = os.path.join(tempfile.gettempdir(), name)
    if not (os.path.exists(path) and os.path.getsize(path) == len(data)):
        handle, temporary = tempfile.mkstemp(dir=tempfile.gettempdir(), prefix=".sqlite-ner-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return path


def missing_parts(source_folder: str, target_folder: str) -> list[tuple[str, str]]:
    """(source, target) for the Parquet files of a folder that have no result yet."""
    parts = []
    for name in sorted(os.listdir(source_folder)):
        target = os.path.join(target_folder, name)
        if name.endswith(".parquet") and not os.path.exists(target):
            parts.append((os.path.join(source_folder, name), target))
    return parts
