"""The board of requests: rate, errors and duration by route, what is held back, and what stands before the service."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.edge import metrics as edge
from roadworthy.emit.dashboard import RATE_INTERVAL, Dashboard, Panel, Query, Row, Variable
from roadworthy.emit.dashboards.expressions import highest, or_nothing, quantile, rate, summed
from roadworthy.emit.indicator import selected
from roadworthy.limits import metrics as limits
from roadworthy.resilience import shedding_metrics as shedding
from roadworthy.security.metrics import API_KEY_VERIFICATIONS
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import (
    HTTP_EDGE_TAG_OVERFLOWS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_PROGRESS,
)

_CHOSEN = 'route=~"$route"'
_FAILED = 'status=~"5.."'
_ROUTE = "{{method}} {{route}}"


def api_performance(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's requests, or None where it answers none."""
    if spec.app is None:
        return None
    labels = {"service": spec.name}
    found = [
        Row("All chosen routes", tuple(_together(labels))),
        Row("By route", tuple(_by_route(labels))),
    ]
    held = tuple(_held_back(spec))
    if held:
        found.append(Row("Held back", held))
    before = tuple(_edge(spec))
    if before:
        found.append(Row("Before the service", before))
    variables = (Variable("route", selected(HTTP_REQUESTS.name, labels)),)
    return Dashboard("api", "API performance", tuple(found), variables)


def _together(labels: dict[str, str]) -> Iterator[Panel]:
    requests, durations = HTTP_REQUESTS.name, HTTP_REQUEST_DURATION.name
    by_class = (
        f'label_replace(rate({selected(requests, labels, _CHOSEN)}[{RATE_INTERVAL}]), "class", "$1", "status", "(.)..")'
    )
    yield Panel("Requests by status", (Query(summed(by_class, "class"), "{{class}}xx"),), unit="reqps")
    failed = or_nothing(rate(requests, labels, _CHOSEN, _FAILED))
    yield Panel(
        "Requests that fail",
        (Query(f"{failed} / {rate(requests, labels, _CHOSEN)}", "answered with 5xx"),),
        unit="percentunit",
    )
    shares = ((0.5, "half"), (0.95, "19 in 20"), (0.99, "99 in 100"))
    yield Panel(
        "Time to answer",
        tuple(Query(quantile(share, durations, labels, _CHOSEN), f"{name} are faster") for share, name in shares),
        unit="s",
    )
    yield Panel(
        "Requests under way",
        (Query(summed(selected(HTTP_REQUESTS_IN_PROGRESS.name, labels)), "of all routes"),),
        unit="none",
    )


def _by_route(labels: dict[str, str]) -> Iterator[Panel]:
    requests, durations = HTTP_REQUESTS.name, HTTP_REQUEST_DURATION.name
    by = ("method", "route")
    yield Panel("Most requests", (Query(highest(rate(requests, labels, _CHOSEN, by=by)), _ROUTE),), unit="reqps")
    yield Panel(
        "Most failures",
        (Query(highest(rate(requests, labels, _CHOSEN, _FAILED, by=by)), _ROUTE),),
        unit="reqps",
        may_be_empty="No request has failed.",
    )
    yield Panel(
        "Slowest, 19 in 20",
        (Query(highest(quantile(0.95, durations, labels, _CHOSEN, by=by, window="5m")), _ROUTE),),
        unit="s",
        description="Of the last five minutes. The alert wants one request in ten seconds.",
        alert="HighAPILatency",
    )
    yield Panel(
        "Refused to the client",
        (
            Query(
                highest(rate(requests, labels, _CHOSEN, 'status=~"4.."', by=("route", "status"))),
                "{{status}} {{route}}",
            ),
        ),
        unit="reqps",
        may_be_empty="No request was refused.",
    )
    spent = f"rate({selected(f'{durations}_sum', labels, _CHOSEN)}[{RATE_INTERVAL}])"
    yield Panel(
        "Time spent by route",
        (Query(highest(summed(spent, *by)), _ROUTE),),
        unit="short",
        description="How many requests of each are under way on average: where making one faster helps most.",
    )


def _held_back(spec: ServiceSpec) -> Iterator[Panel]:
    labels = {"service": spec.name}
    if spec.limits:
        denied, every = (
            f"sum by (limit) (rate({selected(limits.DECISIONS.name, one)}[5m]))"
            for one in (labels | {"outcome": "denied"}, labels)
        )
        yield Panel(
            "Refused by rate limits",
            (Query(highest(f"{denied} / {every}"), "{{limit}}"),),
            unit="percentunit",
            description="The share of decisions in five minutes. The alert wants one decision in two seconds.",
            alert="RateLimitRejectionsHigh",
        )
        yield Panel(
            "Rate limits decide by",
            (Query(rate(limits.SOURCES.name, labels, by=("source",)), "{{source}}"),),
            unit="ops",
            description="Memory, the shared store, units leased from it, a denial that still holds, or on_error.",
        )
        yield Panel(
            "Store of rate limits",
            (Query(f"min({selected(limits.STORE_UP.name, labels)})", "answers"),),
            unit="none",
            alert="RateLimitStoreDown",
            values={0: "down", 1: "up"},
        )
    if spec.shedding is not None:
        yield Panel(
            "Turned away",
            (Query(rate(shedding.REQUESTS.name, labels, window="5m"), "requests"),),
            unit="reqps",
            description="Answered 503, for there were more than could be answered in time.",
            alert="RequestsTurnedAway",
        )
        limit = f"sum({selected(shedding.LIMIT.name, labels)})"
        under_way = summed(selected(HTTP_REQUESTS_IN_PROGRESS.name, labels))
        yield Panel(
            "Requests at once",
            (Query(under_way, "under way"), Query(limit, "let through at most")),
            unit="none",
        )
    if spec.api_keys:
        yield Panel(
            "API keys by outcome",
            (Query(rate(API_KEY_VERIFICATIONS.name, labels, by=("outcome",)), "{{outcome}}"),),
            unit="ops",
        )


def _edge(spec: ServiceSpec) -> Iterator[Panel]:
    labels = {"service": spec.name}
    if spec.cdns:
        yield Panel(
            "Purges by outcome",
            (Query(rate(edge.EDGE_PURGES.name, labels, by=("cdn", "outcome")), "{{cdn}}: {{outcome}}"),),
            unit="ops",
            may_be_empty="Nothing was purged yet.",
        )
        yield Panel(
            "Purges that wait",
            (Query(summed(selected(edge.EDGE_PURGES_WAITING.name, labels)), "URLs, tags and prefixes"),),
        )
        yield Panel(
            "Time to purge, 19 in 20",
            (Query(quantile(0.95, edge.EDGE_PURGE_SECONDS.name, labels, by=("cdn",)), "{{cdn}}"),),
            unit="s",
            may_be_empty="Nothing was purged yet.",
        )
    if spec.cdns or spec.fronts:
        yield Panel(
            "Responses with too many tags",
            (Query(highest(rate(HTTP_EDGE_TAG_OVERFLOWS.name, labels, by=("route",))), "{{route}}"),),
            unit="ops",
            description="No CDN may keep them, since their tags do not fit into its header.",
            may_be_empty="All tags fit.",
        )
