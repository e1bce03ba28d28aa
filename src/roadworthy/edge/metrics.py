"""Every metric of purging CDNs."""

from __future__ import annotations

from typing import Literal

from roadworthy.telemetry.spec import Label, MetricSpec

Outcome = Literal["succeeded", "covered", "refused", "failed", "skipped"]
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "covered", "refused", "failed", "skipped")

_CDN = Label("cdn")

EDGE_PURGES = MetricSpec(
    "edge_purges_total",
    "counter",
    "URLs, tags and prefixes to purge, everything counting as one, by what became of them: accepted by the CDN, "
    "covered by another that was waiting, refused by the CDN, given up after retries, or skipped without credentials.",
    (_CDN, Label("outcome", OUTCOMES)),
)
EDGE_PURGE_SECONDS = MetricSpec(
    "edge_purge_seconds",
    "histogram",
    "Time from the asking for a purge to the CDN's acceptance, for the oldest of each call.",
    (_CDN,),
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
)
EDGE_PURGES_WAITING = MetricSpec(
    "edge_purges_waiting", "gauge", "URLs, tags and prefixes that CDNs have yet to accept."
)

CATALOGUE: tuple[MetricSpec, ...] = (EDGE_PURGES, EDGE_PURGE_SECONDS, EDGE_PURGES_WAITING)
