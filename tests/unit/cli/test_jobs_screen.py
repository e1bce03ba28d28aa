"""What `roadworthy jobs top` shows, and how it fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy.cli.jobs.screen import View, lines
from roadworthy.cli.jobs.workers import duration, state
from roadworthy.jobs.metrics import DURATION_BUCKETS
from roadworthy.jobs.operations import Pause, QueueCounts
from roadworthy.jobs.overview import longest, queue_lines
from roadworthy.jobs.workers import LongJob, QueueReport, WorkerRecord, WorkerReport, consumers

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)


def buckets(*durations: float) -> list[int]:
    return [sum(one <= bound for one in durations) for bound in (*DURATION_BUCKETS, float("inf"))]


def worker(
    name: str = "worker-mail-1",
    *,
    silent: float = 1.0,
    consumes: bool = True,
    retiring: bool = False,
    queue: str = "mail",
    running: list[LongJob] | None = None,
) -> WorkerRecord:
    report = QueueReport(
        10, 2, 3, 0, {"succeeded": 40, "retried": 5, "dead": 5, "released": 9}, buckets(0.02, 0.02), buckets(3.0)
    )
    return WorkerRecord(
        name,
        "here",
        77,
        AT - timedelta(hours=3),
        AT,
        timedelta(seconds=silent),
        consumes,
        WorkerReport({queue: report}, 5.0, running or [], retiring),
    )


COUNTS = [
    QueueCounts("mail", 1, 1234567, 2, 4, 5, 6, AT - timedelta(seconds=75)),
    QueueCounts("off", 0, 0, 0, 1, 0, 0, None),
]


def view(*workers: WorkerRecord) -> View:
    pauses = [Pause("off", None, AT, "ann", ""), Pause("mail", "send", AT, "ann", "")]
    return View(AT, queue_lines(COUNTS, workers, pauses, AT), workers, longest(workers))


def test_a_queue_is_summed_up_over_its_workers() -> None:
    workers = [worker(), worker("worker-mail-2"), worker("gone", silent=99), worker("stalled", consumes=False)]
    mail, off, other = queue_lines(COUNTS, [*workers, worker("else", queue="other")], [], AT)
    assert (mail.ready, mail.blocked, mail.held, mail.dead, mail.oldest_ready) == (1234567, 5, 6, 4, 75.0)
    assert (mail.workers, mail.slots) == (2, 30)
    assert (mail.per_second, mail.failures_per_second) == (30.0, 6.0)
    assert mail.wait_p50 == pytest.approx(0.0175)
    assert mail.run_p95 == pytest.approx(4.875)
    assert (off.workers, off.per_second, off.wait_p50, off.oldest_ready) == (0, 0.0, None, None)
    assert (other.queue, other.ready, other.workers) == ("other", 0, 1)


def test_one_that_retires_is_not_counted_on() -> None:
    assert consumers([worker(), worker(retiring=True), worker(consumes=False), worker(silent=60)]) == {"mail": 1}


def test_the_longest_come_first_and_grow_between_reports() -> None:
    one = worker(running=[LongJob(1, "mail", "send", 1, 10.0), LongJob(2, "mail", "send", 2, 4.0)])
    two = worker("worker-mail-2", running=[LongJob(3, "mail", "sweep", 1, 7.0)], silent=2.0)
    gone = worker("gone", running=[LongJob(4, "mail", "sweep", 1, 70.0)], silent=60.0)
    assert [(job.id, job.seconds, job.worker) for job in longest([one, two, gone], 2)] == [
        (1, 11.0, "worker-mail-1"),
        (3, 9.0, "worker-mail-2"),
    ]


def test_everything_is_shown_where_there_is_room() -> None:
    ill = worker("worker-mail-2", consumes=False)
    shown = lines(view(worker(running=[LongJob(1, "mail", "send", 1, 10.0)]), ill))
    assert "1 working" in shown[0]
    assert "1 stalled" in shown[0]
    assert "20.0 done/s  4.0 failed/s" in shown[0]
    mail = next(line for line in shown if line.startswith("mail"))
    assert mail.split()[:8] == ["mail", "1,234,567", "2", "5", "1", "6", "4", "01:15"]
    assert any(line.startswith("off (paused)") for line in shown)
    assert any("11.0 s" in line and "send" in line for line in shown)
    names = [line.split()[0] for line in shown if line.startswith("worker-")]
    assert names == ["worker-mail-2", "worker-mail-1"], "those that need a look come first"


@pytest.mark.parametrize("height", range(1, 16))
@pytest.mark.parametrize("width", [20, 80, 200])
def test_it_fits_into_any_terminal(width: int, height: int) -> None:
    shown = lines(
        view(*(worker(f"w{n}", running=[LongJob(n, "mail", "send", 1, 1.0)]) for n in range(9))), width, height
    )
    assert len(shown) <= max(height, 2)
    assert all(len(line) <= width for line in shown)
    assert shown[-1] or len(shown) <= 2, "no room is left for a blank line at the end"


def test_old_counts_and_trouble_are_told() -> None:
    shown = lines(replace(view(), counted_ago=12.3, trouble="PostgreSQL is away"))
    assert "counted 12.3 s ago" in shown[0]
    assert shown[1] == "PostgreSQL is away"
    assert lines(View(AT, (), (), ()))[2] == "no queue holds a job or has a worker"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0 ms"), (0.0124, "12 ms"), (3.44, "3.4 s"), (306, "05:06"), (93784, "1 day, 2:03:04")],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_worker_is_in_one_state() -> None:
    assert [state(one) for one in (worker(), worker(silent=31), worker(consumes=False), worker(retiring=True))] == [
        "working",
        "vanished",
        "stalled",
        "retiring",
    ]
