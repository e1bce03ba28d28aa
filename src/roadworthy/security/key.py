"""API keys as text: made, recognised and digested. Pure.

    sitesearch_4fTb81Qz_W3kQ...24 characters...x9mB0uTn2
    └─prefix─┘ └──id──┘ └──────secret──────┘└checksum┘

The prefix says whose key it is, the id is its name in lists and logs, the secret is 142 random bits, and the checksum
is the CRC-32 of all before it, so that a scanner of leaked secrets tells a key from anything else without asking.
GitHub's tokens are made of such parts for the same reasons.

A secret of so many random bits cannot be searched for, so what is kept of a key is a plain SHA-256: a slow hash would
protect nothing more.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""The 62 characters of ids, secrets and checksums."""

ID_LENGTH = 8
SECRET_LENGTH = 24
CHECKSUM_LENGTH = 6
TAIL_LENGTH = 1 + SECRET_LENGTH + CHECKSUM_LENGTH

PREFIX = re.compile(r"[a-z](?:[a-z0-9]|_(?=[a-z0-9])){1,30}")
"""What a declared prefix looks like."""

_ID = re.compile(rf"{PREFIX.pattern}_[0-9A-Za-z]{{{ID_LENGTH}}}")
_SHAPE = re.compile(rf"(?P<id>{_ID.pattern})_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was read: its public id, prefix included, and the SHA-256 of its whole text."""

    id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `text` is the key itself, which exists here alone."""

    id: str
    digest: bytes
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.id!r})"


def make(prefix: str, random: Callable[[int], int] = secrets.randbelow) -> NewKey:
    """Make a key. `random(n)` returns a number from 0 to n - 1 that cannot be guessed."""
    id = f"{prefix}_{_characters(ID_LENGTH, random)}"
    body = f"{id}_{_characters(SECRET_LENGTH, random)}"
    text = body + checksum(body)
    return NewKey(id, digest_of(text), text)


def parse(text: str, prefix: str) -> Key | None:
    """Return the key that a text is, None for one of another prefix, form or checksum.

    That tells a typing mistake from a key; it is no secret, so nothing here needs to take the same time always.
    """
    if len(text) != len(prefix) + 1 + ID_LENGTH + TAIL_LENGTH or not text.startswith(prefix):
        return None
    found = _SHAPE.fullmatch(text)
    if found is None or text[len(prefix)] != "_" or checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return Key(found["id"], digest_of(text))


def id_of(text: str) -> str | None:
    """Return the id that a text is, or that of the key that it is; None for neither."""
    if _ID.fullmatch(text):
        return text
    if _SHAPE.fullmatch(text) is None or checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return text[:-TAIL_LENGTH]


def prefix_of(id: str) -> str:
    """Return the prefix of an id."""
    return id[: -ID_LENGTH - 1]


def checksum(body: str) -> str:
    """Return the CRC-32 (ISO-HDLC, as in zlib) of a text in base 62, with leading zeros."""
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def digest_of(text: str) -> bytes:
    """Return the SHA-256 of a key's text."""
    return hashlib.sha256(text.encode()).digest()


def scanner_pattern(prefix: str) -> str:
    """Return the regular expression by which scanners of leaked secrets find the keys of a prefix."""
    tail = SECRET_LENGTH + CHECKSUM_LENGTH
    return rf"\b{prefix}_[0-9A-Za-z]{{{ID_LENGTH}}}_[0-9A-Za-z]{{{tail}}}\b"


def _characters(count: int, random: Callable[[int], int]) -> str:
    return "".join(ALPHABET[random(len(ALPHABET))] for _ in range(count))
