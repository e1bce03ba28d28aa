"""`roadworthy cost`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, print_table
from roadworthy.cli.prometheus import address, instant

_MONTH_HOURS = 730


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "cost",
        help="tell what the service costs, for what and by whose doing",
        description="Tell what the service costs by the prices that it declares: an hour and a month at the pace of\n"
        "the last hour, by resource, route and job, and what a month costs that is as the last day was,\n"
        "beside the budget. A Prometheus with the emitted rules knows. The exit code is 1 where a month is\n"
        "going to cost more than the budget, or where nothing is measured.",
        examples="  roadworthy cost sitesearch.service:service\n"
        "  roadworthy cost sitesearch.service:service --prometheus http://127.0.0.1:9090 --json",
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
    """Print the costs."""
    from roadworthy.emit.cost import FORECAST, RESOURCE, SOURCE
    from roadworthy.emit.indicator import selected

    spec = target(options).service.spec
    if spec.prices is None and not spec.meters:
        print(f"service {spec.name!r} declares no prices; declare them with service.prices()")
        return NO
    labels = {"service": spec.name}
    resources = instant(options.prometheus, selected(RESOURCE, labels))
    sources = instant(options.prometheus, selected(SOURCE, labels))
    month = next((value for _, value in instant(options.prometheus, selected(FORECAST, labels))), None)
    currency = "USD" if spec.prices is None else spec.prices.currency
    budget = None if spec.prices is None else spec.prices.monthly_budget
    ok = month is not None and (budget is None or month <= budget)
    lines = [*(_line("resource", one.get("resource", ""), value) for one, value in _dearest(resources))]
    lines += [_line(one.get("kind", ""), one.get("name", ""), value) for one, value in _dearest(sources)]
    if options.json:
        print_json({"ok": ok, "currency": currency, "month": month, "budget": budget, "lines": lines})
        return DONE if ok else NO
    header = ("WHAT", "NAME", "AN HOUR", "A MONTH AT THIS PACE")
    rows = [(str(one["what"]), str(one["name"]), _money(one["hour"]), _money(one["month"])) for one in lines]
    print_table(header, rows, right=header[2:])
    told = "not measured" if month is None else f"{month:,.2f} {currency}"
    bound = "" if budget is None else f", of {budget:,.2f} {currency} that it may cost"
    print(f"a month that is as the last day was: {told}{bound}")
    return DONE if ok else NO


def _dearest(series: list[tuple[Mapping[str, str], float]]) -> list[tuple[Mapping[str, str], float]]:
    return sorted(series, key=lambda one: -one[1])


def _line(what: str, name: str, hour: float) -> dict[str, Any]:
    return {"what": what, "name": name, "hour": hour, "month": hour * _MONTH_HOURS}


def _money(amount: float) -> str:
    return f"{amount:,.4f}" if amount < 1 else f"{amount:,.2f}"
