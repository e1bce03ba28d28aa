"""Claims under limits and around pauses, in PostgreSQL. What they do is in the function `claim_limited_jobs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.database import driver, queries
from roadworthy.database.driver import reaching
from roadworthy.jobs.frontier import WHOLE, Place
from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.operations import Pause
from roadworthy.jobs.session import Session

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool

_FURTHER = 4
_FURTHEST = 1000
_ROUNDS = 8
_MENDED_AT_ONCE = 500
_RESUMED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Claim:
    """What is asked for: up to `limit` jobs of a queue, for a worker, for as long as `lease`."""

    queue: str
    limit: int
    lease: timedelta
    worker: str


class PostgresLimits:
    """The part of the engine that knows of limits."""

    def __init__(self, pool: Pool, claims: Session, leases: Session, returned: Callable[[Iterable[str]], None]) -> None:
        """`returned` is told the queues to which jobs came back. What people do runs on `pool`."""
        self._pool = pool
        self._claims = claims
        self._leases = leases
        self._returned = returned
        self._sql = queries.load_queries("roadworthy.jobs", "limits.sql")
        self.took = 0.0

    async def claim(
        self, wanted: Claim, rules: Sequence[LimitRule], spans: Sequence[tuple[Place, int]] = WHOLE
    ) -> list[driver.Record]:
        """Claim as the statement `claim_jobs` does, what the rules and the pauses of the queue let.

        As long as most of what it sees is refused, it looks at more in each round. `took` then is for how many seconds
        it looked, 0 where putting jobs aside was most of it.
        """
        places, ends = zip(*spans, strict=True)
        taken: list[driver.Record] = []
        look = wanted.limit
        more = True
        for number in range(_ROUNDS):
            left = wanted.limit - len(taken)
            if left == 0 or not more:
                break
            rows = await self._claims.fetch(
                self._sql["claim_limited_jobs"],
                wanted.queue,
                left,
                wanted.lease,
                wanted.worker,
                *zip(*places, strict=True),
                ends,
                look,
                *_columns(rules),
            )
            self.took = 0.0 if number else self._claims.took
            more = bool(rows and rows[-1]["attempt"])
            taken += rows[:-1]
            look = min(look * _FURTHER, _FURTHEST)
        if more:
            self._returned([wanted.queue])
        return taken

    async def steers(self, queue: str) -> bool:
        """Whether a kind of job is paused in a queue, so that claims have to go around it."""
        rows = await self._claims.fetch(self._sql["any_kind_paused"], queue)
        return bool(rows[0][0])

    async def mend(self, queues: Sequence[str], rules: Sequence[LimitRule]) -> None:
        """Put limits right; see `Engine.mend`."""
        families, _, _, *values = _columns(rules)
        row = await self._leases.fetchrow(self._sql["mend_limits"], list(queues), families, *values, _MENDED_AT_ONCE)
        self._returned(row[0] or ())

    async def pause(self, queue: str, job: str | None, by: str, reason: str) -> bool:
        """Have no more jobs begin; see `Operations.pause`."""
        async with reaching():
            return bool(await self._pool.fetchval(self._sql["pause"], queue, job, by, reason))

    async def resume(self, queue: str, job: str | None) -> bool:
        """End a pause; see `Operations.resume`. Should it be cut short, `mend` brings back the rest."""
        async with reaching():
            ended = bool(await self._pool.fetchval(self._sql["end_pause"], queue, job))
            self._returned([queue])
            while job is not None:
                count = await self._pool.fetchval(self._sql["unblock_paused"], job, _RESUMED_AT_ONCE)
                self._returned([queue])
                if count < _RESUMED_AT_ONCE:
                    break
        return ended

    async def pauses(self) -> list[Pause]:
        """Return what is paused; see `Operations.pauses`."""
        async with reaching():
            return [Pause(*row) for row in await self._pool.fetch(self._sql["list_pauses"])]


def _columns(rules: Sequence[LimitRule]) -> list[list[Any]]:
    return [
        [rule.family for rule in rules],
        [rule.job for rule in rules],
        [rule.per for rule in rules],
        [rule.at_once for rule in rules],
        [rule.spacing for rule in rules],
        [rule.burst for rule in rules],
    ]
