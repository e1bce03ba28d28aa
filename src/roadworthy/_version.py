"""The library's version, in one place for the package, the command and the metrics."""

VERSION = "0.1.0"
