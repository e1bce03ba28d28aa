"""The wire protocol of Redis, RESP2, which every version of Redis and Valkey speaks; the only module to know hiredis.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Protocol

from roadworthy.errors import MissingExtra
from roadworthy.redis.errors import ForeignProtocol, Refused

try:
    import hiredis
except ImportError as error:
    raise MissingExtra("Redis", "redis") from error

NOTHING = object()
"""What a parser gives where the next reply has not come whole."""


class Parser(Protocol):
    """Turns bytes, in whatever pieces they come, into replies: bytes, int, None, a list of these, or a Refused."""

    def feed(self, data: bytes, /) -> None:
        """Take what came."""

    def gets(self) -> object:
        """Return the next reply, or NOTHING. Raise ForeignProtocol for what is none."""


def parser() -> Parser:
    """Return a parser for one connection."""
    return hiredis.Reader(protocolError=ForeignProtocol, replyError=Refused, notEnoughData=NOTHING)


def pack(*parts: str | int | float | bytes) -> bytes:
    """Return a command as it is sent. Text is UTF-8."""
    return hiredis.pack_command(parts)  # type: ignore[arg-type, no-any-return]


def pack_get(key: bytes) -> bytes:
    """Return GET, the hottest command, as it is sent."""
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key)
