"""Signatures of webhooks: HMAC-SHA256 over the moment of signing, a dot, and the body as it came.

    vitals-signature: t=1767225600,v1=5257a869e7ec...,v1=1d9f4b27c0aa...

`t` is Unix time in seconds. A sender that changes its secret signs with both for a while, and a receiver may know both,
so each `v1` is compared with each secret. Other schemes (`v0=`) are passed over.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

HEADER = "vitals-signature"
WINDOW = timedelta(minutes=5)
"""How far the moment of signing may lie from now, either way: an older request is a replay."""

SHORTEST_SECRET = 32
_FEWEST_SYMBOLS = 10
_LONGEST_HEADER = 1024
_MOST_SIGNATURES = 5
_LONGEST_MOMENT = 12


class SignatureRefused(Exception):
    """The request does not prove who sent it, or not when; the message says why and repeats nothing secret."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed header: Unix time in seconds as its sender wrote it, and the digests offered."""

    moment: str
    digests: tuple[str, ...]

    @classmethod
    def parse(cls, header: str) -> Signature:
        """Read a header; raise SignatureRefused where it is none."""
        if len(header) > _LONGEST_HEADER:
            raise SignatureRefused(f"the {HEADER} header is longer than {_LONGEST_HEADER} characters")
        moments, digests = [], []
        for part in header.split(","):
            name, _, value = part.strip().partition("=")
            if name == "t":
                moments.append(value)
            elif name == "v1":
                digests.append(value)
        if len(moments) != 1 or not digests:
            raise SignatureRefused(f"the {HEADER} header must hold one t=<Unix seconds> and a v1=<hexadecimal digest>")
        (moment,) = moments
        if not (moment.isascii() and moment.isdecimal() and len(moment) <= _LONGEST_MOMENT):
            raise SignatureRefused(f"t= in the {HEADER} header is no Unix time in seconds")
        if len(digests) > _MOST_SIGNATURES:
            raise SignatureRefused(f"the {HEADER} header holds more than {_MOST_SIGNATURES} signatures")
        return cls(moment, tuple(digests))


def verify(header: str, body: bytes, secrets: Sequence[bytes], *, now: float) -> None:
    """Check that `body` was signed with one of `secrets` near `now` (Unix time); raise SignatureRefused otherwise.

    Which secret or digest fits takes no different time than that none does.
    """
    signature = Signature.parse(header)
    offered = [digest.encode("utf-8", "surrogateescape") for digest in signature.digests]
    genuine = False
    for secret in secrets:
        expected = digest_of(secret, signature.moment, body).encode()
        for digest in offered:
            genuine |= hmac.compare_digest(expected, digest)
    if not genuine:
        raise SignatureRefused(
            "no signature fits the body; check the secret, and that the body is sent as it was signed"
        )
    # After the digest: a stranger learns nothing of our clock.
    if abs(now - int(signature.moment)) > WINDOW.total_seconds():
        raise SignatureRefused(f"it was signed more than {WINDOW.total_seconds():.0f} s from now; sign it when sending")


def sign(body: bytes, secrets: Sequence[bytes], *, now: float) -> str:
    """Return the header that proves that `body` was sent `now` (Unix time) by who knows `secrets`."""
    moment = str(int(now))
    return ",".join([f"t={moment}", *(f"v1={digest_of(secret, moment, body)}" for secret in secrets)])


def digest_of(secret: bytes, moment: str, body: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of a body signed at `moment`."""
    return hmac.digest(secret, moment.encode() + b"." + body, hashlib.sha256).hex()


def check_secret(secret: str) -> bytes:
    """Return a secret as bytes; raise ValueError with the rule where it could be guessed."""
    if len(secret) < SHORTEST_SECRET or len(set(secret)) < _FEWEST_SYMBOLS:
        raise ValueError(
            f"holds a secret that is too weak; use at least {SHORTEST_SECRET} random characters, as from "
            "`openssl rand -hex 32`"
        )
    return secret.encode()
