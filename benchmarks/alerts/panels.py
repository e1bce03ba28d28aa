"""Every panel of the emitted dashboards asked of a running Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from roadworthy.emit.dashboard import Dashboard, Panel, concrete
from roadworthy.emit.dashboards import dashboards
from roadworthy.service import ServiceSpec

from .compression import expression
from .monitors import Monitors


@dataclass(frozen=True, slots=True)
class Panels:
    """How many panels there are, how many of their expressions gave data, and which did not though they should."""

    panels: int
    with_data: int
    may_be_empty: int
    empty: tuple[str, ...]


async def panels(monitors: Monitors, spec: ServiceSpec, factor: float, *, within: float) -> Panels:
    """Ask every expression until each has given data once, for at most so many seconds.

    A panel that has several must have data of each, and one that is declared possibly empty is counted as that.
    """
    patience = time.monotonic() + within
    every = list(_queries(spec, factor))
    waiting = set(every)
    wrong: dict[tuple[str, str, bool], str] = {}
    while waiting and time.monotonic() < patience:
        for query in tuple(waiting):
            try:
                if await monitors.query(query[1]):
                    waiting.discard(query)
            except ValueError as error:
                wrong[query] = str(error)
                waiting.discard(query)
        if not any(not may_be_empty for _, _, may_be_empty in waiting):
            break
        await asyncio.sleep(1)
    names = list(dict.fromkeys(name for name, _, _ in every))
    lacking = {name for name, _, may_be_empty in waiting if not may_be_empty}
    declared = {name for name, _, may_be_empty in waiting if may_be_empty} - lacking
    broken = [f"{name}: {text}" for name, text, may_be_empty in sorted(waiting) if not may_be_empty]
    broken += [f"{query[0]}: {error}" for query, error in wrong.items()]
    failed = lacking | {query[0] for query in wrong}
    return Panels(len(names), len(set(names) - failed - declared), len(declared - failed), tuple(broken))


def _queries(spec: ServiceSpec, factor: float) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of a panel, one of its expressions as it is sent, and whether it may be empty."""
    for board in dashboards(spec):
        for panel in board.panels:
            for text in _expressions(panel, board):
                yield f"{board.name}: {panel.title}", expression(text, factor), bool(panel.may_be_empty)


def _expressions(panel: Panel, board: Dashboard) -> Iterator[str]:
    for query in panel.queries:
        yield concrete(query.expression, board)
