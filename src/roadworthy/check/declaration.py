"""The check itself: every rule, asked once about a declaration."""

from __future__ import annotations

from roadworthy.check.app import App
from roadworthy.check.deployed.deployment import Deployment
from roadworthy.check.finding import Finding
from roadworthy.check.rules import RULES
from roadworthy.check.subject import Subject
from roadworthy.service import ServiceSpec


def check(
    spec: ServiceSpec,
    *,
    app: App | None = None,
    place: str = "",
    deployment: Deployment | None = None,
    emitted: Deployment | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong with a declaration, and with a `deployment` held against it.

    `app` describes the application that the service serves; None where there is none. `place` is where the service is
    made ("path:line"), for findings about the whole. `emitted` is what the declaration comes to; it is not checked, but
    without a deployment tells what is recorded.
    """
    subject = Subject.of(spec, app, place or f"service {spec.name!r}", deployment, emitted)
    return tuple(finding for rule in RULES for finding in rule.find(subject))
