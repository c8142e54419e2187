"""The wheels: sqlite-ner-ext for each target (its Python files and that platform's library), and the
plugins for any platform, whose metadata their pyproject.toml states."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import tomllib

from common import PACKAGES, TARGETS, VERSION, read, write, zip_file

NAME, MODULE = "sqlite-ner-ext", "sqlite_ner_ext"
EXTRAS = {"pandas": ["pandas"], "polars": ["polars", "pyarrow"], "arrow": ["pyarrow"]}
PLUGINS = ("datasette", "sqlite-utils")


def _metadata(name: str, summary: str, requires: list[str], readme: bytes, python: str = ">=3.8") -> bytes:
    head = f"""Metadata-Version: 2.1
Name: {name}
Version: {VERSION}
Summary: {summary}
License: Apache-2.0
Requires-Python: {python}
Description-Content-Type: text/markdown
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Database
Classifier: Topic :: Text Processing :: Linguistic
"""
    return (head + "".join(line + "\n" for line in requires) + "\n").encode() + readme


def _wheel(module: str, tags: str, pure: bool, files: list[tuple[str, bytes]], library: tuple[str, ...] = ()) -> str:
    """Adds WHEEL and RECORD, and writes dist/MODULE-VERSION-py3-none-TAGS.whl."""
    info = f"{module}-{VERSION}.dist-info"
    lines = "".join(f"Tag: py3-none-{tag}\n" for tag in tags.split("."))
    kind = f"Wheel-Version: 1.0\nGenerator: sqlite-ner packages/make\nRoot-Is-Purelib: {str(pure).lower()}\n{lines}"
    files = files + [(f"{info}/WHEEL", kind.encode())]
    record = ""
    for name, data in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode()))
    return write(zip_file(files, library), f"{module}-{VERSION}-py3-none-{tags}.whl")


def library_wheel(target: str) -> str:
    """The wheel of sqlite-ner-ext for one target."""
    info, library = f"{MODULE}-{VERSION}.dist-info", TARGETS[target].library
    files = []
    for name in sorted(os.listdir(os.path.join(PACKAGES, "python", MODULE))):
        if name.endswith(".py") or name == "py.typed":
            data = read("packages", "python", MODULE, name)
            if name == "_version.py":
                data = re.sub(rb'^version = ".*"', f'version = "{VERSION}"'.encode(), data, flags=re.M)
                data = re.sub(rb'^target = ".*"', f'target = "{target}"'.encode(), data, flags=re.M)
            files.append((f"{MODULE}/{name}", data))
    files.append((f"{MODULE}/{library}", read("dist", target, library)))
    for name in ("LICENSE", "LICENSE.utf8proc.md"):
        files.append((f"{info}/licenses/{name}", read("dist", target, name)))
    requires = []
    for extra, packages in EXTRAS.items():
        requires.append(f"Provides-Extra: {extra}")
        requires += [f'Requires-Dist: {package}; extra == "{extra}"' for package in packages]
    readme = read("packages", "python", "README.md")
    files.append((f"{info}/METADATA", _metadata(NAME, "Named entity recognition inside SQLite", requires, readme)))
    return _wheel(MODULE, TARGETS[target].wheel, False, files, (f"{MODULE}/{library}",))


def plugin_wheel(plugin: str) -> str:
    """The wheel of packages/PLUGIN, as its pyproject.toml describes it."""
    project = tomllib.loads(read("packages", plugin, "pyproject.toml").decode())
    setup, tools = project["project"], project["tool"]["setuptools"]
    if setup["version"] != VERSION:
        sys.exit(f"packages/make: packages/{plugin}/pyproject.toml has version {setup['version']}, include/ner.h {VERSION}")
    module = setup["name"].replace("-", "_")
    info = f"{module}-{VERSION}.dist-info"
    files = [(f"{name}.py", read("packages", plugin, f"{name}.py")) for name in tools.get("py-modules", [])]
    for package in tools.get("packages", []):
        for name in sorted(os.listdir(os.path.join(PACKAGES, plugin, package))):
            if name.endswith(".py"):
                files.append((f"{package}/{name}", read("packages", plugin, package, name)))
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in setup["entry-points"].items()
    )
    requires = [f"Requires-Dist: {need}" for need in setup["dependencies"]]
    readme = read("packages", plugin, setup["readme"])
    files += [
        (f"{info}/entry_points.txt", points.encode()),
        (f"{info}/licenses/LICENSE", read("LICENSE")),
        (f"{info}/METADATA", _metadata(setup["name"], setup["description"], requires, readme, setup["requires-python"])),
    ]
    return _wheel(module, "any", True, files)
