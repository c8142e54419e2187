"""The npm packages: sqlite-ner-ext, and one for each target with that platform's library. npm installs
the one whose os, cpu and libc fit."""

from __future__ import annotations

import json

from common import TARGETS, VERSION, read, tar_file, write

NAME = "sqlite-ner-ext"
COMMON = {
    "version": VERSION, "description": "Named entity recognition inside SQLite", "license": "Apache-2.0",
    "keywords": ["sqlite", "ner", "nlp", "named-entity-recognition"],
}


def _package(name: str, manifest: dict, files: list[tuple[str, bytes]]) -> str:
    """Writes dist/npm/NAME-VERSION.tgz; everything lies in a folder `package`."""
    manifest = {"name": name, **COMMON, **manifest}
    files = [("package.json", (json.dumps(manifest, indent=2) + "\n").encode()), *files]
    return write(tar_file([(f"package/{path}", data) for path, data in files]), "npm", f"{name}-{VERSION}.tgz")


def platform_package(target: str) -> str:
    to = TARGETS[target]
    name = f"{NAME}-{to.npm}"
    manifest = {"os": [to.npm_os], "cpu": [to.npm_cpu], **({"libc": [to.npm_libc]} if to.npm_libc else {})}
    readme = f"# {name}\n\nThe library of [sqlite-ner-ext](https://www.npmjs.com/package/{NAME}) for this platform.\n"
    files = [(f, read("dist", target, f)) for f in (to.library, "LICENSE", "LICENSE.utf8proc.md")]
    return _package(name, manifest, files + [("README.md", readme.encode())])


def base_package(targets: list[str]) -> str:
    manifest = {
        "main": "./index.cjs",
        "types": "./index.d.ts",
        "exports": {".": {"types": "./index.d.ts", "import": "./index.mjs", "require": "./index.cjs"}},
        "optionalDependencies": {f"{NAME}-{TARGETS[target].npm}": VERSION for target in targets},
    }
    files = [(f, read("packages", "npm", f)) for f in ("index.cjs", "index.mjs", "index.d.ts", "README.md")]
    return _package(NAME, manifest, files + [("LICENSE", read("LICENSE"))])
