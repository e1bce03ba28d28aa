"""`roadworthy check --live`: every expression asked of a Prometheus that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from roadworthy.check.asking import parts, selectors, written
from roadworthy.check.deployed.deployment import Deployment
from roadworthy.check.expression import Expression
from roadworthy.check.promql import Node
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, print_table
from roadworthy.cli.prometheus import instant
from roadworthy.service import ServiceSpec

State = Literal["data", "may be empty", "quiet", "no data yet", "no data"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression that was asked: how many series it has, and what their absence means.

    "quiet" has none because its comparisons leave nothing; "no data yet" lacks series that are made on first use.
    """

    kind: str
    name: str
    place: str
    series: int
    state: State
    missing: str = ""


def run(spec: ServiceSpec, prometheus: str, deployment: Deployment, form: str) -> int:
    """Ask for every expression and print what there is; the answer is no where one that should have data has none."""
    born = _born(spec)
    asked = [_ask(one, prometheus, born) for one in deployment.expressions if one.kind != "runbook"]
    ok = not deployment.faults and all(one.state != "no data" for one in asked)
    if form == "json":
        print_json({"ok": ok, "expressions": [asdict(one) for one in asked]})
        return DONE if ok else NO
    told = [one for one in asked if one.state not in ("data", "may be empty")]
    print_table(
        ("STATE", "SERIES", "KIND", "NAME", "PLACE", "MISSING"),
        [(one.state, one.series, one.kind, one.name, one.place, one.missing) for one in told],
        right=("SERIES",),
    )
    counts: dict[str, int] = {}
    for one in asked:
        counts[one.state] = counts.get(one.state, 0) + 1
    print(f"{len(asked)} expressions: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}")
    return DONE if ok else NO


def _ask(one: Expression, prometheus: str, born: frozenset[str]) -> Asked:
    if one.tree is None:
        return Asked(one.kind, one.name, one.place, 0, "no data", one.error)
    found = 0
    if one.kind != "alert":
        found = len(instant(prometheus, one.text))
        if found:
            return Asked(one.kind, one.name, one.place, found, "data")
        if one.may_be_empty:
            return Asked(one.kind, one.name, one.place, 0, "may be empty", one.may_be_empty)
    states = [_part(part, prometheus, born) for part in parts(one.tree)]
    found = sum(count for count, _, _ in states)
    worst: State = "data" if one.kind == "alert" else "quiet"
    missing = ""
    for _, state, lacking in states:
        if state == "no data" or (state == "no data yet" and worst != "no data"):
            worst, missing = state, lacking
    return Asked(one.kind, one.name, one.place, found, worst, missing)


def _part(part: Node, prometheus: str, born: frozenset[str]) -> tuple[int, State, str]:
    """Return how many series a part has; where it has none, whether it should, and which are not there."""
    found = len(instant(prometheus, written(part)))
    if found:
        return found, "data", ""
    lacking = []
    for selector in selectors(part):
        text = written(selector)
        # A range has an answer from its second sample on.
        probe = f"count_over_time({text}) > 1" if selector.range else text
        if not instant(prometheus, probe):
            lacking.append((selector.metric or "", text))
    yet = any(metric not in born for metric, _ in lacking)
    return 0, "no data yet" if yet else "no data", ", ".join(text for _, text in lacking) or written(part)


def _born(spec: ServiceSpec) -> frozenset[str]:
    """Return the series that a process has from its start on: those of the service whose labels are enumerated."""
    known: Mapping[str, bool] = {
        name: all(label.values is not None for label in metric.labels)
        for metric in spec.metrics
        for name in metric.series_names
    }
    return frozenset(name for name, from_birth in known.items() if from_birth) | {"up"}
