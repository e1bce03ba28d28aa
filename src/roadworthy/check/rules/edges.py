"""Rules about what browsers and CDNs are told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.check.nearest import suggestion
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.edge.policy import fronts_of, pattern_of
from roadworthy.edge.spec import RESPONSES, EdgeSpec


def unserved_route(subject: Subject) -> Iterator[Problem]:
    """Find policies of routes that the application does not have."""
    if subject.app is None:
        return
    for edge in subject.spec.edges:
        if edge.route is None or subject.app.may_serve(*edge.route):
            continue
        methods = ((method, route.path) for route in subject.app.routes for method in route.methods or ())
        routes = {f"{method} {path}" for method, path in methods if method != "HEAD"}
        yield _problem(
            edge, "is for a route that the application does not serve", suggestion(edge.name, routes, "route")
        )


def covered_route(subject: Subject) -> Iterator[Problem]:
    """Find routes without a policy whose requests lose what does not count by the policy of another, by their path."""
    if subject.app is None:
        return
    declared = {edge.route for edge in subject.spec.edges}
    for edge in subject.spec.edges:
        if edge.route is None or not edge.policy.is_treated or "{" not in edge.route[1]:
            continue
        method, template = edge.route
        pattern = re.compile(pattern_of(template, named=False))
        for route in subject.app.routes:
            if route.methods is not None and method not in route.methods:
                continue
            if (method, route.path) not in declared and "{" not in route.path and pattern.fullmatch(route.path):
                yield _problem(
                    edge,
                    f"also takes what does not count from requests to {route.path}, whose path fits the template",
                    f"declare a policy for '{method} {route.path}' too: the one without parameters goes first",
                )


def never_invalidated(subject: Subject) -> Iterator[Problem]:
    """Find tags by which nothing is ever let go: no CDN is purged, and no cache invalidated."""
    if subject.spec.cdns or any(cache.name != RESPONSES for cache in subject.spec.caches):
        return
    for edge in subject.spec.edges:
        if edge.tags and not edge.cached:
            yield _problem(
                edge,
                f"has tags, but nothing purges by them ({', '.join(edge.tags)})",
                "declare the CDN with purge_with(), keep it with cached=True as well, or leave the tags out",
            )


def never_stale(subject: Subject) -> Iterator[Problem]:
    """Find staleness that CloudFront is not told of."""
    if "cloudfront" not in {front.name for front in fronts_of(subject.spec.fronts, subject.spec.cdns)}:
        return
    for edge in subject.spec.edges:
        policy = edge.policy
        if policy.edge not in (None, policy.browser) and (policy.stale or policy.stale_if_error):
            yield _problem(
                edge,
                "may be served stale, but not by CloudFront: only s-maxage tells it the edge's own lifetime, and that "
                "forbids it",
                "give browser= and edge= the same time, or do without stale= and stale_if_error=",
            )


def _problem(edge: EdgeSpec, message: str, fix: str) -> Problem:
    return Problem("edge", edge.name, f"edge {edge.name!r} {message}", fix)


RULES = (
    Rule("RW060", "An edge policy is for a route that the application does not serve", "error", unserved_route),
    Rule("RW061", "An edge policy takes from another route's requests what counts there", "error", covered_route),
    Rule("RW062", "Nothing purges by an edge policy's tags", "warning", never_invalidated),
    Rule("RW063", "CloudFront is not told that it may serve what is stale", "warning", never_stale),
)
