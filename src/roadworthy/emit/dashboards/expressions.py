"""The PromQL that panels are made of."""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.emit.dashboard import RATE_INTERVAL
from roadworthy.emit.indicator import selected

LINES = 5
"""The most lines of a graph that has one for each route, job or process: more cannot be told apart."""

Labels = Mapping[str, str]


def summed(vector: str, *by: str) -> str:
    """Return the sum of a vector, kept apart by labels."""
    return f"sum by ({', '.join(by)}) ({vector})" if by else f"sum({vector})"


def rate(metric: str, labels: Labels, *further: str, by: tuple[str, ...] = (), window: str = RATE_INTERVAL) -> str:
    """Return a counter's increase a second. `further` are matchers as they are written."""
    return summed(f"rate({selected(metric, dict(labels), *further)}[{window}])", *by)


def quantile(
    share: float,
    histogram: str,
    labels: Labels,
    *further: str,
    by: tuple[str, ...] = (),
    window: str = RATE_INTERVAL,
) -> str:
    """Return the value below which a `share` of a histogram's observations was."""
    buckets = rate(f"{histogram}_bucket", labels, *further, by=(*by, "le"), window=window)
    return f"histogram_quantile({share:g}, {buckets})"


def mean(histogram: str, labels: Labels, *further: str, by: tuple[str, ...] = ()) -> str:
    """Return the mean of a histogram's observations."""
    total = rate(f"{histogram}_sum", labels, *further, by=by)
    return f"{total} / {rate(f'{histogram}_count', labels, *further, by=by)}"


def highest(vector: str, lines: int = LINES) -> str:
    """Return the highest few of a vector."""
    return f"topk({lines}, {vector})"


def or_nothing(vector: str) -> str:
    """Return a vector without labels that is 0 where there are no series."""
    return f"({vector} or vector(0))"
