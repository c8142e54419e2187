"""Makes the packages from the libraries in dist/TARGET/:

    python3 packages/make [TARGET ...]        # default: every target that packages/build.sh has built

Writes into dist/ the wheels, the npm packages (dist/npm/), an archive for each target, sqlpkg.json, the
bill of materials sbom.cdx.json, and SHA256SUMS over all of them. The same commit gives the same bytes.
Needs nothing but Python 3.11 or newer.
"""

from __future__ import annotations

import glob
import hashlib
import os
import sys

import archives
import npm
import sbom
import wheels
from common import DIST, TARGETS, read, write


def _built(asked: list[str]) -> list[str]:
    for target in asked:
        if target not in TARGETS:
            sys.exit(f"packages/make: there is no target {target!r}; there are {', '.join(TARGETS)}")
    have = [t for t in TARGETS if os.path.exists(os.path.join(DIST, t, TARGETS[t].library))]
    for target in asked or have or ["all"]:
        if target not in have:
            sys.exit(f"packages/make: dist/ has no library of it; run packages/build.sh {target}")
    return asked or have


def main() -> None:
    targets = _built(sys.argv[1:])
    for pattern in ("*.whl", "*.tar.gz", "npm/*.tgz"):
        for old in glob.glob(os.path.join(DIST, pattern)):
            os.unlink(old)
    made = [wheels.library_wheel(target) for target in targets]
    made += [wheels.plugin_wheel(plugin) for plugin in wheels.PLUGINS]
    made += [npm.base_package(targets)] + [npm.platform_package(target) for target in targets]
    made += [archives.archive(target) for target in targets]
    made += [archives.sqlpkg(targets), sbom.sbom(targets)]
    names = sorted(os.path.relpath(path, "dist") for path in made)
    sums = "".join(f"{hashlib.sha256(read('dist', name)).hexdigest()}  {name}\n" for name in names)
    made.append(write(sums.encode(), "SHA256SUMS"))
    print("\n".join(made))


if __name__ == "__main__":
    main()
