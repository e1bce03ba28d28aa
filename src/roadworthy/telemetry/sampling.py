"""Which traces are sampled: decided by the id alone, so that everybody decides alike.

The lower 64 bits of a trace id are compared with a bound, as OpenTelemetry's TraceIdRatioBased sampler does: of two
services, the one that samples more has everything that the other has.
"""

from __future__ import annotations

_TAIL = 16
_EVERYTHING = "g"
"""Follows every hexadecimal digit."""


def bound(sample: float) -> str:
    """Return the bound below which the tail of a trace id is sampled, for the share `sample`, from 0 to 1."""
    return _EVERYTHING if sample >= 1 else f"{int(sample * 2**64):016x}"


def is_below(trace_id: str, limit: str) -> bool:
    """Return whether a trace id of 32 lower-case hexadecimal digits is below a bound: texts of a length sort alike."""
    return trace_id[_TAIL:] < limit
