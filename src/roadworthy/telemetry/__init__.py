"""Metrics and logs: the catalogue of what is exported, and the one place that exports it."""
