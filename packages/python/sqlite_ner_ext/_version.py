"""The package's version, which is the library's NER_VERSION (written by build_wheels.py)."""

version = "0.0.0"
