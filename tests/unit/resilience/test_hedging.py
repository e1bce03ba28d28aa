"""Hedging: whichever attempt answers first, at most a share of them, and nothing left running."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError
from roadworthy.resilience.hedging import HedgeSpec, Hedging, Latencies

SOON = timedelta(milliseconds=5)


class Attempts:
    """A function whose attempts do what they are told; it knows which ran, were cancelled, and run."""

    def __init__(self, *does: float | Exception | str) -> None:
        self.does = list(does)
        self.made = 0
        self.cancelled: list[int] = []
        self.running = 0

    async def __call__(self) -> int:
        index = self.made
        self.made += 1
        does = self.does[min(index, len(self.does) - 1)]
        self.running += 1
        try:
            if isinstance(does, Exception):
                raise does
            await asyncio.sleep(30 if isinstance(does, str) else does)
            return index
        except asyncio.CancelledError:
            self.cancelled.append(index)
            raise
        finally:
            self.running -= 1


def _hedging(after: timedelta | None = SOON, share: float = 1.0) -> Hedging:
    return Hedging(HedgeSpec(after, share))


async def test_where_the_first_hangs_the_second_answers_and_the_first_is_cancelled() -> None:
    hedging, attempts = _hedging(), Attempts("hang", 0)
    assert await hedging.call(attempts) == 1
    await hedging.close()
    assert (attempts.cancelled, attempts.running, hedging.sent, hedging.won) == ([0], 0, 1, 1)


async def test_where_the_first_answers_after_all_the_second_is_cancelled() -> None:
    hedging, attempts = _hedging(), Attempts(0.03, "hang")
    assert await hedging.call(attempts) == 0
    await hedging.close()
    assert (attempts.cancelled, attempts.running, hedging.sent, hedging.won) == ([1], 0, 1, 0)


async def test_what_answers_in_time_is_asked_once() -> None:
    hedging, attempts = _hedging(timedelta(seconds=30)), Attempts(0)
    for index in range(10):
        assert await hedging.call(attempts) == index
    assert hedging.sent == 0


async def test_what_fails_in_time_is_not_asked_again() -> None:
    attempts = Attempts(KeyError("a"), 0)
    with pytest.raises(KeyError):
        await _hedging(timedelta(seconds=30)).call(attempts)
    assert attempts.made == 1


async def test_one_that_fails_waits_for_the_other_and_of_two_failures_the_first_is_told() -> None:
    class Late(Attempts):
        async def __call__(self) -> int:
            index = self.made
            self.made += 1
            await asyncio.sleep((0.02, 0.01)[index])
            raise (KeyError("first"), KeyError("second"))[index]

    with pytest.raises(KeyError, match="second"):
        await _hedging().call(Late())
    assert await _hedging().call(Attempts(0.03, KeyError("second"))) == 0


async def test_who_is_cancelled_takes_both_attempts_along() -> None:
    hedging, attempts = _hedging(), Attempts("hang", "hang")
    task = asyncio.create_task(hedging.call(attempts))
    while attempts.made < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await hedging.close()
    assert (sorted(attempts.cancelled), attempts.running) == ([0, 1], 0)


async def test_until_enough_is_known_of_how_long_calls_take_there_is_no_second_attempt() -> None:
    hedging, quick = _hedging(after=None), Attempts(0)
    for _ in range(31):
        await hedging.call(quick)
    assert hedging.latencies.p95 is None
    await hedging.call(quick)
    assert hedging.latencies.p95 is not None
    slow = Attempts("hang", 0)
    assert await hedging.call(slow) == 1


def test_the_percentile_follows_what_is_seen() -> None:
    latencies = Latencies()
    for number in range(320):
        latencies.add(number % 100)
    assert latencies.p95 is not None
    assert 90 <= latencies.p95 <= 97
    for _ in range(320):
        latencies.add(1000)
    assert latencies.p95 == 1000


@settings(max_examples=30, deadline=None)
@given(share=st.sampled_from((0.05, 0.1, 0.3, 1.0)), calls=st.integers(1, 60), together=st.booleans())
def test_second_attempts_never_are_more_than_their_share(share: float, calls: int, together: bool) -> None:
    async def main() -> None:
        hedging = Hedging(HedgeSpec(timedelta(microseconds=1), share))

        async def slow() -> None:
            await asyncio.sleep(0.001)

        if together:
            await asyncio.gather(*(hedging.call(slow) for _ in range(calls)))
            assert hedging.sent <= share * calls
        else:
            for made in range(1, min(calls, 15) + 1):
                await hedging.call(slow)
                assert hedging.sent <= share * made + 1e-9
        await hedging.close()

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [{"after": timedelta(0)}, {"share": 0.0}, {"share": 1.5}])
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DeclarationError):
        HedgeSpec(**wrong)  # type: ignore[arg-type]
