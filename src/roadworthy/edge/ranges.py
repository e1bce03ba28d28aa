"""Parts of a stored response (RFC 9110, section 14): one range of bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BYTES = re.compile(rb"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `first` up to and without `end`, of `length`."""

    first: int
    end: int
    length: int

    @property
    def content_range(self) -> bytes:
        """The value of `Content-Range`."""
        return b"bytes %d-%d/%d" % (self.first, self.end - 1, self.length)


class UnsatisfiableRange(ValueError):
    """No byte of the content is in the range: the answer is 416."""


def part(value: bytes, length: int) -> Part | None:
    """Return the part of a content of `length` bytes that `Range` asks for, None where the whole is to be sent.

    That is so for other units, for what is malformed, and for several ranges: a server may ignore those.

    Raises:
        UnsatisfiableRange: nothing is in the range.
    """
    match = _BYTES.fullmatch(value.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        last = int(match[2])
        if last == 0 or length == 0:
            raise UnsatisfiableRange
        return Part(max(0, length - last), length, length)
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    if first >= length:
        raise UnsatisfiableRange
    return Part(first, min(length, int(match[2]) + 1) if match[2] else length, length)
