from __future__ import annotations

import itertools

import pytest

from roadworthy.errors import DeclarationError
from roadworthy.telemetry.logging import bound as in_context
from roadworthy.telemetry.sampling import bound, is_below
from roadworthy.telemetry.tracing import SPAN, Span, Tracing, current_trace, is_sampled, span, trace_headers
from roadworthy.telemetry.tracing_spec import ErrorReportsSpec, TracingSpec

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now


def tracing(kept: list[Span], clock: Clock | None = None, **spec: object) -> Tracing:
    ids = itertools.count(1)
    return Tracing(
        TracingSpec(**{"sample": 1.0, **spec}),  # type: ignore[arg-type]
        kept.append,
        clock=clock or Clock(),
        random_bytes=lambda size: next(ids).to_bytes(size, "big"),
    )


def test_the_tail_of_the_id_decides() -> None:
    half = bound(0.5)
    assert is_below("f" * 16 + "7" + "f" * 15, half)
    assert not is_below("0" * 16 + "8" + "0" * 15, half)
    assert is_below("f" * 32, bound(1.0))
    assert not is_below("0" * 32, bound(0.0))


def test_who_samples_more_has_what_who_samples_less_has() -> None:
    ids = [f"{number * 0x9E3779B97F4A7C15 % 2**64:032x}" for number in range(1, 2001)]
    few, many = ({one for one in ids if is_below(one, bound(share))} for share in (0.05, 0.2))
    assert few < many
    assert 50 < len(few) < 150


def test_spans_lie_in_one_another() -> None:
    kept: list[Span] = []
    root = tracing(kept).root("GET", "server", TRACE)
    token = SPAN.set(root)
    with span("outer") as outer, span("inner"):
        assert current_trace() == TRACE
    SPAN.reset(token)
    root.end()
    inner, second, last = kept
    assert outer is second
    assert (inner.parent, second.parent, last.parent) == (second.id, root.id, None)
    assert current_trace() is None


def test_a_failure_is_told_by_its_class() -> None:
    kept: list[Span] = []
    token = SPAN.set(tracing(kept).root("GET", "server", TRACE))
    with pytest.raises(ValueError, match="no"), span("failing"):
        raise ValueError("no")
    SPAN.reset(token)
    assert kept[0].error == "ValueError"


def test_a_trace_is_bounded_and_says_what_was_left_out() -> None:
    kept: list[Span] = []
    root = tracing(kept, most_spans=2).root("GET", "server", TRACE)
    for _ in range(5):
        root.record("SELECT", "client", 0.001)
    root.end()
    assert len(kept) == 3
    assert root.attributes["roadworthy.spans_left_out"] == 3


def test_what_begins_after_the_end_is_left_out_and_what_began_before_is_not() -> None:
    kept: list[Span] = []
    clock = Clock()
    root = tracing(kept, clock).root("GET", "server", TRACE)
    root.end()
    clock.now += 5_000_000_000
    assert root.child("late") is None
    root.record("SELECT", "client", 6.0)
    assert [one.name for one in kept] == ["GET", "SELECT"]


def test_outside_a_trace_a_span_is_nothing() -> None:
    with span("nothing") as none:
        assert none is None
    assert trace_headers() == {}


def test_headers_go_on_with_the_trace() -> None:
    root = tracing([]).root("GET", "server", TRACE, state="vendor=1")
    token = SPAN.set(root)
    assert trace_headers() == {"traceparent": f"00-{TRACE}-{root.id}-01", "tracestate": "vendor=1"}
    SPAN.reset(token)
    with in_context(trace_id=TRACE):
        unsampled = trace_headers()["traceparent"]
    assert unsampled.startswith(f"00-{TRACE}-")
    assert not is_sampled(unsampled)


def test_without_a_keeper_nothing_is_sampled() -> None:
    assert not Tracing(TracingSpec(1.0), None).samples("0" * 32)


@pytest.mark.parametrize("sample", [-0.1, 1.5, float("nan")])
def test_a_sample_is_a_share(sample: float) -> None:
    for spec in (TracingSpec, ErrorReportsSpec):
        with pytest.raises(DeclarationError, match="from 0 to 1"):
            spec(sample)


def test_nothing_is_bounded_by_nothing() -> None:
    with pytest.raises(DeclarationError, match="most_spans"):
        TracingSpec(most_spans=0)
    with pytest.raises(DeclarationError, match="per_minute"):
        ErrorReportsSpec(per_minute=0)
