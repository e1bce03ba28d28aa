"""Rules about the probes: whatever serves the requests must answer them."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject

PROBE_PATHS = ("/livez", "/readyz", "/startupz", "/health")


def unserved(subject: Subject) -> Iterator[Problem]:
    """Find probe paths that the application does not serve, since nothing installed them."""
    app = subject.app
    if app is not None and not app.installed:
        named = f" {subject.spec.app!r}" if subject.spec.app else ""
        yield Problem(
            "service",
            subject.spec.name,
            f"the application{named} does not serve {', '.join(PROBE_PATHS)}: it is not wrapped by the service",
            "write `app = service.install(app)` where the application is made, and serve what that returns",
        )


def shadowed(subject: Subject) -> Iterator[Problem]:
    """Find routes of the application that are never reached, since a probe answers at their path."""
    app = subject.app
    if app is None or not app.installed:
        return
    own = {route.path for route in app.routes}
    for path in PROBE_PATHS:
        if path in own:
            yield Problem(
                "service",
                subject.spec.name,
                f"the application has a route {path} of its own, which is never reached: the probe answers there",
                f"remove the route or move it away from {path}",
            )


RULES = (
    Rule("RW020", "The application does not serve the probes", "error", unserved),
    Rule("RW021", "A route of the application is hidden by a probe", "error", shadowed),
)
