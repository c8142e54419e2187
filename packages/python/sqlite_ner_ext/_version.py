"""The package's version, which is the library's NER_VERSION, and the platform its library was built for.
packages/make writes both."""

version = "0.0.0"
target = ""
