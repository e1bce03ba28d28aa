"""The library's version, in one place for the package, the command and the metrics."""

__version__ = "0.1.0"
