"""Fallbacks: the first rung that has an answer gives it, and is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError
from roadworthy.resilience.fallback import Answer, Chain, Constant, Fallback, constant, last_known

WHY = ConnectionError("away")


async def _ask(chain: Chain, *args: Any, **kwargs: Any) -> Answer[Any]:
    return await chain.answer(args, kwargs, WHY)


async def test_a_function_is_called_with_the_arguments_of_the_call() -> None:
    async def approximate(address: str, *, country: str) -> str:
        return f"near {address}, {country}"

    def by_hand(address: str, *, country: str) -> str:
        return country

    assert await _ask(Chain([approximate]), "a", country="b") == Answer("near a, b", "approximate", WHY)
    assert await _ask(Chain([by_hand]), "a", country="b") == Answer("b", "by_hand", WHY)


async def test_what_was_last_known_is_answered_until_it_is_too_old() -> None:
    now = 0.0
    chain = Chain([last_known(timedelta(seconds=10)), constant("nothing")], clock=lambda: now)
    assert (await _ask(chain, 1)).rung == "constant"
    chain.learn((1,), {}, "one")
    chain.learn((1.0,), {}, "another one")
    now = 10.0
    assert await _ask(chain, 1) == Answer("one", "last_known", WHY)
    assert (await _ask(chain, 1.0)).value == "another one"
    assert (await _ask(chain, 2)).value == "nothing"
    now = 10.1
    assert (await _ask(chain, 1)).rung == "constant"


async def test_only_so_much_is_remembered_and_nothing_of_what_has_no_hash() -> None:
    chain = Chain([last_known(timedelta(hours=1), entries=2)])
    for number in (1, 2, 1, 3):
        chain.learn((number,), {}, number)
    chain.learn(([],), {}, "list")
    assert [(await _ask(chain, number)).value for number in (1, 3)] == [1, 3]
    unknowns: tuple[Any, ...] = (2, [])
    for unknown in unknowns:
        with pytest.raises(ConnectionError) as caught:
            await _ask(chain, unknown)
        assert caught.value is WHY


async def test_where_no_rung_answers_the_first_error_is_told_and_the_last_one_is_its_cause() -> None:
    def fails() -> None:
        raise KeyError("a")

    with pytest.raises(ConnectionError) as caught:
        await _ask(Chain([fails]))
    assert isinstance(caught.value.__cause__, KeyError)


@given(answers=st.lists(st.booleans(), min_size=1, max_size=5))
async def test_the_rung_that_answered_is_told(answers: list[bool]) -> None:
    def rung(index: int, answers: bool) -> Fallback:
        def function() -> int:
            if not answers:
                raise KeyError(index)
            return index

        function.__name__ = f"rung_{index}"
        return function

    chain = Chain([rung(index, does) for index, does in enumerate(answers)])
    if True in answers:
        first = answers.index(True)
        assert await _ask(chain) == Answer(first, f"rung_{first}", WHY)
    else:
        with pytest.raises(ConnectionError):
            await _ask(chain)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"write constant\(7\)"):
        Chain([7])  # type: ignore[list-item]
    with pytest.raises(DeclarationError, match="a name of its own"):
        Chain([constant(1), constant(2)])
    with pytest.raises(DeclarationError, match="a name of its own"):
        Chain([Constant(1, "call")])
    with pytest.raises(DeclarationError):
        last_known(timedelta(0))
    with pytest.raises(DeclarationError):
        last_known(timedelta(1), entries=0)
