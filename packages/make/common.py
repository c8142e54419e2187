"""What every maker shares: the targets, the version, and archives that are equal byte for byte when
their inputs are."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from datetime import datetime, timezone

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIST = os.path.join(ROOT, "dist")
PACKAGES = os.path.join(ROOT, "packages")


@dataclass(frozen=True)
class Target:
    library: str  # the file in dist/TARGET/
    wheel: str  # platform tags of its wheel
    npm: str  # suffix of its npm package
    npm_os: str
    npm_cpu: str
    npm_libc: str  # "" where npm tells no C libraries apart
    sqlpkg: str  # the platform in sqlpkg.json; "" for none


TARGETS = {
    "x86_64-linux-gnu": Target(
        "ner.so", "manylinux_2_17_x86_64.manylinux2014_x86_64", "linux-x64-gnu", "linux", "x64", "glibc", "linux-amd64"
    ),
    "aarch64-linux-gnu": Target(
        "ner.so", "manylinux_2_17_aarch64.manylinux2014_aarch64", "linux-arm64-gnu", "linux", "arm64", "glibc",
        "linux-arm64",
    ),
    "x86_64-linux-musl": Target("ner.so", "musllinux_1_2_x86_64", "linux-x64-musl", "linux", "x64", "musl", ""),
    "aarch64-linux-musl": Target("ner.so", "musllinux_1_2_aarch64", "linux-arm64-musl", "linux", "arm64", "musl", ""),
    "x86_64-macos": Target("ner.dylib", "macosx_11_0_x86_64", "darwin-x64", "darwin", "x64", "", "darwin-amd64"),
    "aarch64-macos": Target("ner.dylib", "macosx_11_0_arm64", "darwin-arm64", "darwin", "arm64", "", "darwin-arm64"),
    "x86_64-windows-gnu": Target("ner.dll", "win_amd64", "win32-x64", "win32", "x64", "", "windows-amd64"),
}


def read(*parts: str) -> bytes:
    with open(os.path.join(ROOT, *parts), "rb") as file:
        return file.read()


def write(data: bytes, *parts: str) -> str:
    """Writes dist/PARTS and returns its path within the repository."""
    path = os.path.join(DIST, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return os.path.relpath(path, ROOT)


def _version() -> str:
    found = re.search(rb'#define NER_VERSION "([^"]+)"', read("include", "ner.h"))
    if not found:
        sys.exit("packages/make: include/ner.h states no NER_VERSION")
    return found.group(1).decode()


def _git(*arguments: str) -> str:
    result = subprocess.run(("git", "-C", ROOT) + arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return result.stdout.strip() if result.returncode == 0 else ""


VERSION = _version()
COMMIT = _git("rev-parse", "HEAD")
# The time in every archive: the commit's, so that two builds of one commit are equal. ZIP begins in 1980.
EPOCH = max(int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct") or 0), 315532800)
TIME = datetime.fromtimestamp(EPOCH, timezone.utc)


def zip_file(files: list[tuple[str, bytes]], executable: tuple[str, ...] = ()) -> bytes:
    """A ZIP archive of (name, data) in this order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name, TIME.timetuple()[:6])
            entry.external_attr = (0o755 if name in executable else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()


def tar_file(files: list[tuple[str, bytes]], executable: tuple[str, ...] = ()) -> bytes:
    """A tar.gz archive of (name, data) in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), EPOCH, 0o755 if name in executable else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 9, mtime=EPOCH)
