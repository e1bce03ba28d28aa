"""Commands are packed as the protocol says, and replies found in whatever pieces they come."""

from __future__ import annotations

import importlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import MissingExtra
from roadworthy.redis import protocol
from roadworthy.redis.errors import RedisDown, Refused
from roadworthy.redis.protocol import NOTHING, pack, pack_get, parser

PARTS = st.lists(st.binary(max_size=50) | st.text(max_size=20) | st.integers(-(2**63), 2**63), min_size=1, max_size=5)


def _as_bytes(part: bytes | str | int) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


@given(PARTS)
def test_a_command_is_an_array_of_its_parts(parts: list[bytes | str | int]) -> None:
    reader = parser()
    reader.feed(pack(*parts))
    assert reader.gets() == [_as_bytes(part) for part in parts]


@given(st.binary(max_size=100))
def test_the_hand_packed_get_is_like_the_general_one(key: bytes) -> None:
    assert pack_get(key) == pack("GET", key)


@given(st.data())
def test_replies_may_be_cut_anywhere(data: st.DataObject) -> None:
    wire = b"+OK\r\n$5\r\na\r\nb\x00\r\n$-1\r\n:-7\r\n*2\r\n$1\r\nx\r\n*-1\r\n-ERR no\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader, replies = parser(), []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        reader.feed(wire[start:end])
        while (reply := reader.gets()) is not NOTHING:
            replies.append(reply)
    assert replies[:-1] == [b"OK", b"a\r\nb\x00", None, -7, [b"x", None]]
    assert isinstance(replies[-1], Refused)


def test_another_protocol_is_told_from_redis() -> None:
    reader = parser()
    reader.feed(b"HTTP/1.1 400 Bad Request\r\n")
    with pytest.raises(RedisDown, match="does not speak Redis's protocol"):
        reader.gets()


@pytest.mark.parametrize(
    ("message", "code", "advice"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "maxmemory-policy"),
        ("MOVED 3999 127.0.0.1:6381", "MOVED", "Redis Cluster"),
        ("READONLY You can't write against a read only replica.", "READONLY", "name its primary in REDIS_URL"),
        ("ERR unknown command", "ERR", "unknown command"),
    ],
)
def test_a_refusal_has_a_code_and_says_what_to_do(message: str, code: str, advice: str) -> None:
    refusal = Refused(message)
    assert refusal.code == code
    assert advice in str(refusal)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    monkeypatch.delitem(sys.modules, protocol.__name__)
    with pytest.raises(MissingExtra, match=r"pip install 'roadworthy\[redis\]'"):
        importlib.import_module(protocol.__name__)
