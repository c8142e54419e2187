"""The C interface (include/ner.h) through ctypes: texts in, entities out, many at a time.

The library is loaded into an SQLite connection first, since it reads models' JSON with SQLite's
functions; the connection stays open as long as the process.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from typing import Any, Iterable, Iterator

from ._load import LoadError, connect, loaded_library

ENTITY_COLUMNS = ("entity", "label", "score", "start", "end", "error")
AGGREGATIONS = ("first", "simple", "average", "max", "strict")

_BATCH_TEXTS = 512
_BATCH_BYTES = 1 << 16  # some tens of milliseconds of work: Ctrl-C is felt between batches
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Text(ctypes.Structure):
    _fields_ = [("utf8", ctypes.c_void_p), ("n_bytes", ctypes.c_size_t)]


class _Entity(ctypes.Structure):
    _fields_ = [
        ("label", ctypes.c_char_p),
        ("score", ctypes.c_float),
        ("start", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
        ("start_byte", ctypes.c_uint32),
        ("end_byte", ctypes.c_uint32),
    ]


class _Entities(ctypes.Structure):
    _fields_ = [("entity", ctypes.POINTER(_Entity)), ("n", ctypes.c_size_t)]


class _Options(ctypes.Structure):
    _fields_ = [("aggregation", ctypes.c_int), ("threshold", ctypes.c_double)]


class _Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("msg", ctypes.c_char * 600)]


class ModelError(RuntimeError):
    """A model could not be opened or run; the message is the library's."""


class _Library:
    """The library of this process, and the models that were opened by path."""

    def __init__(self) -> None:
        self.connection = connect(":memory:", check_same_thread=False)
        self.c = ctypes.CDLL(loaded_library(self.connection))
        self.c.ner_model_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.c.ner_model_open_bundled.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.c.ner_extract_batch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_void_p] * 3
        self.c.ner_entities_free.argtypes = [ctypes.c_void_p]
        self.models: dict[str | None, int] = {}

    def model(self, path: str | None) -> int:
        path = os.fspath(path) if path is not None else os.environ.get("NER_MODEL") or None
        if path not in self.models:
            handle, error = ctypes.c_void_p(), _Error()
            if path is None:
                code = self.c.ner_model_open_bundled(ctypes.byref(handle), ctypes.byref(error))
            else:
                code = self.c.ner_model_open(os.fsencode(path), 0, ctypes.byref(handle), ctypes.byref(error))
            _check(code, error)
            self.models[path] = handle.value or 0
        return self.models[path]


_lock = threading.Lock()
_process: tuple[int, _Library] | None = None


def _library() -> _Library:
    global _process
    with _lock:
        if _process is None or _process[0] != os.getpid():
            _process = (os.getpid(), _Library())
        return _process[1]


def set_threads(n: int) -> int:
    """Sets the number of threads of this process (0 only asks) and returns it."""
    return int(_library().c.ner_threads(n))


def _check(code: int, error: _Error) -> None:
    if code:
        raise ModelError("ner: " + (error.msg.decode("utf-8", "replace") or "out of memory"))


def _options(aggregation: str | None, threshold: float | None) -> _Options:
    name = (aggregation or "first").lower()
    if name not in AGGREGATIONS:
        raise ValueError(f"there is no aggregation {aggregation!r}; there are {', '.join(AGGREGATIONS)}")
    return _Options(AGGREGATIONS.index(name), 0.0 if threshold is None else float(threshold))


def _is_missing(value: Any) -> bool:
    """None, NaN, pandas' NaT and NA."""
    if value is None or isinstance(value, (bytes, int)):
        return value is None
    try:
        return bool(value != value)
    except TypeError:  # NA compares to NA
        return True
    except ValueError:  # an array
        return False


def entities_of_texts(
    pairs: Iterable[tuple[Any, Any]], model: str | None, aggregation: str | None, threshold: float | None
) -> Iterator[tuple]:
    """(key, entity, label, score, start, end, error) for the entities of (key, text) pairs, in order.

    A text of None has no entities; a number counts as its digits; bytes are reported as an error.
    """
    options, library = _options(aggregation, threshold), _library()
    handle = library.model(model)
    keys: list = []
    texts: list = []
    encoded: list = []
    size = 0
    for key, value in pairs:
        if not isinstance(value, str) and _is_missing(value):
            continue
        data = b""
        if isinstance(value, str):
            text = value if value.isascii() else _SURROGATE.sub("\ufffd", value)
            data = text.encode()
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            text = str(value)
            data = text.encode()
        else:
            text = None
        keys.append(key), texts.append(value if text is None else text), encoded.append(data)
        size += len(data)
        if len(keys) == _BATCH_TEXTS or size >= _BATCH_BYTES:
            yield from _label_strings(library, handle, options, keys, texts, encoded)
            keys, texts, encoded, size = [], [], [], 0
    if keys:
        yield from _label_strings(library, handle, options, keys, texts, encoded)


def _label_strings(library: _Library, handle: int, options: _Options, keys: list, texts: list, encoded: list) -> Iterator[tuple]:
    array = (_Text * len(keys))()
    for i, data in enumerate(encoded):
        array[i].utf8 = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        array[i].n_bytes = len(data)
    for key, text, found in zip(keys, texts, _run(library, handle, options, array)):
        if not isinstance(text, str):
            yield key, None, None, None, None, None, f"the text is of type {type(text).__name__}; give a string"
        for label, score, start, end, _, _ in found:
            yield key, text[start:end], label, score, start, end, None


def entities_of_arrow(
    keys: Iterable[Any], column: Any, model: str | None, aggregation: str | None, threshold: float | None
) -> Iterator[tuple]:
    """The same for an Arrow string column. The texts stay in Arrow's buffers: no copy of a row."""
    options, library = _options(aggregation, threshold), _library()
    handle = library.model(model)
    keys = iter(keys)
    for chunk in getattr(column, "chunks", [column]):
        yield from _label_chunk(library, handle, options, keys, chunk)


def _label_chunk(library: _Library, handle: int, options: _Options, keys: Iterator[Any], chunk: Any) -> Iterator[tuple]:
    import pyarrow

    if pyarrow.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_decode()
    if pyarrow.types.is_null(chunk.type):
        chunk = chunk.cast(pyarrow.string())
    if getattr(pyarrow.types, "is_string_view", lambda t: False)(chunk.type):
        chunk = chunk.cast(pyarrow.large_string())
    wide = pyarrow.types.is_large_string(chunk.type)
    if not wide and not pyarrow.types.is_string(chunk.type):
        raise TypeError(f"the column is of type {chunk.type}; label a column of strings")
    if len(chunk) == 0:
        return
    _, offset_buffer, data = chunk.buffers()
    offsets = memoryview(offset_buffer).cast("B").cast("q" if wide else "i")[chunk.offset : chunk.offset + len(chunk) + 1]
    address = data.address if data is not None else 0
    data_bytes = memoryview(data) if data is not None else memoryview(b"")
    valid = chunk.is_valid().to_pylist() if chunk.null_count else None
    begin = 0
    while begin < len(chunk):
        end = begin + 1
        while end < len(chunk) and end - begin < _BATCH_TEXTS and offsets[end] - offsets[begin] < _BATCH_BYTES:
            end += 1
        array = (_Text * (end - begin))()
        for i in range(begin, end):
            array[i - begin].utf8 = address + offsets[i]
            array[i - begin].n_bytes = offsets[i + 1] - offsets[i] if valid is None or valid[i] else 0
        for i, found in zip(range(begin, end), _run(library, handle, options, array)):
            key = next(keys)
            for label, score, start, stop, start_byte, end_byte in found:
                entity = bytes(data_bytes[offsets[i] + start_byte : offsets[i] + end_byte]).decode("utf-8", "replace")
                yield key, entity, label, score, start, stop, None
        begin = end


def _run(library: _Library, handle: int, options: _Options, array: Any) -> Iterator[list[tuple]]:
    found, error = (_Entities * len(array))(), _Error()
    code = library.c.ner_extract_batch(
        handle, ctypes.byref(array), len(array), ctypes.byref(options), ctypes.byref(found), ctypes.byref(error)
    )
    _check(code, error)
    try:
        result = [
            [(e.label.decode(), e.score, e.start, e.end, e.start_byte, e.end_byte) for e in entities.entity[: entities.n]]
            for entities in found
        ]
    finally:
        for entities in found:
            library.c.ner_entities_free(ctypes.byref(entities))
    return iter(result)
