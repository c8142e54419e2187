#!/usr/bin/env python3
"""Labels a folder of Parquet files with Apache Spark:

    python3 label_spark.py IN_FOLDER OUT_FOLDER --column body --key id [--model FILE] [--master local[2]]

Each input file becomes an output file of the same name; a rerun does only the missing ones. The model (one
file, as ner_convert writes it) is broadcast once; each worker process opens it once and runs one thread.
For a table instead of files see mapInArrow in README.md.
"""

from __future__ import annotations

import argparse
import os
import sys

from pyspark.sql import SparkSession

from sqlite_ner_ext import missing_parts


def label_files(parts, options, model):
    """mapInPandas: a row of (source, target) in, a row of counts out."""
    import pandas

    from sqlite_ner_ext import label_parquet, model_from_bytes

    path = model_from_bytes(model.value) if model is not None else None
    for frame in parts:
        for source, target in zip(frame["source"], frame["target"]):
            counts = label_parquet(source, target, model=path, threads=1, **options)
            yield pandas.DataFrame([{"target": target, **counts}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--column", required=True, help="the text column")
    parser.add_argument("--key", required=True, help="the column that identifies a row")
    parser.add_argument("--model", help="a one-file model (default: the embedded one)")
    parser.add_argument("--aggregation")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--master", default="local[*]", help="Spark's master, unless spark-submit sets it")
    arguments = parser.parse_args()

    parts = missing_parts(arguments.source, arguments.target)
    if not parts:
        print("nothing is missing")
        return
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.master(arguments.master).appName("sqlite-ner").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    model = None
    if arguments.model:
        with open(arguments.model, "rb") as file:
            model = spark.sparkContext.broadcast(file.read())
    options = {name: getattr(arguments, name) for name in ("column", "key", "aggregation", "threshold")}
    frame = spark.createDataFrame(parts, "source string, target string").repartition(len(parts))
    done = frame.mapInPandas(
        lambda rows: label_files(rows, options, model),
        "target string, rows bigint, entities bigint, errors bigint",
    )
    # One job over all files: toLocalIterator() would run them one after the other.
    rows, entities, errors = done.groupBy().sum("rows", "entities", "errors").first()
    print(f"{len(parts)} files, {rows:,} rows, {entities:,} entities, {errors:,} errors")
    spark.stop()


if __name__ == "__main__":
    main()
