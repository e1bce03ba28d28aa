"""Measures one queue once and prints the samples as JSON: `python -m benchmarks.queues <subject> <dsn> <size>...`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import uvloop

from .subject import Size, Subject, measure


def _roadworthy() -> Subject:
    from .roadworthy_queue import RoadworthyQueue

    return RoadworthyQueue()


def _pgqueuer(batch: int) -> Callable[[], Subject]:
    def make() -> Subject:
        from .pgqueuer_queue import PgqueuerQueue

        return PgqueuerQueue(batch)

    return make


def _procrastinate() -> Subject:
    from .procrastinate_queue import ProcrastinateQueue

    return ProcrastinateQueue()


def _bare() -> Subject:
    from .bare_sql import BareSql

    return BareSql(100)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "roadworthy": _roadworthy,
    "procrastinate": _procrastinate,
    "pgqueuer, batch 10": _pgqueuer(10),
    "pgqueuer, batch 100": _pgqueuer(100),
    "limit: bare SQL, batch 100": _bare,
}


if __name__ == "__main__":
    name, dsn, *numbers = sys.argv[1:]
    size = Size(*map(int, numbers))
    print(json.dumps(uvloop.run(measure(SUBJECTS[name](), dsn, size))))
