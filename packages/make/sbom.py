"""dist/sbom.cdx.json: what is inside the libraries, as a CycloneDX 1.5 bill of materials."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid

from common import COMMIT, TARGETS, TIME, VERSION, read, write

MODEL = "models/ner-small.safetensors"
UTF8PROC = "dist/cache/vendor/utf8proc-sys/utf8proc"


def _pin(name: str) -> str:
    """A version pinned in packages/build.sh."""
    return re.search(rf"^{name}=(\S+)", read("packages", "build.sh").decode(), re.M).group(1)


def _sha256(data: bytes) -> list[dict]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}]


def _utf8proc_version() -> str:
    header = read(UTF8PROC, "utf8proc.h").decode()
    return ".".join(re.search(rf"#define UTF8PROC_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH"))


def _training_data() -> list[dict]:
    """The rows of the model card's table of data and licences."""
    card = read("models", "README.md").decode()
    section = card.split("## Training data and licences", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return [{"type": "dataset", "name": name, "description": f"{what}; licence: {licence}"} for name, what, licence in rows[2:]]


def _model() -> dict:
    data = read(MODEL)
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": os.path.basename(MODEL),
        "version": hashlib.sha256(data).hexdigest()[:12],
        "description": "The embedded English model; its training data's licences are listed in its model card. "
        "The encoder began as all-MiniLM-L6-v2 (Apache-2.0).",
        "hashes": _sha256(data),
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "modelCard": {"modelParameters": {"task": "token-classification", "architectureFamily": "BERT", "datasets": _training_data()}},
        "pedigree": {"ancestors": [{
            "type": "machine-learning-model", "name": "all-MiniLM-L6-v2", "licenses": [{"license": {"id": "Apache-2.0"}}],
        }]},
    }


def sbom(targets: list[str]) -> str:
    zig = _pin("ZIGLANG")
    crate = _pin("UTF8PROC_SYS")
    libraries = [
        {
            "type": "file", "bom-ref": f"library-{target}", "name": f"{target}/{TARGETS[target].library}",
            "hashes": _sha256(read("dist", target, TARGETS[target].library)),
        }
        for target in targets
    ]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'sqlite-ner ' + VERSION + ' ' + COMMIT)}",
        "version": 1,
        "metadata": {
            "timestamp": TIME.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "library", "bom-ref": "sqlite-ner", "name": "sqlite-ner", "version": VERSION,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "properties": [{"name": "commit", "value": COMMIT or "unknown"}],
                "components": libraries,
            },
        },
        "components": [
            {
                "type": "library", "bom-ref": "utf8proc", "name": "utf8proc", "version": _utf8proc_version(),
                "purl": f"pkg:cargo/utf8proc-sys@{crate}", "description": "linked statically",
                "hashes": _sha256(read(UTF8PROC, "utf8proc.c")),
                "licenses": [{"license": {"id": "MIT"}}, {"license": {"id": "Unicode-DFS-2015"}}],
            },
            _model(),
        ],
        "formulation": [{
            "bom-ref": "build",
            "components": [{
                "type": "application", "bom-ref": "zig", "name": "ziglang", "version": zig, "purl": f"pkg:pypi/ziglang@{zig}",
                "description": "the compiler, with its libc headers and compiler runtime", "licenses": [{"license": {"id": "MIT"}}],
            }],
        }],
        "dependencies": [
            {"ref": "sqlite-ner", "dependsOn": ["utf8proc", "model"]}, {"ref": "utf8proc"}, {"ref": "model"},
        ],
    }
    return write((json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(), "sbom.cdx.json")
