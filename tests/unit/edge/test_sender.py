"""The policy of sending, on a clock that every wait moves on, against an API that answers as it is told."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from roadworthy.edge.api import ACCEPTED, Answer
from roadworthy.edge.cdn import Cdn, cloudflare, fastly
from roadworthy.edge.client import NoResponse
from roadworthy.edge.pace import Patience
from roadworthy.edge.purge import Batch, Kind, Purge
from roadworthy.edge.sender import Ended, Sender, Timing
from roadworthy.telemetry import logging

FREE = cloudflare(zone="abc", plan="free")
QUICK = fastly(service="abc")

Script = Callable[[Batch, int], Answer]


def always(answer: Answer) -> Script:
    return lambda batch, number: answer


@dataclass
class Stage:
    """A sender, its clock, what its API was sent and when, and what it said of it."""

    script: Script
    cdn: Cdn = FREE
    patience: Patience = field(default_factory=Patience)
    capacity: int = 10_000
    now: float = 100.0
    sent: list[tuple[float, str, tuple[str, ...], str]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = itertools.count(1)
        timing = Timing(lambda: self.now, self.sleep, lambda: 0.5, calls=1, patience=self.patience)
        self.sender = Sender(
            self.cdn,
            self,
            self.ended.append,
            timing=timing,
            capacity=self.capacity,
            references=lambda: f"call {next(numbers)}",
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self.now += seconds

    async def send(self, batch: Batch) -> Answer:
        self.sent.append((round(self.now, 3), batch.kind, batch.values, batch.reference))
        return self.script(batch, len(self.sent))

    def ask(self, **what: Any) -> None:
        self.sender.ask(Purge(**what).values)

    @asynccontextmanager
    async def running(self, drain: float = 5.0) -> AsyncIterator[None]:
        self.sender.start()
        try:
            yield
        finally:
            await self.sender.stop(drain)

    async def settle(self) -> None:
        async with self.running():
            await asyncio.wait_for(self.sender.settled(), 60)

    def outcomes(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for end in self.ended:
            counted[end.outcome] = counted.get(end.outcome, 0) + end.count
        return counted


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("json", "debug", stream)
    yield stream
    logging.configure()


async def test_what_is_asked_for_together_goes_out_together_after_the_window() -> None:
    stage = Stage(always(ACCEPTED))
    stage.ask(tags=("b", "a"))
    stage.ask(tags=("a", "c"))
    await stage.settle()

    assert stage.sent == [(100.25, "tag", ("b", "a", "c"), "call 1")]
    assert stage.outcomes() == {"covered": 1, "succeeded": 3}
    assert [end.seconds for end in stage.ended if end.outcome == "succeeded"] == [0.25]
    assert stage.sender.waiting == 0


async def test_no_call_is_larger_than_the_api_takes() -> None:
    stage = Stage(always(ACCEPTED))
    stage.ask(tags=tuple(f"t{number}" for number in range(250)))
    await stage.settle()

    assert [len(values) for _, _, values, _ in stage.sent] == [100, 100, 50]
    assert {value for _, _, values, _ in stage.sent for value in values} == {f"t{number}" for number in range(250)}


async def test_calls_keep_the_pace_of_the_plan() -> None:
    """Free: 25 at once, then 5 a minute."""
    stage = Stage(always(ACCEPTED))
    stage.ask(tags=tuple(f"t{number}" for number in range(2700)))
    await stage.settle()

    times = [at for at, *_ in stage.sent]
    assert times[:25] == [100.0] * 25
    assert times[25:] == [112.0, 124.0]


async def test_a_failed_call_is_repeated_with_its_reference_after_growing_waits() -> None:
    def script(batch: Batch, number: int) -> Answer:
        if number == 1:
            raise NoResponse("ConnectionResetError")
        return Answer("later", "502") if number < 5 else ACCEPTED

    stage = Stage(script)
    stage.ask(tags=("a",))
    await stage.settle()

    assert [at for at, *_ in stage.sent] == [100.25, 100.75, 101.75, 103.75, 107.75]
    assert {reference for *_, reference in stage.sent} == {"call 1"}
    assert stage.outcomes() == {"succeeded": 1}


async def test_retry_after_holds_back_all_calls_and_a_random_wait_is_added() -> None:
    stage = Stage(lambda batch, number: Answer("limited", "429", 30.0) if number == 1 else ACCEPTED)
    stage.ask(tags=("a",), urls=("https://a.example/",))
    await stage.settle()

    times = [at for at, *_ in stage.sent]
    assert times == [100.25, 130.75, 130.75]
    assert [kind for _, kind, _, _ in stage.sent].count("url") >= 1
    assert stage.outcomes() == {"succeeded": 2}


async def test_a_call_that_fails_does_not_hold_back_others() -> None:
    stage = Stage(lambda batch, number: Answer("later", "500") if "a" in batch.values else ACCEPTED)
    stage.ask(tags=("a",))
    stage.ask(urls=("https://a.example/",))
    await stage.settle()

    succeeded = next(end for end in stage.ended if end.outcome == "succeeded")
    assert succeeded.kind == "url"
    assert succeeded.seconds < 1
    assert stage.outcomes() == {"succeeded": 1, "failed": 1}


async def test_one_bad_value_does_not_poison_the_others() -> None:
    def script(batch: Batch, number: int) -> Answer:
        return Answer("invalid", "400 bad tag") if "t37" in batch.values else ACCEPTED

    stage = Stage(script, cdn=QUICK)
    stage.ask(tags=tuple(f"t{number}" for number in range(100)))
    await stage.settle()

    assert stage.outcomes() == {"succeeded": 99, "refused": 1}
    (refused,) = [end for end in stage.ended if end.outcome == "refused"]
    assert refused.values == ("t37",)
    assert refused.reason == "400 bad tag"
    assert len(stage.sent) <= 1 + 2 * 7, "each halving costs two calls"
    references = [reference for *_, reference in stage.sent]
    assert len(set(references)) == len(references)


async def test_wrong_credentials_are_not_tried_again() -> None:
    stage = Stage(always(Answer("denied", "403 Authentication error")))
    stage.ask(tags=("a", "b"))
    await stage.settle()

    assert len(stage.sent) == 1
    assert stage.outcomes() == {"refused": 2}
    assert stage.ended[-1].reason == "403 Authentication error"


async def test_it_gives_up_after_so_many_attempts_and_says_so(log: io.StringIO) -> None:
    stage = Stage(always(Answer("later", "500 broken")), patience=Patience(attempts=4, seconds=1e9))
    stage.ask(urls=("https://a.example/?token=hidden",))
    await stage.settle()

    assert len(stage.sent) == 4
    assert stage.outcomes() == {"failed": 1}
    written = log.getvalue()
    assert "given up" in written
    assert "500 broken" in written
    assert "https://a.example/?…" in written
    assert "hidden" not in written


async def test_it_gives_up_after_so_much_time() -> None:
    stage = Stage(always(Answer("limited", "429", 400.0)), patience=Patience(attempts=1000, seconds=900))
    stage.ask(tags=("a",))
    await stage.settle()

    assert len(stage.sent) == 3
    assert stage.outcomes() == {"failed": 1}
    assert stage.now < 100 + 900 + 1


async def test_too_much_becomes_everything() -> None:
    stage = Stage(always(ACCEPTED), capacity=50)
    stage.ask(tags=tuple(f"t{number}" for number in range(40)))
    stage.ask(urls=tuple(f"https://a.example/{number}" for number in range(40)))
    await stage.settle()

    assert [(kind, values) for _, kind, values, _ in stage.sent] == [("everything", ("",))]
    assert stage.outcomes() == {"covered": 80, "succeeded": 1}


async def test_what_is_asked_for_while_its_call_is_on_its_way_is_sent_again() -> None:
    def script(batch: Batch, number: int) -> Answer:
        if number == 1:
            stage.ask(tags=("a",))
        return ACCEPTED

    stage = Stage(script)
    stage.ask(tags=("a",))
    await stage.settle()

    assert [values for _, _, values, _ in stage.sent] == [("a",), ("a",)]


async def test_a_defect_of_ours_costs_a_repetition_and_not_the_sender() -> None:
    def script(batch: Batch, number: int) -> Answer:
        if number == 1:
            raise KeyError("oops")
        return ACCEPTED

    stage = Stage(script)
    stage.ask(tags=("a",))
    await stage.settle()
    assert stage.outcomes() == {"succeeded": 1}


async def test_a_limit_that_is_given_up_on_still_holds_back_others_but_not_for_ever() -> None:
    stage = Stage(lambda batch, number: Answer("limited", "429", 1e9) if number == 1 else ACCEPTED)
    stage.ask(tags=("a",))
    async with stage.running():
        await asyncio.wait_for(stage.sender.settled(), 60)
        assert stage.outcomes() == {"failed": 1}
        stage.ask(tags=("b",))
        await asyncio.wait_for(stage.sender.settled(), 60)
    assert [at for at, *_ in stage.sent] == [100.25, 1000.25]


async def test_one_who_counts_and_fails_does_not_end_the_sending() -> None:
    stage = Stage(always(ACCEPTED))
    told: list[Ended] = []

    def failing(end: Ended) -> None:
        told.append(end)
        raise KeyError("oops")

    stage.sender._ended = failing
    stage.ask(tags=("a", "a"))
    stage.ask(urls=("https://a.example/",))
    await stage.settle()
    assert [end.outcome for end in told].count("succeeded") == 2


async def test_the_end_sends_what_waits_without_waiting_for_more() -> None:
    stage = Stage(always(ACCEPTED))
    async with stage.running():
        stage.ask(tags=("a",))
    assert stage.sent == [(100.0, "tag", ("a",), "call 1")]
    assert stage.outcomes() == {"succeeded": 1}


async def test_the_end_gives_up_what_does_not_get_through_in_time() -> None:
    hanging = asyncio.Event()
    begun = asyncio.Event()

    class Hanging(Stage):
        async def send(self, batch: Batch) -> Answer:
            begun.set()
            await hanging.wait()
            return ACCEPTED

    stage = Hanging(always(ACCEPTED))
    async with stage.running(drain=0.05):
        stage.ask(tags=("a", "b"))
        await asyncio.wait_for(begun.wait(), 60)
        stage.ask(tags=("c",), urls=("https://a.example/",))
    assert stage.outcomes() == {"failed": 4}
    assert all("process ended" in end.reason for end in stage.ended)


async def test_several_calls_are_on_their_way_at_once() -> None:
    under_way, most = 0, 0

    class Counting:
        async def send(self, batch: Batch) -> Answer:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.001)
            under_way -= 1
            return ACCEPTED

    ended: list[Ended] = []
    sender = Sender(QUICK, Counting(), ended.append, timing=Timing(window=0))
    values: list[tuple[Kind, str]] = [("url", f"https://a.example/{number}") for number in range(20)]
    sender.start()
    sender.ask(values)
    await asyncio.wait_for(sender.settled(), 60)
    await sender.stop(1)
    assert most == 4
    assert sum(end.count for end in ended) == 20
