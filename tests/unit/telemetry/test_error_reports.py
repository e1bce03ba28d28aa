from __future__ import annotations

from roadworthy.telemetry.error_reports import ErrorReport, ErrorReports
from roadworthy.telemetry.logging import bound
from roadworthy.telemetry.masking import MASK, scrubbed
from roadworthy.telemetry.outbox import Counts
from roadworthy.telemetry.tracing_spec import ErrorReportsSpec


class Box:
    def __init__(self) -> None:
        self.counts = Counts()
        self.items: list[ErrorReport] = []

    def put(self, item: ErrorReport) -> bool:
        self.items.append(item)
        return True


def test_each_error_is_told_once_with_its_ids() -> None:
    box = Box()
    reports = ErrorReports(ErrorReportsSpec(), box, wall_clock=lambda: 5.0)  # type: ignore[arg-type]
    error = ValueError()
    with bound(request_id="r", user="somebody"):
        assert reports.report(error, method="GET")
        assert not reports.report(error)
    (told,) = box.items
    assert told.tags == {"request_id": "r", "method": "GET"}
    assert told.moment == 5.0


def test_no_more_than_a_minutes_worth_is_told() -> None:
    box, now = Box(), [0.0]
    reports = ErrorReports(ErrorReportsSpec(per_minute=6), box, clock=lambda: now[0])  # type: ignore[arg-type]
    assert sum(reports.report(ValueError()) for _ in range(20)) == 6
    assert box.counts.dropped == 14
    now[0] = 20.0
    assert sum(reports.report(ValueError()) for _ in range(20)) == 2


def test_a_share_is_told() -> None:
    box, drawn = Box(), iter([0.05, 0.5, 0.09, 0.1])
    reports = ErrorReports(ErrorReportsSpec(0.1), box, draw=lambda: next(drawn))  # type: ignore[arg-type]
    assert [reports.report(ValueError()) for _ in range(4)] == [True, False, True, False]
    assert box.counts.dropped == 0


def test_what_is_told_is_scrubbed_however_deep() -> None:
    secret = "k7Qz93mXw2LpV5tR"
    deep = {"a": [{"b": [{"c": {"d": [f"it is {secret}"], "token": "x"}}]}]}
    assert scrubbed(deep, [secret]) == {"a": [{"b": [{"c": {"d": [f"it is {MASK}"], "token": MASK}}]}]}
    assert scrubbed("password=hunter2, api_key: 'abc' for me@example.org", []) == (
        f"password={MASK}, api_key: '{MASK}' for {MASK}"
    )
    assert scrubbed("Authorization: Bearer abc.def", []) == f"Authorization: Bearer {MASK}"
    assert scrubbed("order 17 failed after 3 s", ["abc"]) == "order 17 failed after 3 s"
