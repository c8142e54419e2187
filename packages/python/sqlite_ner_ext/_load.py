"""Finding the library and loading it into a connection, whichever module made it."""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import sys
import tempfile
from typing import Any

from ._version import target

_SAFE_ENTRY = "sqlite3_ner_safe_init"
_FULL_ENTRY = "sqlite3_ner_init"
_FILES = ("ner.so", "ner.dylib", "ner.dll")
_WORKING = (
    "Python builds that can: Debian's and Ubuntu's /usr/bin/python3, Homebrew's, conda's; or install "
    "apsw, sqlean.py or pysqlite3-binary and pass one of their connections"
)
_copies: list[str] = []
_loaded: dict[str, str] = {}  # module of a connection -> path of the library it loaded


class LoadError(RuntimeError):
    """The library could not be loaded; the message says why and what to do."""


def loadable_path() -> str:
    """The library's path without its suffix, as `.load` and `load_extension` take it."""
    return os.path.splitext(_library())[0]


def load(conn: Any, safe: bool = False) -> None:
    """Registers the SQL functions on a connection of sqlite3, apsw, sqlean or pysqlite3.

    With `safe` only those that read no file, write no file and run no SQL text (for connections that
    run other people's SQL). Loading again, or loading both, is allowed. Extension loading is switched
    off again afterwards. Raises LoadError.
    """
    path, entry = loadable_path(), _SAFE_ENTRY if safe else _FULL_ENTRY
    try:
        _load_file(conn, path, entry)
    except LoadError as error:
        if "another copy of SQLite" not in str(error):
            raise
        path = _private_copy(conn)
        _load_file(conn, path, entry)
    _loaded[_module(conn)] = path + os.path.splitext(_library())[1]


def loaded_library(conn: Any) -> str:
    """The file that load() loaded for connections of this one's module."""
    return _loaded[_module(conn)]


def connect(database: str, **options: Any) -> Any:
    """A connection with the library loaded, of the first module here that can load extensions:
    sqlite3, pysqlite3 or sqlean. Raises LoadError."""
    for name in ("sqlite3", "pysqlite3", "sqlean"):
        try:
            module = __import__(name + ".dbapi2" if name != "sqlite3" else name, fromlist=["connect"])
        except ImportError:
            continue
        if hasattr(module.Connection, "enable_load_extension"):
            conn = module.connect(database, **options)
            try:
                load(conn)
            except BaseException:
                conn.close()
                raise
            return conn
    raise LoadError(_no_extensions())


def _module(conn: Any) -> str:
    return type(conn).__module__.split(".")[0]


def _library() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    for name in _FILES:
        if os.path.exists(os.path.join(here, name)):
            return os.path.join(here, name)
    raise LoadError(
        f"sqlite_ner_ext has no library for this platform in {here}; install a wheel built for "
        f"{sys.platform}, not a copy of the sources"
    )


def _no_extensions() -> str:
    return f"this Python ({sys.executable}) was built without loading of SQLite extensions. {_WORKING}"


def _load_file(conn: Any, path: str, entry: str) -> None:
    enable = getattr(conn, "enable_load_extension", None) or getattr(conn, "enableloadextension", None)
    if enable is None:
        if hasattr(conn, "execute"):
            raise LoadError(_no_extensions())
        raise LoadError(f"load() takes a connection, not {type(conn).__name__}")
    if _module(conn) == "apsw":
        call = getattr(conn, "load_extension", None) or conn.loadextension
        arguments: tuple = (path, entry)
    elif entry == _FULL_ENTRY:
        call, arguments = conn.load_extension, (path,)
    else:  # load_extension(path, entrypoint=...) came with Python 3.12; SQL's function is older
        call, arguments = conn.execute, ("SELECT load_extension(?, ?)", (path, entry))
    try:
        enable(True)
        try:
            result = call(*arguments)
            if call is conn.execute:
                result.fetchall()
        finally:
            enable(False)
    except Exception as error:
        raise LoadError(f"{_library()} could not be loaded: {error}{_hint()}") from error


def _hint() -> str:
    """What to do where the library is another platform's. The system's own messages do not tell: glibc
    says of an ARM library on x86-64 that there is no such file."""
    here = this_platform()
    if not target or target == here:
        return ""
    return f"; it was built for {target}, this is {here}: install the wheel for this platform"


def this_platform() -> str:
    """The name of the target that this Python needs, such as x86_64-linux-gnu."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64", "ARM64": "aarch64"}.get(platform.machine(), platform.machine())
    if sys.platform == "darwin":
        return f"{machine}-macos"
    if sys.platform == "win32":
        return f"{machine}-windows-gnu"
    return f"{machine}-linux-{'gnu' if platform.libc_ver()[0] == 'glibc' else 'musl'}"


def _private_copy(conn: Any) -> str:
    """A process with two SQLites needs a copy of the library for each; one per module."""
    module = _module(conn)
    for path in _copies:
        if os.path.basename(os.path.dirname(path)).startswith(f"sqlite-ner-{module}-"):
            return path
    folder = tempfile.mkdtemp(prefix=f"sqlite-ner-{module}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(_library(), folder)
    path = os.path.splitext(os.path.join(folder, os.path.basename(_library())))[0]
    _copies.append(path)
    return path
