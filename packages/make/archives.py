"""The archives for everything that loads the library by path, and sqlpkg.json for the sqlpkg manager."""

from __future__ import annotations

import hashlib
import json
import os

from common import DIST, TARGETS, VERSION, read, tar_file, write

FILES = ("ner.h", "LICENSE", "LICENSE.utf8proc.md")


def archive(target: str) -> str:
    """dist/sqlite-ner-VERSION-TARGET.tar.gz: the library, its header and the licences."""
    files = [(f, read("dist", target, f)) for f in (TARGETS[target].library, *FILES)]
    return write(tar_file(files, (TARGETS[target].library,)), f"sqlite-ner-{VERSION}-{target}.tar.gz")


def sqlpkg(targets: list[str]) -> str:
    """dist/sqlpkg.json: packages/sqlpkg.json with this version and the archives' checksums."""
    spec = json.loads(read("packages", "sqlpkg.json"))
    spec["version"] = VERSION
    assets = spec["assets"]
    assets["files"] = {
        TARGETS[target].sqlpkg: f"sqlite-ner-{VERSION}-{target}.tar.gz" for target in targets if TARGETS[target].sqlpkg
    }
    assets["checksums"] = {}
    for name in assets["files"].values():
        with open(os.path.join(DIST, name), "rb") as file:
            assets["checksums"][name] = "sha256-" + hashlib.sha256(file.read()).hexdigest()
    return write((json.dumps(spec, indent=4) + "\n").encode(), "sqlpkg.json")
