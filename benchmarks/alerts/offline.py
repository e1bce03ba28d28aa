"""The alerts that time forbids to wait for: fired by promtool, and routed by the real Alertmanager."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .exercise import Row
from .monitors import Monitors
from .receivers import Receivers
from .watch import Muting, Rule, Watch

_CASE = re.compile(r"^\s*- name: (?P<alert>\w+) (?P<what>fires|stays quiet)$", re.MULTILINE)
_NAMED = re.compile(r"^\s*- alert: (?P<alert>\w+)$", re.MULTILINE)
_LASTS = timedelta(minutes=5)
_TOLD_WITHIN = 30.0
_SETTLES = 3.0


async def offline(
    rules: Sequence[Rule], monitors: Monitors, watch: Watch, receivers: Receivers, factor: float
) -> list[Row]:
    """Return a row for each of the rules: whether promtool saw it fire and stay quiet, and who was told of it."""
    if not rules:
        return []
    proven = await _proven(monitors)
    told: dict[str, tuple[float, float | None, float | None]] = {}
    # One at a time where one would mute the other.
    for severity in ("business", "warning", "critical"):
        some = [rule for rule in rules if rule.severity == severity]
        told |= await _routed(some, monitors, watch, receivers, factor)
    return [_row(rule, proven, told[rule.title], receivers) for rule in rules]


async def _proven(monitors: Monitors) -> Mapping[str, str]:
    """Run promtool on the emitted tests; return what is wrong with each alert, "" where nothing is."""
    directory = monitors.files / "prometheus"
    found: dict[str, str] = {}
    for path in sorted((directory / "rules").glob("*.yml")):
        names = {match["alert"] for match in _NAMED.finditer(path.read_text(encoding="utf-8"))}
        tests = directory / "tests" / path.name
        if not tests.is_file():
            continue
        cases = {(match["alert"], match["what"]) for match in _CASE.finditer(tests.read_text(encoding="utf-8"))}
        process = await asyncio.create_subprocess_exec(
            *("promtool", "test", "rules", str(tests)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), 300)
        for name in names:
            missing = [what for what in ("fires", "stays quiet") if (name, what) not in cases]
            failed = process.returncode != 0 and (f"alertname:{name}" in said.decode() or f"{name} " in said.decode())
            found[name] = "promtool: fails" if failed else f"no test: {', '.join(missing)}" if missing else ""
    return found


async def _routed(
    rules: Sequence[Rule], monitors: Monitors, watch: Watch, receivers: Receivers, factor: float
) -> dict[str, tuple[float, float | None, float | None]]:
    """Tell Alertmanager of the alerts; return since when, and when each receiver was told that, and that it is over."""
    groups = {rule.group for rule in rules}
    await watch.until(lambda: not any(_group_fires(group, watch) for group in groups), _TOLD_WITHIN)
    began = time.monotonic()
    await monitors.tell([told_of(rule, ends=_LASTS) for rule in rules])
    within = _TOLD_WITHIN + 600 / factor
    await watch.until(lambda: all(_told(rule, "firing", began, receivers) for rule in rules), within)
    ended = time.monotonic()
    await monitors.tell([told_of(rule, ends=timedelta(0)) for rule in rules])
    heard = [rule for rule in rules if _told(rule, "firing", began, receivers)]
    await watch.until(lambda: all(_told(rule, "resolved", ended, receivers) for rule in heard), within)
    return {
        rule.title: (began, _told(rule, "firing", began, receivers), _told(rule, "resolved", ended, receivers))
        for rule in rules
    }


def _group_fires(group: tuple[str, str, str], watch: Watch) -> bool:
    return any(one.split(" ")[0] == group[1] for one in watch.firing)


def _told(rule: Rule, status: str, since: float, receivers: Receivers) -> float | None:
    return receivers.told(rule.receiver, rule.about, status, since)


def told_of(rule: Rule, *, ends: timedelta, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an alert of a rule as Prometheus would tell of it; `more` are labels of its series."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": rule.name, **rule.labels, **(more or {})},
        "annotations": dict(rule.annotations),
        "startsAt": (now - timedelta(seconds=5)).isoformat(),
        "endsAt": (now + ends).isoformat(),
    }


def _row(
    rule: Rule,
    proven: Mapping[str, str],
    told: tuple[float, float | None, float | None],
    receivers: Receivers,
) -> Row:
    began, firing, resolved = told
    wrong = proven.get(rule.name, "no test")
    broken = [wrong] if wrong else []
    if firing is None:
        broken.append(f"{rule.receiver} was not told")
    elif resolved is None:
        broken.append(f"{rule.receiver} was not told that it is over")
    got = ([rule.receiver] if firing is not None else []) + sorted(receivers.others(rule.receiver, rule.about))
    return Row(
        rule.service,
        rule.title,
        rule.severity,
        "promtool: fires / quiet",
        False,
        None,
        None if firing is None else round(firing - began, 1),
        rule.receiver,
        tuple(got),
        None,
        None,
        tuple(broken),
    )


async def mutings(rules: Sequence[Rule], monitors: Monitors, watch: Watch, queues: Sequence[str]) -> list[str]:
    """Tell Alertmanager of all alerts at once; return where it mutes what it should not, or not what it should."""
    posted = []
    for rule in rules:
        more = [{"queue": queue} for queue in queues] if rule.name == "WorkerQueueBacklog" else [{}]
        posted += [told_of(rule, ends=timedelta(seconds=20), more=one) for one in more]
    await monitors.tell(posted)
    await asyncio.sleep(_SETTLES)
    wrong = []
    alerts = await monitors.alerts()
    muted = watch.note_muted(alerts)
    firing = [alert["labels"] for alert in alerts]
    for alert in alerts:
        labels = alert["labels"]
        expected = any(_makes_needless(other, labels) for other in firing)
        if expected != (alert["fingerprint"] in muted):
            wrong.append(f"{labels['alertname']} {labels['severity']} is {'not ' if expected else ''}muted")
    return wrong


def _makes_needless(source: Mapping[str, str], target: Mapping[str, str]) -> bool:
    return Muting(source, target).allowed
