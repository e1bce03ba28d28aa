"""What a service costs as Prometheus rules: recorded by resource and by route and job, in money an hour.

What processes use is spread over what they did by how long it took them: web processes' over routes, workers' over
jobs. The rest, as of the supervisor and of idle time, is nobody's in particular, and told as `shared`, so that the
parts add up to the whole. A month has 730 hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from roadworthy.cost.metrics import JOB, METERED, OTHER, ROUTE
from roadworthy.cost.spec import PricesSpec
from roadworthy.database.server_metrics import SIZE
from roadworthy.duration import hours
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.jobs.metrics import JOB_DURATION
from roadworthy.objectives.spec import AlertExample
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION

RESOURCE = "service_cost:resource:hourly"
"""Money an hour by `resource`: cpu, memory, disk, or a meter's name."""
SOURCE = "service_cost:source:hourly"
"""Money an hour by `kind` (route, job, other, shared) and `name`: of what was done in the last hour."""
TOTAL = "service_cost:total:hourly"
FORECAST = "service_cost:total:month"
"""What a month costs that is as the last day was."""

MONTH_HOURS = 730
_GIB = 1024**3
_OVER = "1h"
_FORECAST_OVER = "1d"
_POOLS = {ROUTE: "web.*", JOB: "worker.*"}

Rule = Mapping[str, str | Mapping[str, str]]


def cost_rules(spec: ServiceSpec) -> Iterator[Rule]:
    """Yield the recording rules of what the service costs."""
    prices = spec.prices or PricesSpec()
    labels = {"service": spec.name}
    cpu, memory = _cpu(labels, prices), _memory(labels, prices)
    hourly = _number(prices.disk_gib_month / _GIB / MONTH_HOURS)
    disk = f"sum(max by (database) ({selected(SIZE.name, labels)})) * {hourly}"
    metered = ((meter.name, _metered(labels, meter.name, meter.price, "")) for meter in spec.meters)
    for resource, expression in (("cpu", cpu), ("memory", memory), ("disk", disk), *metered):
        yield {"record": RESOURCE, "expr": expression, "labels": {**labels, "resource": resource}}
    yield {"record": TOTAL, "expr": f"sum({selected(RESOURCE, labels)})", "labels": labels}
    for kind, busy in ((ROUTE, _requests(labels)), (JOB, _jobs(labels))):
        yield {"record": SOURCE, "expr": _spread(spec, prices, kind, busy), "labels": labels}
    if others := _sum_of_meters(spec, OTHER):
        yield {"record": SOURCE, "expr": others, "labels": labels}
    attributed = f"(sum({selected(SOURCE, labels, _NOT_SHARED)}) or vector(0))"
    shared = f"clamp_min(sum({selected(TOTAL, labels)}) - {attributed}, 0)"
    yield {"record": SOURCE, "expr": shared, "labels": {**labels, "kind": "shared"}}
    # A sum and no mean: hours in which nothing ran, or nothing was measured, cost nothing.
    share = _number(INTERVAL / hours(1) * MONTH_HOURS / 24)
    day = f"sum_over_time({selected(TOTAL, labels)}[{_FORECAST_OVER}])"
    yield {"record": FORECAST, "expr": f"{day} * {share}", "labels": labels}


def cost_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alert on a month that is going to cost more than it may."""
    prices = spec.prices
    if prices is None or prices.monthly_budget is None:
        return
    labels = {"service": spec.name}
    budget = _number(prices.monthly_budget)
    dear, cheap = prices.monthly_budget * 8, prices.monthly_budget / MONTH_HOURS * 0.9
    example = selected(RESOURCE, {**labels, "resource": "example"})
    evaluations = hours(6) // INTERVAL + 1
    shown = _humanized(dear * evaluations * (INTERVAL / hours(1)) * MONTH_HOURS / 24)
    yield Alert(
        "CostBudgetBurn",
        f"{selected(FORECAST, labels)} > {budget}",
        hours(6),
        "business",
        "The service is going to cost more than its budget",
        f"A month that is as the last day was costs {{{{ $value | humanize }}}} {prices.currency}, where {budget} "
        f"{prices.currency} are its budget.",
        "`roadworthy cost` names the dearest resource, route and job. Is it more use, which may be worth it, or more "
        "for each use, as after a deploy? Compare with a week ago by `offset 7d`. A meter that grows at night is a job "
        "that is tried again and again. Limit what can be limited, or raise monthly_budget= knowingly.",
        example=AlertExample(
            {example: f"{_number(dear)}x1500"},
            {example: f"{_number(cheap)}x1500"},
            rendered={"{{ $value | humanize }}": shown},
        ),
    )


_NOT_SHARED = 'kind!="shared"'


def _cpu(labels: Mapping[str, str], prices: PricesSpec, *further: str) -> str:
    used = selected("process_cpu_seconds_total", labels, *further)
    return f"sum(rate({used}[{_OVER}])) * {_number(prices.cpu_hour)}"


def _memory(labels: Mapping[str, str], prices: PricesSpec, *further: str) -> str:
    used = selected("process_resident_memory_bytes", labels, *further)
    return f"sum(avg_over_time({used}[{_OVER}])) * {_number(prices.memory_gib_hour / _GIB)}"


def _requests(labels: Mapping[str, str]) -> str:
    busy = f"sum by (method, route) (rate({selected(f'{HTTP_REQUEST_DURATION.name}_sum', labels)}[{_OVER}]))"
    return f'label_join({busy}, "name", " ", "method", "route")'


def _jobs(labels: Mapping[str, str]) -> str:
    busy = f"sum by (job) (rate({selected(f'{JOB_DURATION.name}_sum', labels)}[{_OVER}]))"
    return f'label_replace({busy}, "name", "$1", "job", "(.*)")'


def _spread(spec: ServiceSpec, prices: PricesSpec, kind: str, busy: str) -> str:
    """Return what each route or job costs: its share of its processes by its busy time, and what it metered itself."""
    labels = {"service": spec.name}
    pool = f'process=~"{_POOLS[kind]}"'
    cpu, memory = _cpu(labels, prices, pool), _memory(labels, prices, pool)
    whole = f"(({cpu} or vector(0)) + ({memory} or vector(0)))"
    by = f"sum by (name) ({busy})"
    used = f"{by} / on() group_left() (sum({by}) > 0) * on() group_left() {whole}"
    metered = _sum_of_meters(spec, kind)
    both = used if metered is None else f"{_marked(used, 'used')} or {_marked(metered, 'metered')}"
    return f'label_replace(sum by (name) ({both}), "kind", "{kind}", "", "")'


def _marked(expression: str, place: str) -> str:
    """Return an expression whose series are told apart from another's with the same labels."""
    return f'label_replace({expression}, "part", "{place}", "", "")'


def _sum_of_meters(spec: ServiceSpec, kind: str) -> str | None:
    """Return what all meters come to, by the kind and the name of who used them."""
    labels = {"service": spec.name}
    parts = [_marked(_metered(labels, one.name, one.price, kind), one.name) for one in spec.meters]
    return f"sum by (kind, name) ({' or '.join(parts)})" if parts else None


def _metered(labels: Mapping[str, str], meter: str, price: float, kind: str) -> str:
    of = {**labels, "meter": meter} | ({"kind": kind} if kind else {})
    by = "sum by (kind, name)" if kind else "sum"
    return f"{by} (rate({selected(METERED.name, of)}[{_OVER}])) * {_number(price * 3600)}"


def _humanized(value: float) -> str:
    """Return a number from 1 on as Prometheus's humanize shows it."""
    prefixes = ["", "k", "M", "G", "T"]
    while value >= 1000 and len(prefixes) > 1:
        value, prefixes = value / 1000, prefixes[1:]
    return f"{value:.4g}{prefixes[0]}"


def _number(value: float) -> str:
    return f"{value:.12g}"
