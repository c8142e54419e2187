"""Named entity recognition inside SQLite, from Python.

    import sqlite3, sqlite_ner_ext
    db = sqlite3.connect("my.db")
    sqlite_ner_ext.load(db)
    db.execute("SELECT entity, label FROM ner('Angela Merkel lived in Berlin')").fetchall()

`load()` works with connections of sqlite3, apsw, sqlean and pysqlite3. The SQL functions are described
in the project's SQL reference (sql/README.md). `label()` labels a column of a pandas, Polars or Arrow
table, `label_partition()` a partition of a batch engine (Spark, Dask).
"""

from ._engine import ModelError
from ._frames import label
from ._load import LoadError, connect, load, loadable_path
from ._parquet import label_parquet, missing_parts, model_from_bytes
from ._partition import label_partition, partition_meta
from ._version import version

__version__ = version
__all__ = [
    "LoadError",
    "ModelError",
    "connect",
    "label",
    "label_parquet",
    "label_partition",
    "load",
    "loadable_path",
    "missing_parts",
    "model_from_bytes",
    "partition_meta",
    "version",
]
