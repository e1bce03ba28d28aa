"""Messages of changes are read as the scripts write them, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.redis_changes import changes_of, sender_of
from roadworthy.cache.store import Action, Change

ACTIONS: list[Action] = ["set", "delete", "tag"]
CHANGES = st.tuples(st.sampled_from(ACTIONS), st.text(max_size=30), st.integers(0, 2**63 - 1))


def _message(sender: int, changes: list[tuple[Action, str, int]]) -> bytes:
    parts = [
        action[0].encode() + struct.pack(">QI", stamp, len(name.encode())) + name.encode()
        for action, name, stamp in changes
    ]
    return sender_of(sender) + b"".join(parts)


@given(st.integers(0, 4095), st.lists(CHANGES, max_size=5))
def test_several_changes_are_in_one_message(sender: int, changes: list[tuple[Action, str, int]]) -> None:
    assert changes_of(_message(sender, changes)) == [
        Change(action, name, stamp, sender) for action, name, stamp in changes
    ]


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(message: bytes) -> None:
    with contextlib.suppress(ValueError):
        changes_of(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "cannot be read"),
        (b"\x02" + _message(1, [("set", "a", 5)])[1:], "version 2"),
        (_message(1, [("set", "abc", 5)])[:-1], "ends 1 bytes early"),
        (_message(1, [("set", "abc", 5)])[:-5], "cannot be read"),
        (b"\x01\x00\x01x" + bytes(12), "cannot be read"),
    ],
)
def test_what_cannot_be_understood_is_said(message: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        changes_of(message)
