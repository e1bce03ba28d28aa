"""Make every alert of the reference services fire by its cause, and print who was told of what.

    python -m benchmarks.alerts [--quick] [--factor N] [--json] [--only SERVICE]

Site Search and Vitals run as their users start them, under a little load. Debian's Prometheus and Alertmanager
have what `roadworthy emit` writes of them, with every duration divided by one factor; PagerDuty, Slack, a mail server
and a dead man's switch are stand-ins on this machine. The exit code is 1 where a target is down, a rule is unhealthy,
a panel has no data, an alert fires while all is well, does not fire by its cause, reaches somebody else, or does not
end, and where one mutes another that it should not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from roadworthy.service import ServiceSpec

from ..report import OURS, Report
from . import sitesearch, vitals
from .exercise import Row, exercised
from .monitors import Monitors, monitors
from .offline import mutings, offline
from .panels import Panels, panels
from .receivers import Receivers
from .watch import Watch

SERVICES: dict[str, ModuleType] = {"sitesearch": sitesearch, "vitals": vitals}
FACTOR = 30.0
_CALM = 600.0
"""Seconds, before compression, in which no alert may fire while all is well."""
_OF_DAYS = ("BudgetSpent", " 1d", " 3d")
"""Alerts on what was over days or more: this run's few minutes are all of that, its start included."""
_DATA_WITHIN = 25.0
_UP_WITHIN = 60.0
_ENDED_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one service. `quiet` are alerts that fired while all was well, `unhealthy` are rules' errors.

    A `short` run ends before all panels have data, and demands none.
    """

    service: str
    short: bool
    targets: int
    targets_up: int
    rules: int
    unhealthy: dict[str, str]
    panels: Panels
    quiet: tuple[str, ...]
    switch_calls: int
    mutings: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def broken(self) -> list[str]:
        """Everything that should have been otherwise."""
        found = [f"{self.targets - self.targets_up} targets are down"] if self.targets_up < self.targets else []
        found += [f"rule {name}: {error}" for name, error in self.unhealthy.items()]
        found += [] if self.short else [f"panel without data: {panel}" for panel in self.panels.empty]
        found += [f"{alert} fires though all is well" for alert in self.quiet]
        found += list(self.mutings)
        found += [] if self.switch_calls else ["the dead man's switch was not called"]
        return found + [f"{row.alert}: {'; '.join(row.broken)}" for row in self.rows if row.broken]


@dataclass(frozen=True, slots=True)
class Plan:
    """How fast time goes, and how much is done."""

    factor: float
    quick: bool


async def run(names: Sequence[str], plan: Plan, directory: Path) -> list[Result]:
    """Return what came of these services, which run side by side; SIGTERM ends them all."""
    whole = asyncio.current_task()
    assert whole is not None
    # What was started has process groups of its own, and would outlive this one.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    async with Receivers.listening() as receivers, asyncio.TaskGroup() as group:
        tasks = []
        for name in names:
            own = directory / name
            own.mkdir()
            # Root's server runs as another user, who has to get past this directory to its own.
            own.chmod(0o711)
            tasks.append(group.create_task(_service(name, plan, receivers, own)))
    return [task.result() for task in tasks]


async def _service(name: str, plan: Plan, receivers: Receivers, directory: Path) -> Result:
    module = SERVICES[name]
    spec: ServiceSpec = importlib.import_module(f"{name}.service").service.spec
    opened = getattr(module, name)
    async with (
        opened(directory) as running,
        monitors(running.target, running.operations, receivers, directory, plan.factor) as watched,
        running.asked(*running.load),
        Watch.over(watched, name) as watch,
    ):
        began = time.monotonic()
        shown = await panels(watched, spec, plan.factor, within=_DATA_WITHIN / (5 if plan.quick else 1))
        await asyncio.sleep(max(began + (0 if plan.quick else _CALM / plan.factor) - time.monotonic(), 0))
        quiet = tuple(sorted(one for one in watch.ever if not one.endswith(_OF_DAYS)))
        targets = await _up(watched)
        rules = await watch.rules()
        if plan.quick:
            rows = await exercised(running, watch, receivers, module.quick(), plan.factor)
        else:
            async with asyncio.TaskGroup() as group:
                whole = [
                    group.create_task(exercised(running, watch, receivers, phases, plan.factor))
                    for phases in ((module.throughout(),), module.phases())
                ]
            # Last, since nothing else can be seen meanwhile.
            rows = [row for task in whole for row in task.result()]
            rows += await exercised(running, watch, receivers, module.last(), plan.factor)
        caused = {row.alert for row in rows}
        await watch.until(lambda: not watch.firing, _ENDED_WITHIN / (10 if plan.quick else 1))
        rest = [] if plan.quick else [rule for title, rule in rules.items() if title not in caused]
        rows += await offline(rest, watched, watch, receivers, plan.factor)
        wrong = [f"{source} mutes {target}" for (source, target), muting in watch.muted.items() if not muting.allowed]
        wrong += await mutings(list(rules.values()), watched, watch, [queue.name for queue in spec.queues])
        calls = sum(message.receiver == "dead-mans-switch" for message in receivers.messages)
        return Result(
            name,
            plan.quick,
            len(targets),
            sum(target["health"] == "up" for target in targets),
            len(await watched.rules()),
            watch.unhealthy,
            shown,
            quiet,
            calls,
            tuple(wrong),
            tuple(rows),
        )


async def _up(watched: Monitors) -> list[dict[str, Any]]:
    """Return the targets once all are up, or as they are after a while."""
    patience = time.monotonic() + _UP_WITHIN
    while True:
        targets = await watched.targets()
        if all(target["health"] == "up" for target in targets) or time.monotonic() > patience:
            return targets
        await asyncio.sleep(0.5)


def as_json(results: Sequence[Result], plan: Plan) -> str:
    """Return everything, for programs."""
    report = Report("alerts", ("roadworthy", "asyncpg", "granian"))
    for result in results:
        of = result.service
        report.add(f"{of}: targets up", OURS, result.targets_up, unit=f"of {result.targets}", better="more")
        healthy = result.rules - len(result.unhealthy)
        report.add(f"{of}: rules healthy", OURS, healthy, unit=f"of {result.rules}", better="more")
        shown = result.panels
        report.add(f"{of}: panels with data", OURS, shown.with_data, unit=f"of {shown.panels}", better="more")
        real = [row for row in result.rows if row.real]
        good = sum(not row.broken for row in real)
        report.add(f"{of}: alerts fired by their cause", OURS, good, unit=f"of {len(real)}", better="more")
    return json.dumps(
        {
            **json.loads(report.as_json()),
            "holds": not any(result.broken for result in results),
            "factor": plan.factor,
            "services": [asdict(result) | {"broken": result.broken} for result in results],
        },
        indent=2,
    )


def as_table(results: Sequence[Result], plan: Plan) -> str:
    """Return everything, for people."""
    header = ("service", "alert", "severity", "caused by", "fired", "told", "receiver", "got", "ended", "told", "")
    lines = [header]
    for result in results:
        lines += [
            (
                row.service,
                row.alert,
                row.severity,
                row.cause,
                _seconds(row.fired),
                _seconds(row.told),
                row.expected,
                ", ".join(row.got),
                _seconds(row.cleared),
                _seconds(row.resolved),
                "; ".join(row.broken) or "holds",
            )
            for row in result.rows
        ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    laid_out = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    laid_out.insert(1, "  ".join("-" * width for width in widths))
    summary = []
    for result in results:
        real = [row for row in result.rows if row.real]
        shown = result.panels
        summary.append(
            f"{result.service}: targets up {result.targets_up}/{result.targets}, rules healthy "
            f"{result.rules - len(result.unhealthy)}/{result.rules}, panels with data {shown.with_data}/{shown.panels} "
            f"and {shown.may_be_empty} empty as declared, alerts by their cause "
            f"{sum(not row.broken for row in real)}/{len(real)}, by promtool "
            f"{sum(not row.broken for row in result.rows if not row.real)}/{len(result.rows) - len(real)}"
        )
    broken = [f"  {result.service}: {what}" for result in results for what in result.broken]
    verdict = ["BROKEN:", *broken] if broken else ["Everything held."]
    clock = f"One second stands for {plan.factor:g}; times are seconds of the clock."
    return "\n".join([*laid_out, "", clock, *summary, "", *verdict])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"


def main() -> int:
    """Parse the command line, run, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.alerts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few causes, about a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=tuple(SERVICES), help="one service alone")
    parser.add_argument("--factor", type=float, default=FACTOR, help=f"how fast time goes (default {FACTOR:g})")
    parser.add_argument("--keep", type=Path, help="keep the services' files and logs in this directory")
    options = parser.parse_args()
    plan = Plan(options.factor, options.quick)
    names = tuple(SERVICES) if options.only is None else (options.only,)
    with contextlib.ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roadworthy-alerts-")))
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        results = asyncio.run(run(names, plan, directory))
    print(as_json(results, plan) if options.json else as_table(results, plan))
    return 1 if any(result.broken for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
