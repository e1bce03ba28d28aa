"""Outages: one dependency after the other is disturbed in each way, and what its service did is judged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from .proxy import Behaviour
from .services import Running
from .traffic import Answered, Kind, Traffic

DISTURBED: Final[tuple[Behaviour, ...]] = ("slow", "hangs", "cut off", "lies")

OBJECTIVE: Final = 0.999
"""The share of requests that both services promise to answer."""
LONGEST: Final = 12.0
"""Seconds within which a request is refused where nothing answers in a dependency's place."""
LONGEST_PROBE: Final = 1.0
RECOVERED_WITHIN: Final = 20.0
_REFUSALS: Final = frozenset((503, 504))


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the requests of one kind that began while a dependency was disturbed.

    `slowest` is the longest time of any in seconds, `recovered` after how many seconds all kinds were answered again,
    None where they were not. `broken` says which promises were not kept.
    """

    service: str
    dependency: str
    behaviour: Behaviour
    kind: str
    fallback: str | None
    requests: int
    errors: int
    outcomes: dict[str, int]
    slowest: float
    recovered: float | None
    broken: tuple[str, ...]

    @property
    def error_rate(self) -> float:
        """The share of requests that were not answered as they are to be."""
        return self.errors / self.requests if self.requests else 0.0


async def outages(
    running: Running, behaviours: Sequence[Behaviour], *, seconds: float, every: float, generous: float = 1.0
) -> AsyncIterator[Row]:
    """Disturb each dependency of a service in each way for so many seconds; yield a row for each kind of request.

    Times may be `generous` times as long as promised, as on a machine that does other things beside.
    """
    within = generous * RECOVERED_WITHIN
    for dependency, proxy in running.proxies.items():
        kinds = (*running.kinds, *running.more.get(dependency, ()))
        async with Traffic.of(kinds, every=every) as traffic:
            await traffic.until_good(within=within)
            for behaviour in behaviours:
                began = time.monotonic()
                await proxy.behave(behaviour)
                await asyncio.sleep(seconds)
                await proxy.behave("as it is")
                ended = time.monotonic()
                recovered = await traffic.until_good(within=within)
                for kind in kinds:
                    asked = await traffic.settled(kind, began, ended, within=within)
                    yield judged(running, dependency, behaviour, kind, asked, recovered, generous)


def judged(
    running: Running,
    dependency: str,
    behaviour: Behaviour,
    kind: Kind,
    asked: list[Answered],
    recovered: float | None,
    generous: float = 1.0,
) -> Row:
    """Return what became of what was asked, and which promises that breaks."""
    fallback = running.fallbacks.get((dependency, kind.name))
    bad = [one for one in asked if not one.good]
    slowest = max((one.seconds for one in asked), default=0.0)
    broken = []
    if not asked:
        broken.append("nothing was asked")
    if fallback is not None and asked and len(bad) / len(asked) > 1 - OBJECTIVE:
        broken.append(f"more than {1 - OBJECTIVE:.1%} errors, though there is a fallback")
    if any(one.outcome not in _REFUSALS for one in bad):
        broken.append("errors other than a refusal")
    if slowest > generous * (LONGEST_PROBE if kind.name == "/livez" else LONGEST):
        broken.append("answered too late")
    if recovered is None:
        broken.append("did not recover")
    return Row(
        running.name,
        dependency,
        behaviour,
        kind.name,
        fallback,
        len(asked),
        len(bad),
        dict(Counter(str(one.outcome) for one in asked)),
        round(slowest, 3),
        None if recovered is None else round(recovered, 3),
        tuple(broken),
    )
