"""What a process knows of changes, and what it does not vouch for."""

from __future__ import annotations

from roadworthy.cache.knowledge import Knowledge


def test_what_was_overtaken_is_not_permitted() -> None:
    knowledge = Knowledge()
    mark = knowledge.mark()
    assert knowledge.permits("a", 5, mark)
    knowledge.note("a", 6)
    assert not knowledge.permits("a", 5, mark)
    assert knowledge.permits("a", 6, mark)
    assert knowledge.permits("b", 1, mark)
    assert knowledge.permits("a", 5, knowledge.mark())
    knowledge.note("a", 3)
    assert knowledge.newest("a") == 6


def test_more_changes_than_it_remembers_permit_nothing() -> None:
    knowledge = Knowledge(most_names=3)
    mark = knowledge.mark()
    for n in range(3):
        knowledge.note(str(n), n)
    assert knowledge.permits("x", 1, mark)
    knowledge.note("3", 3)
    assert not knowledge.permits("x", 1, mark)


def test_an_interruption_permits_nothing_and_knows_no_tag() -> None:
    knowledge = Knowledge()
    mark = knowledge.mark()
    knowledge.tag("t", 5)
    knowledge.interrupt()
    assert not knowledge.permits("a", 5, mark)
    assert knowledge.stamp_of("t") is None
    assert knowledge.unknown(["t"]) == ["t"]


def test_a_tags_stamp_never_falls_and_is_news_where_it_rises() -> None:
    knowledge = Knowledge()
    assert not knowledge.tag("t", 0)
    assert knowledge.tag("t", 5)
    assert not knowledge.tag("t", 4)
    assert knowledge.stamp_of("t") == 5


def test_forgotten_tags_leave_the_newest_of_their_stamps() -> None:
    knowledge = Knowledge(most_tags=2)
    for tag, stamp in (("a", 9), ("b", 5), ("c", 1)):
        knowledge.tag(tag, stamp)
    assert knowledge.stamp_of("a") is None
    assert knowledge.floor == 9


def test_guesses_are_forgotten_once() -> None:
    knowledge = Knowledge()
    knowledge.tag("t", 0, guessed=True)
    assert knowledge.forget_guesses()
    assert not knowledge.forget_guesses()
    assert knowledge.stamp_of("t") is None
