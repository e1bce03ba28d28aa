"""How deeply JSON is nested, told without parsing it: parsers recurse, and what they build is walked again.

It takes time in proportion to the text, and for the usual body no more than counting its brackets.
"""

from __future__ import annotations

import re
from itertools import accumulate

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STEP = [1 if character in b"[{" else -1 if character in b"]}" else 0 for character in range(256)]
_NO_BRACKET = bytes(character for character in range(256) if not _STEP[character])


class TooDeep(ValueError):
    """JSON is nested more deeply than it may be."""


class Nesting:
    """Follows the depth of a text that comes in parts. What is no JSON is left to the parser."""

    __slots__ = ("_depth", "_escaping", "_in_string", "_most")

    def __init__(self, most: int) -> None:
        """Let it be nested `most` levels deep."""
        self._most = most
        self._depth = 0
        self._in_string = False
        self._escaping = False

    def feed(self, part: bytes, *, last: bool) -> None:
        """Read on. Raises TooDeep."""
        if last and self._depth == 0 and not self._in_string and part.count(b"[") + part.count(b"{") <= self._most:
            return
        if self._escaping:
            part = b"\\" + part
        if b"\\" in part:
            part = _ESCAPED.sub(b"", part)
            self._escaping = part.endswith(b"\\")
        else:
            self._escaping = False
        pieces = part.split(b'"')
        outside = pieces[1 if self._in_string else 0 :: 2]
        self._in_string ^= len(pieces) % 2 == 0
        brackets = b"".join(outside).translate(None, _NO_BRACKET)
        if not brackets:
            return
        depths = list(accumulate(map(_STEP.__getitem__, brackets), initial=self._depth))
        if max(depths) > self._most:
            raise TooDeep(f"the JSON is nested more than {self._most} levels deep")
        self._depth = max(depths[-1], 0)
