#!/usr/bin/env python3
"""Labels a folder of Parquet files with Dask:

    python3 label_dask.py IN_FOLDER OUT_FOLDER --column body --key id [--model FILE] [--workers 2]
                          [--scheduler tcp://HOST:8786]

Each input file becomes an output file of the same name; a rerun does only the missing ones. The model (one
file, as ner_convert writes it) is scattered once; each worker process opens it once and runs one thread.
"""

from __future__ import annotations

import argparse

import dask.dataframe
import pandas
from dask.distributed import Client, LocalCluster

from sqlite_ner_ext import missing_parts

COUNTS = pandas.DataFrame({"target": pandas.Series(dtype="object"), **{
    name: pandas.Series(dtype="int64") for name in ("rows", "entities", "errors")}})


def label_files(frame, options, model):
    """map_partitions: rows of (source, target) in, rows of counts out."""
    from sqlite_ner_ext import label_parquet, model_from_bytes

    path = model_from_bytes(model) if model is not None else None
    rows = [
        {"target": target, **label_parquet(source, target, model=path, threads=1, **options)}
        for source, target in zip(frame["source"], frame["target"])
    ]
    return pandas.DataFrame(rows, columns=list(COUNTS.columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--column", required=True, help="the text column")
    parser.add_argument("--key", required=True, help="the column that identifies a row")
    parser.add_argument("--model", help="a one-file model (default: the embedded one)")
    parser.add_argument("--aggregation")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--workers", type=int, default=2, help="worker processes of a local cluster")
    parser.add_argument("--scheduler", help="address of a running cluster instead")
    arguments = parser.parse_args()

    parts = missing_parts(arguments.source, arguments.target)
    if not parts:
        print("nothing is missing")
        return
    cluster = None
    if not arguments.scheduler:
        cluster = LocalCluster(n_workers=arguments.workers, threads_per_worker=1, dashboard_address=None)
    with Client(arguments.scheduler or cluster) as client:
        model = None
        if arguments.model:
            with open(arguments.model, "rb") as file:
                model = client.scatter(file.read(), broadcast=True)
        options = {name: getattr(arguments, name) for name in ("column", "key", "aggregation", "threshold")}
        frame = pandas.DataFrame(parts, columns=["source", "target"])
        tasks = dask.dataframe.from_pandas(frame, npartitions=len(parts))
        counts = tasks.map_partitions(label_files, options, model, meta=COUNTS).compute()
        print(
            f"{len(parts)} files, {counts['rows'].sum():,} rows, {counts['entities'].sum():,} entities, "
            f"{counts['errors'].sum():,} errors"
        )
    if cluster is not None:
        cluster.close()


if __name__ == "__main__":
    main()
