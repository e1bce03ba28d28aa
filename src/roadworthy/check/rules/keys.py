"""Rules about what asks for API keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from roadworthy.check.nearest import suggestion
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.security.demands import Demands


def guarding_nothing(subject: Subject) -> Iterator[Problem]:
    """Find routes that are to ask for a key and that the application does not serve: others may be open instead."""
    app = subject.app
    if app is None or app.hides(""):
        return
    served = {(method, route.path) for route in app.routes for method in route.methods or ("GET", "POST")}
    for keys in subject.spec.api_keys:
        for one in keys.guarded:
            if app.hides(one.path.removesuffix("/*")):
                continue
            demands = Demands([replace(keys, guarded=(one,))])
            if any(demands.of(method, path) for method, path in served):
                continue
            route = one.path if one.method is None else f"{one.method} {one.path}"
            known = {path if one.method is None else f"{method} {path}" for method, path in served}
            yield Problem(
                "api_keys",
                keys.name,
                f"API keys {keys.name!r} ask for one at {route!r}, which the application does not serve",
                suggestion(route, known, "route"),
            )


RULES = (Rule("RW070", "API keys are asked for where the application serves nothing", "warning", guarding_nothing),)
