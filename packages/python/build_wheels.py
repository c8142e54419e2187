#!/usr/bin/env python3
"""Makes the wheels of sqlite-ner-ext from dist/TARGET/, one for each platform:

    packages/python/build_wheels.py [TARGET ...]        # default: every target in dist/

A wheel holds the Python files of sqlite_ner_ext and that platform's library. The same inputs give the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NAME, MODULE = "sqlite-ner-ext", "sqlite_ner_ext"
TAGS = {
    "x86_64-linux-gnu": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "aarch64-linux-gnu": "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "x86_64-linux-musl": "musllinux_1_2_x86_64",
    "aarch64-linux-musl": "musllinux_1_2_aarch64",
    "x86_64-macos": "macosx_11_0_x86_64",
    "aarch64-macos": "macosx_11_0_arm64",
}
LIBRARIES = ("ner.so", "ner.dylib")


def version() -> str:
    with open(os.path.join(ROOT, "include", "ner.h"), encoding="utf8") as header:
        found = re.search(r'#define NER_VERSION "([^"]+)"', header.read())
    if not found:
        sys.exit("build_wheels.py: include/ner.h states no NER_VERSION")
    return found.group(1)


def metadata(number: str) -> str:
    with open(os.path.join(HERE, "README.md"), encoding="utf8") as readme:
        description = readme.read()
    return f"""Metadata-Version: 2.1
Name: {NAME}
Version: {number}
Summary: Named entity recognition inside SQLite
License: Apache-2.0
Requires-Python: >=3.8
Description-Content-Type: text/markdown
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Database
Classifier: Topic :: Text Processing :: Linguistic
Provides-Extra: pandas
Requires-Dist: pandas; extra == "pandas"
Provides-Extra: polars
Requires-Dist: polars; extra == "polars"
Requires-Dist: pyarrow; extra == "polars"
Provides-Extra: arrow
Requires-Dist: pyarrow; extra == "arrow"

{description}"""


def contents(target: str, number: str) -> list[tuple[str, bytes]]:
    folder = os.path.join(ROOT, "dist", target)
    info = f"{MODULE}-{number}.dist-info"
    files: list[tuple[str, bytes]] = []
    for name in sorted(os.listdir(os.path.join(HERE, MODULE))):
        if name.endswith((".py", ".pyi")) or name == "py.typed":
            with open(os.path.join(HERE, MODULE, name), "rb") as source:
                data = source.read()
            if name == "_version.py":
                data = re.sub(rb'version = "[^"]*"', f'version = "{number}"'.encode(), data)
            files.append((f"{MODULE}/{name}", data))
    library = next((name for name in LIBRARIES if os.path.exists(os.path.join(folder, name))), None)
    if library is None:
        sys.exit(f"build_wheels.py: dist/{target} has no library; run packages/build.sh {target}")
    for name, path in [
        (f"{MODULE}/{library}", library),
        (f"{info}/licenses/LICENSE", "LICENSE"),
        (f"{info}/licenses/LICENSE.utf8proc.md", "LICENSE.utf8proc.md"),
    ]:
        with open(os.path.join(folder, path), "rb") as source:
            files.append((name, source.read()))
    files.append((f"{info}/METADATA", metadata(number).encode()))
    tags = "".join(f"Tag: py3-none-{tag}\n" for tag in TAGS[target].split("."))
    files.append((f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: build_wheels.py\nRoot-Is-Purelib: false\n{tags}".encode()))
    return files


def record(files: list[tuple[str, bytes]], info: str) -> bytes:
    lines = []
    for name, data in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return ("\n".join(lines) + f"\n{info}/RECORD,,\n").encode()


def build(target: str, number: str) -> str:
    files = contents(target, number)
    info = f"{MODULE}-{number}.dist-info"
    files.append((f"{info}/RECORD", record(files, info)))
    path = os.path.join(ROOT, "dist", f"{MODULE}-{number}-py3-none-{TAGS[target]}.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, data in files:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o755 if name.endswith(LIBRARIES) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


def main() -> None:
    targets = sys.argv[1:] or [t for t in TAGS if os.path.isdir(os.path.join(ROOT, "dist", t))]
    if not targets:
        sys.exit("build_wheels.py: dist/ has no target; run packages/build.sh first")
    for target in targets:
        if target not in TAGS:
            sys.exit(f"build_wheels.py: there is no target {target!r}; there are {', '.join(TAGS)}")
        print(build(target, version()))


if __name__ == "__main__":
    main()
