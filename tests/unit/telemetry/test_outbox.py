from __future__ import annotations

import threading
import time

from roadworthy.telemetry.outbox import Outbox


def until(true: object) -> None:
    for _ in range(3000):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


async def test_what_is_put_arrives_in_order_and_in_batches() -> None:
    sent: list[list[int]] = []
    box: Outbox[int] = Outbox("numbers", sent.append, size=100, batch=4, every=0.01)
    for number in range(10):
        assert box.put(number)
    await box.close(30)
    assert [one for batch in sent for one in batch] == list(range(10))
    assert max(map(len, sent)) <= 4
    assert (box.counts.exported, box.counts.dropped, box.counts.failed) == (10, 0, 0)
    assert not box.put(11)
    assert box.counts.dropped == 1


async def test_a_receiver_that_hangs_fills_the_queue_and_delays_nobody() -> None:
    over, begun = threading.Event(), threading.Event()

    def hang(_: list[int]) -> None:
        begun.set()
        over.wait(60)

    box: Outbox[int] = Outbox("numbers", hang, size=10, batch=1, every=0.01)
    box.put(0)
    assert begun.wait(30)
    taken = sum(box.put(number) for number in range(100))
    assert taken == len(box) == 10
    assert box.counts.dropped == 90
    await box.close(0.05)
    assert box.counts.dropped == 101
    over.set()


async def test_what_is_refused_is_counted() -> None:
    def refuse(_: list[int]) -> None:
        raise OSError("nobody there")

    box: Outbox[int] = Outbox("numbers", refuse, size=10, batch=5, every=0.01)
    for number in range(5):
        box.put(number)
    until(lambda: box.counts.failed == 5)
    await box.close(30)
    assert (box.counts.exported, box.counts.dropped) == (0, 0)


async def test_one_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    box: Outbox[int] = Outbox("numbers", lambda _: None, size=1, batch=1)
    await box.close()
    assert threading.active_count() == before
