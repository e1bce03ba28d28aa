from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roadworthy.edge.purge import Backlog, Batch, Kind, Purge, shown
from roadworthy.errors import InvalidPurge


def backlog(*, capacity: int = 100, window: float = 1.0, size: int = 3) -> Backlog:
    numbers = itertools.count()
    return Backlog(
        {"url": size, "tag": size, "prefix": size, "everything": 1}, capacity, window, lambda: f"call {next(numbers)}"
    )


def tags(*values: str) -> list[tuple[Kind, str]]:
    return [("tag", value) for value in values]


def test_what_is_asked_for_within_the_window_goes_into_one_call() -> None:
    waiting = backlog()
    waiting.add(tags("a"), 10)
    assert waiting.add(tags("b", "a"), 10.5) == (1, False)

    assert waiting.take(10.9) is None
    assert waiting.next_at() == 11
    batch = waiting.take(11)
    assert batch is not None
    assert batch.values == ("a", "b")
    assert batch.asked_at == 10
    assert waiting.take(100) is None
    assert waiting.next_at() is None


def test_a_full_call_does_not_wait() -> None:
    waiting = backlog(size=3)
    waiting.add(tags("a", "b", "c", "d"), 10)

    batch = waiting.take(10)
    assert batch is not None
    assert batch.values == ("a", "b", "c")
    assert waiting.take(10) is None, "the fourth waits for others"
    assert waiting.take(10, hurry=True) is not None


def test_kinds_do_not_mix_and_the_one_that_waits_longest_goes_first() -> None:
    waiting = backlog()
    waiting.add([("url", "https://a.example/")], 1)
    waiting.add(tags("a"), 2)
    waiting.add([("prefix", "https://a.example/x")], 3)

    taken = [batch.kind for _ in range(3) if (batch := waiting.take(10)) is not None]
    assert taken == ["url", "tag", "prefix"]


def test_everything_covers_all_that_waits_and_what_comes_until_it_is_sent() -> None:
    waiting = backlog()
    waiting.add(tags("a", "b"), 1)
    repeated = waiting.take(2)
    assert repeated is not None
    waiting.repeat(repeated, 50)
    waiting.add(tags("c"), 2)

    assert waiting.add([("everything", "")], 3) == (3, False)
    assert waiting.add(tags("d"), 3.5) == (1, False)
    assert len(waiting) == 1
    batch = waiting.take(4)
    assert batch is not None
    assert batch.kind == "everything"
    assert waiting.next_at() is None


def test_asking_for_everything_again_and_again_does_not_put_it_off() -> None:
    waiting = backlog(window=1)
    for tenth in range(11):
        waiting.add([("everything", "")], tenth / 10)
    assert waiting.take(1.0) is not None


def test_what_was_tried_before_does_not_cover_what_is_asked_for_later() -> None:
    """Its first attempt may have been accepted, and only the answer lost; a CDN that knows its id does it once."""
    waiting = backlog()
    waiting.add(tags("a"), 1)
    batch = waiting.take(2)
    assert batch is not None
    waiting.repeat(batch, 50)

    assert waiting.add(tags("a"), 3) == (0, False)
    later = waiting.take(4)
    assert later is not None
    assert later.values == ("a",)
    assert later.reference != batch.reference


def test_a_repeated_call_keeps_its_reference_and_the_halves_of_a_split_one_get_new_ones() -> None:
    waiting = backlog(size=3)
    waiting.add(tags("a", "b", "c"), 1)
    batch = waiting.take(1)
    assert batch is not None
    waiting.repeat(batch, 2)
    assert waiting.take(2) is batch

    waiting.split(batch, 2)
    halves = [half for _ in range(2) if (half := waiting.take(2)) is not None]
    assert [half.values for half in halves] == [("a",), ("b", "c")]
    assert len({batch.reference, *(half.reference for half in halves)}) == 3


def test_too_much_becomes_everything() -> None:
    waiting = backlog(capacity=5)
    assert waiting.add(tags("a", "b", "c", "d", "e"), 1) == (0, False)
    assert waiting.add(tags("f"), 1) == (6, True)
    batch = waiting.take(3)
    assert batch is not None
    assert batch.kind == "everything"


def test_a_pause_holds_everything_back() -> None:
    waiting = backlog()
    waiting.add(tags("a"), 1)
    waiting.pause(20)
    waiting.pause(10)
    assert waiting.take(19, hurry=True) is None
    assert waiting.next_at() == 20
    assert waiting.take(20) is not None


class Purging(RuleBasedStateMachine):
    """Asks, sends, fails and splits in any order: nothing is lost, and no call is larger than it may be."""

    SIZE = 3
    CAPACITY = 12

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waiting = backlog(capacity=self.CAPACITY, size=self.SIZE)
        self.on_the_way: list[Batch] = []
        self.due: dict[tuple[Kind, str], float] = {}
        self.first_sent: dict[str, float] = {}

    @rule(
        kind=st.sampled_from(["url", "tag", "prefix"]),
        values=st.lists(st.sampled_from("abcdefgh"), max_size=6),
        gap=st.booleans(),
    )
    def ask(self, kind: Kind, values: list[str], gap: bool) -> None:
        self.now += 1.0 if gap else 0.1
        self.waiting.add([(kind, value) for value in values], self.now)
        self.due.update({(kind, value): self.now for value in values})

    @rule()
    def ask_for_everything(self) -> None:
        self.now += 0.1
        self.waiting.add([("everything", "")], self.now)
        self.due["everything", ""] = self.now

    @rule(hurry=st.booleans())
    def take(self, hurry: bool) -> None:
        self.now += 0.1
        batch = self.waiting.take(self.now, hurry=hurry)
        if batch is not None:
            assert 1 <= len(batch.values) <= self.SIZE
            assert len(set(batch.values)) == len(batch.values)
            self.first_sent.setdefault(batch.reference, self.now)
            self.on_the_way.append(batch)

    @rule(index=st.integers(0, 5), fate=st.sampled_from(["accept", "repeat", "split"]))
    def answer(self, index: int, fate: str) -> None:
        if index >= len(self.on_the_way):
            return
        batch = self.on_the_way.pop(index)
        if fate == "accept":
            self._accept(batch)
        elif fate == "repeat" or len(batch.values) == 1:
            self.waiting.repeat(batch, self.now + 1)
        else:
            self.waiting.split(batch, self.now)

    def _accept(self, batch: Batch) -> None:
        sent = self.first_sent[batch.reference]
        for key, asked in list(self.due.items()):
            covered = batch.kind == "everything" or (key[0] == batch.kind and key[1] in batch.values)
            # Strictly what was asked for before the first attempt: an accepted one may not be done again.
            if covered and asked <= sent:
                del self.due[key]

    @invariant()
    def bounded(self) -> None:
        assert len(self.waiting) <= self.CAPACITY + sum(len(batch.values) for batch in self.on_the_way) + self.SIZE

    def teardown(self) -> None:
        for _ in range(500):
            for batch in self.on_the_way:
                self._accept(batch)
            self.on_the_way.clear()
            self.now += 2
            batch = self.waiting.take(self.now)
            if batch is None:
                break
            self.first_sent.setdefault(batch.reference, self.now)
            self.on_the_way.append(batch)
        assert self.waiting.next_at() is None
        assert self.due == {}, "asked for, and never accepted in a call that was begun afterwards"


TestPurging = Purging.TestCase
TestPurging.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.sampled_from(["url", "tag", "prefix"]), st.text("abc", min_size=1, max_size=4))))
def test_batches_hold_each_value_once_and_no_more_than_fit(values: list[tuple[Kind, str]]) -> None:
    waiting = backlog(capacity=10_000, size=7)
    waiting.add(values, 0)
    taken: list[tuple[Kind, str]] = []
    while (batch := waiting.take(1)) is not None:
        assert len(batch.values) <= 7
        taken += [(batch.kind, value) for value in batch.values]
    assert sorted(taken) == sorted(set(values))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Purge(), "nothing to purge"),
        (lambda: Purge(urls=("/news/",)), "percent-encoded"),
        (lambda: Purge(urls=("https://shop.example/ä",)), "percent-encoded"),
        (lambda: Purge(urls=("https://shop.example/a b",)), "percent-encoded"),
        (lambda: Purge(urls=("ftp://shop.example/",)), "percent-encoded"),
        (lambda: Purge(urls=("https://[::1/",)), "percent-encoded"),
        (lambda: Purge(urls=("https://shop.example:99999/",)), "percent-encoded"),
        (lambda: Purge(urls=("https://shop.example/" + "a" * 9000,)), "8000 characters"),
        (lambda: Purge(urls=("https://shop.example/#top",)), "fragment"),
        (lambda: Purge(urls=("https://me:secret@shop.example/",)), "a user"),
        (lambda: Purge(prefixes=("https://shop.example/?a=1",)), "has a query"),
        (lambda: Purge(tags=("",)), "0 characters"),
        (lambda: Purge(tags=("ä" * 200,)), "1200 characters"),
    ],
)
def test_what_cannot_be_purged_is_refused(make: type[Purge], message: str) -> None:
    with pytest.raises(InvalidPurge, match=message) as refused:
        make()
    assert "secret" not in str(refused.value)


def test_tags_are_spelt_as_responses_bear_them() -> None:
    assert list(Purge(tags=("Site:7", "a b")).values) == [("tag", "site:7"), ("tag", "a%20b")]
    assert list(Purge(tags=("a",), everything=True).values) == [("everything", "")]


def test_a_query_is_not_shown() -> None:
    assert shown("https://shop.example/?token=abc") == "https://shop.example/?…"
    assert shown("site:7") == "site:7"
    assert len(shown("a" * 999)) == 201
