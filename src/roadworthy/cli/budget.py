"""`roadworthy budget`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, print_table
from roadworthy.cli.prometheus import address, instant
from roadworthy.objectives.budget import Budget


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "budget",
        help="tell what is left of each objective's error budget",
        description="Tell what is left of each objective's error budget of thirty days, and how fast it was used\n"
        "up in the last hour: at a burn rate of 1 it lasts the thirty days. A Prometheus with the emitted\n"
        "rules knows. The exit code is 1 where a budget is spent or not measured.",
        examples="  roadworthy budget sitesearch.service:service\n"
        "  roadworthy budget sitesearch.service:service --prometheus http://127.0.0.1:9090 --json",
    )
    add_target(parser)
    parser.add_argument(
        "--prometheus",
        type=address,
        default="http://127.0.0.1:9090",
        metavar="URL",
        help="the Prometheus to ask (default: http://127.0.0.1:9090)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the budgets."""
    from datetime import timedelta

    from roadworthy.emit.indicator import selected
    from roadworthy.emit.objectives import BUDGET, ratio

    spec = target(options).service.spec
    labels = {"service": spec.name}
    remaining = _by_objective(options.prometheus, selected(BUDGET, labels))
    bad = _by_objective(options.prometheus, selected(ratio(timedelta(hours=1)), labels))
    budgets = [Budget(one.name, one.objective, remaining.get(one.name), bad.get(one.name)) for one in spec.objectives]
    ok = all(budget.state in ("kept", "burning") for budget in budgets)
    if options.json:
        print_json({"ok": ok, "objectives": [_document(budget) for budget in budgets]})
    elif budgets:
        header = ("OBJECTIVE", "PROMISED", "BUDGET LEFT", "BURN RATE", "STATE")
        print_table(header, [_row(budget) for budget in budgets], right=header[1:4])
    else:
        print(f"service {spec.name!r} promises nothing yet; declare an objective with service.slo()")
    return DONE if ok else NO


def _by_objective(prometheus: str, expression: str) -> Mapping[str, float]:
    return {labels.get("slo", ""): value for labels, value in instant(prometheus, expression)}


def _row(budget: Budget) -> tuple[str, ...]:
    left = "-" if budget.remaining is None else f"{budget.remaining:.1%}"
    rate = "-" if budget.burn_rate is None else f"{budget.burn_rate:.2f}"
    return budget.name, f"{budget.objective:.4%}".rstrip("0").rstrip(".%") + "%", left, rate, budget.state


def _document(budget: Budget) -> dict[str, object]:
    return {
        "objective": budget.name,
        "promised": budget.objective,
        "remaining": budget.remaining,
        "bad": budget.bad,
        "burn_rate": budget.burn_rate,
        "state": budget.state,
    }
