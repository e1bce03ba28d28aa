"""Rules about what requests are held to, and who may read from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.check.nearest import suggestion
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.security.bounds import ANY


def bounding_nothing(subject: Subject) -> Iterator[Problem]:
    """Find bounds of routes that the application does not serve: what they were meant for has the usual ones."""
    app = subject.app
    if app is None:
        return
    for bounds in subject.spec.bounds:
        method, _, path = bounds.name.partition(" ")
        if bounds.name == ANY or app.may_serve(method, path):
            continue
        methods = ((method, route.path) for route in app.routes for method in route.methods or ())
        routes = {f"{method} {path}" for method, path in methods if method != "HEAD"}
        yield Problem(
            "bounds",
            bounds.name,
            f"bounds are declared for {bounds.name!r}, which the application does not serve",
            suggestion(bounds.name, routes, "route"),
        )


def everybodys_keys(subject: Subject) -> Iterator[Problem]:
    """Find API keys that the pages of every site may send."""
    headers = {keys.header.lower(): keys.name for keys in subject.spec.api_keys}
    for cors in subject.spec.cors:
        sent = [headers[header.lower()] for header in cors.headers if header.lower() in headers]
        if cors.everybody and sent:
            yield Problem(
                "cors",
                cors.name,
                f"CORS lets the pages of every site send API keys {sent[0]!r} to {cors.name!r}",
                "name the origins whose pages have a key; one that a page carries is one that its visitors know",
            )


def asking_for_anything(subject: Subject) -> Iterator[Problem]:
    """Find lists of which a request may ask for as much as there is."""
    for one in () if subject.app is None else subject.app.unbounded:
        yield Problem(
            "service",
            subject.spec.name,
            f"{one.route} takes any number for {one.parameter!r}, so one request can ask for everything",
            f"give it a maximum, as in `{one.parameter}: Annotated[int, Query(ge=1, le=100)] = 20`",
        )


RULES = (
    Rule("RW071", "Bounds are declared for a route that the application does not serve", "error", bounding_nothing),
    Rule("RW072", "The pages of every site may send API keys", "warning", everybodys_keys),
    Rule("RW073", "A request may ask a list for any number of things", "warning", asking_for_anything),
)
