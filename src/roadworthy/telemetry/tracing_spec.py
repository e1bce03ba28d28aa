"""How much of what a service does is traced, and which of its errors are reported, as it declares them."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class TracingSpec:
    """Tracing as a service declares it.

    `sample` is the share of traces that are recorded, from 0 to 1. With `trust_callers`, a trace that a caller's
    `traceparent` says is sampled is so here, and one that it says is not, is not; without, a caller's trace is not
    gone on with. `most_spans` bounds one trace in one process. Raises DeclarationError where a value breaks its rule.
    """

    sample: float = 0.01
    trust_callers: bool = True
    most_spans: int = 500
    name: str = "tracing"

    def __post_init__(self) -> None:
        """Refuse what is no share, and traces of nothing."""
        _share("tracing", self.sample)
        if self.most_spans < 1:
            raise DeclarationError(f"tracing has most_spans={self.most_spans}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class ErrorReportsSpec:
    """Reports of errors as a service declares them.

    `sample` is the share of errors that are reported, from 0 to 1, and `per_minute` how many each process reports in a
    minute at most. Raises DeclarationError where a value breaks its rule.
    """

    sample: float = 1.0
    per_minute: int = 60
    name: str = "error reports"

    def __post_init__(self) -> None:
        """Refuse what is no share, and reports of nothing."""
        _share("error_reports", self.sample)
        if self.per_minute < 1:
            raise DeclarationError(f"error_reports has per_minute={self.per_minute}; it must be at least 1")


def _share(what: str, sample: float) -> None:
    if not 0 <= sample <= 1:
        raise DeclarationError(f"{what} has sample={sample!r}; it is a share, from 0 to 1: 0.01 is one in a hundred")
