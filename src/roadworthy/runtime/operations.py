"""What the operations port tells: probes, the whole health, and one scrape of every process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from roadworthy.binding import Binding
from roadworthy.cache.rates import rates_of
from roadworthy.health.policy import HealthState, Reading, Status
from roadworthy.health.report import Health
from roadworthy.health.spec import LIVE, Check, Observe
from roadworthy.http.asgi import ASGIApp
from roadworthy.http.checks import checked, service_checks
from roadworthy.http.operations import operations_app
from roadworthy.http.stack import Stack
from roadworthy.resilience import breaker_metrics
from roadworthy.resilience.spec import DependencySpec
from roadworthy.runtime.control import ProcessState
from roadworthy.runtime.supervisor import ProcessStatus, Supervisor
from roadworthy.service import ServiceSpec
from roadworthy.telemetry import exposition
from roadworthy.telemetry.exposition import Snapshot

_ASKED_EVERY = timedelta(seconds=2)
_LONGEST_SILENCE = timedelta(seconds=5)
_STALLED = "takes no jobs: its claims hang or fail, or jobs that do not end have all its slots"


def single(
    spec: ServiceSpec,
    binding: Binding,
    state: Callable[[], HealthState],
    name: str,
    does: Callable[[], ProcessState],
    *,
    app: ASGIApp | None = None,
) -> ASGIApp:
    """Return the operations application of a process that runs one role by itself; `does` tells what it does.

    `app` is what the process serves; its probes then answer for the same health, so that nothing is looked at twice.
    """

    async def process() -> Sequence[Reading]:
        stalled = does() == "stalled"
        value = {"pid": os.getpid(), "state": does()}
        return [Reading(f"process:{name}", "fail" if stalled else "pass", value, output=_STALLED if stalled else None)]

    if isinstance(app, Stack):
        state = app.state_with(state)
    health = _health(spec, state, *service_checks(spec, lambda: binding), _processes(process))
    if isinstance(app, Stack):
        app.health = health
    return operations_app(health, binding.metrics.snapshot_in_turns, binding.metrics)


def whole(spec: ServiceSpec, binding: Binding, state: Callable[[], HealthState], supervisor: Supervisor) -> ASGIApp:
    """Return the operations application of a supervisor: its own health and metrics with those of its processes."""

    async def processes() -> Sequence[Reading]:
        return [_reading(process.status) for process in supervisor.processes]

    async def snapshot() -> Snapshot:
        snapshots = {"supervisor": binding.metrics.snapshot(), **await supervisor.snapshots()}
        return exposition.merge(snapshots, supervisor.archive.snapshot)

    own = service_checks(spec, lambda: binding)
    breakers = {check.name: check for check in (breaker_of_all(one, snapshot) for one in spec.dependencies)}
    checks = [of_all(check, snapshot) if check.name == "caches" else breakers.get(check.name, check) for check in own]
    return operations_app(_health(spec, state, *checks, _processes(processes)), snapshot, binding.metrics)


def of_all(check: Check, snapshot: Callable[[], Awaitable[Snapshot]]) -> Check:
    """Return the check of caches with the shares of hits of all processes; the supervisor itself looks nothing up."""

    async def run() -> Sequence[Reading]:
        readings = await check.run()
        ratios = {f"{cache}:hitRatio": rate.ratio for cache, rate in rates_of(await snapshot()).items()}
        return [
            reading if (ratio := ratios.get(reading.name)) is None else replace(reading, value=round(ratio, 4))
            for reading in readings
        ]

    return replace(check, run=run)


def breaker_of_all(spec: DependencySpec, snapshot: Callable[[], Awaitable[Snapshot]]) -> Check:
    """Return the check of a dependency with its breaker as it is worst in any process; the supervisor calls none."""
    names = {float(number): state for state, number in breaker_metrics.STATES.items()}

    async def state() -> str | None:
        for family in (await snapshot()).families:
            for sample in family.samples if family.name == breaker_metrics.STATE.name else ():
                if ("breaker", spec.name) in sample.labels:
                    return names.get(sample.value)
        return None

    check = checked(spec, state)
    # The processes have to be asked for it, which takes longer than a probe waits.
    return replace(check, every=max(check.every, _ASKED_EVERY))


def _processes(run: Observe) -> Check:
    """Return the check of processes, which is of what this one has in memory."""
    return Check("processes", run, every=LIVE, failures=1, successes=1)


def _health(spec: ServiceSpec, state: Callable[[], HealthState], *checks: Check) -> Health:
    return Health(state, checks, service=spec.name, version=spec.version)


def _reading(process: ProcessStatus) -> Reading:
    """Tell how a process is. A worker that is there and takes no jobs is worse than one that starts again."""
    output = None
    status: Status = "pass"
    if process.state == "stalled":
        status, output = "fail", _STALLED
    elif process.state not in ("ready", "draining", "stopped"):
        status, output = "warn", process.reason or f"it is {process.state}"
    elif process.state != "stopped" and process.silent > _LONGEST_SILENCE:
        status = "fail" if process.role == "worker" else "warn"
        output = f"has said nothing for {process.silent.total_seconds():.0f} s; is its event loop blocked?"
    value: dict[str, object] = {
        "role": process.role,
        "pid": process.pid,
        "state": process.state,
        "restarts": process.restarts,
    }
    if process.queue is not None:
        value["queue"] = process.queue
    return Reading(f"process:{process.name}", status, value, output=output)
