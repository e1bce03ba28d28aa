"""The operator's key and sessions: only what was given out is recognised, and not for ever."""

from __future__ import annotations

from vitals.operating.session import LASTING, Operator

KEY = "f3a9c07d5be1428896d1e0a7c4b2356f"


class Clock:
    """Unix time that stands still."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_recognised_until_it_expires() -> None:
    clock = Clock()
    operator = Operator(KEY, clock=clock)
    cookie = operator.begin()
    assert operator.recognises(cookie)
    clock.now += LASTING.total_seconds() - 1
    assert operator.recognises(cookie)
    clock.now += 1
    assert not operator.recognises(cookie)


def test_nothing_else_is_recognised() -> None:
    operator = Operator(KEY)
    cookie = operator.begin()
    expiry, _, seal = cookie.partition(".")
    forged = ["", ".", cookie[:-1], f"{int(expiry) + 1}.{seal}", f"x.{seal}", f"{expiry}.", "é" * 300, "\udcff.\udcff"]
    assert not [each for each in forged if operator.recognises(each)]
    assert not Operator(KEY[::-1]).recognises(cookie)


def test_a_token_belongs_to_one_session() -> None:
    operator = Operator(KEY)
    cookie = operator.begin()
    token = operator.token_of(cookie)
    assert operator.accepts(cookie, token)
    assert not operator.accepts(cookie + "0", token)
    assert not operator.accepts(cookie, "")
    assert not operator.recognises(token)


def test_the_key_itself() -> None:
    operator = Operator(KEY)
    assert operator.knows(KEY)
    assert not operator.knows(KEY[:-1])
    assert not operator.knows("")
