"""The judgement: what was asked for against what was done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .service import AT_ONCE, database

_JUDGED = {
    "jobs left over": "SELECT count(*) FROM roadworthy.jobs",
    "orders lost": (
        "SELECT count(*) FROM orders WHERE NOT EXISTS (SELECT FROM effects WHERE effects.n = orders.n) "
        "AND NOT EXISTS (SELECT FROM roadworthy.dead_jobs WHERE (arguments ->> 'n')::bigint = orders.n)"
    ),
    "effects written twice": "SELECT count(*) FROM (SELECT FROM effects GROUP BY n HAVING count(*) > 1) AS twice",
    "effects of orders that were rolled back": (
        "SELECT count(*) FROM effects WHERE NOT EXISTS (SELECT FROM orders WHERE orders.n = effects.n)"
    ),
    "dead jobs with an effect": (
        "SELECT count(*) FROM roadworthy.dead_jobs "
        "WHERE EXISTS (SELECT FROM effects WHERE effects.n = (arguments ->> 'n')::bigint)"
    ),
    "fire times run twice": "SELECT count(*) FROM (SELECT FROM ticks GROUP BY fire_time HAVING count(*) > 1) AS twice",
    "fire times lost": (
        "SELECT count(*) FROM roadworthy.job_fires WHERE NOT EXISTS "
        "(SELECT FROM ticks WHERE ticks.fire_time = job_fires.fire_time) AND NOT EXISTS "
        "(SELECT FROM roadworthy.dead_jobs WHERE job = 'tick')"
    ),
    f"times an account had more than {AT_ONCE} jobs at once": "SELECT count(*) FROM violations",
}
_COUNTED = {
    "orders": "SELECT count(*) FROM orders",
    "effects": "SELECT count(*) FROM effects",
    "effects of a later attempt": "SELECT count(*) FROM effects WHERE attempt > 1",
    "dead jobs": "SELECT count(*) FROM roadworthy.dead_jobs",
    "fire times": "SELECT count(*) FROM ticks",
}
_EVENTS = {
    "job rescued": "jobs taken back from vanished workers",
    "lease lost": "attempts fenced off",
    "cannot claim jobs": "claims that found no database",
    "a job does not end when it is cancelled; its slot stays taken": "attempts given up",
}
_ERRORS = {
    "LeaseLost": "effects refused, the lease being lost",
    "JobProcessDied": "attempts whose process was killed",
    "TimeoutError": "attempts past their timeout",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What must be zero, and what may be anything."""

    wrong: dict[str, int]
    counted: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.wrong.values())


async def judge(logs: Iterable[Path], unclean_drains: int, orphans: int) -> Judgement:
    """Compare orders, effects and dead letters, once nothing runs any more."""
    wrong = {
        "workers that did not end when told to": unclean_drains,
        "job processes that outlived their worker": orphans,
    }
    wrong |= {name: int(await database.fetchval(sql)) for name, sql in _JUDGED.items()}
    counted = {name: int(await database.fetchval(sql)) for name, sql in _COUNTED.items()}
    return Judgement(wrong, counted | _told(logs))


async def crowded() -> int:
    """Return how many accounts have too many jobs running now, and note each."""
    return int(
        await database.fetchval(
            "WITH crowded AS (INSERT INTO violations (what) "
            "SELECT format('%s of account %s at once', count(*), arguments ->> 'account') FROM roadworthy.jobs "
            "WHERE state = 2 AND job = 'limited' GROUP BY arguments ->> 'account' HAVING count(*) > $1 RETURNING 1) "
            "SELECT count(*) FROM crowded",
            AT_ONCE,
        )
    )


def _told(logs: Iterable[Path]) -> dict[str, int]:
    """Count what the processes said of themselves."""
    told: Counter[str] = Counter(dict.fromkeys((*_EVENTS.values(), *_ERRORS.values()), 0))
    for log in logs:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                # Cut off by a kill.
                continue
            if (event := entry.get("event")) in _EVENTS:
                told[_EVENTS[event]] += 1
            elif event in ("job failed", "job failed for the last time"):
                kind = str(entry.get("error_class")).rpartition(".")[2]
                if kind in _ERRORS:
                    told[_ERRORS[kind]] += 1
    return dict(told)
