"""Every metric that security exports, read from what is counted when they are scraped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.security.verifying import Verifier
    from roadworthy.telemetry.registry import MetricRegistry

OUTCOMES = ("accepted", "stale", "missing", "malformed", "unknown", "revoked", "expired", "forbidden", "unavailable")
"""What becomes of a request's key; "stale" is one that was accepted while the database was away."""

API_KEY_VERIFICATIONS = MetricSpec(
    "api_key_verifications_total",
    "counter",
    "API keys that requests showed or should have shown, by what became of them.",
    (Label("keys"), Label("outcome", OUTCOMES)),
)

CATALOGUE: tuple[MetricSpec, ...] = (API_KEY_VERIFICATIONS,)


def track(registry: MetricRegistry, verifiers: Mapping[str, Verifier]) -> None:
    """Have `registry` tell of verifications: each counts in a plain number, which is carried over at each snapshot."""
    told: dict[tuple[str, str], int] = {}
    verifications = registry.bound(API_KEY_VERIFICATIONS)
    for name in verifiers:
        for outcome in OUTCOMES:
            verifications.labels(name, outcome)

    def carry() -> None:
        for name, verifier in verifiers.items():
            for outcome, count in verifier.outcomes.items():
                before = told.get((name, outcome), 0)
                verifications.labels(name, outcome).inc(count - before)
                told[name, outcome] = count

    registry.before_reading(carry)
