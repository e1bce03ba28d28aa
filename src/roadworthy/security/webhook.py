"""Signatures of webhooks: HMAC-SHA256 over the body and, where the format has it, the moment of signing.

A sender that changes its secret signs with both for a while, and a receiver may know both: each signature offered is
compared with each secret, in a time that does not tell which fits. A format with a moment refuses what was signed too
long ago, or ahead; one without cannot, so keep what was received under its id or digest.

The formats are those that their senders document: Stripe, Terra, GitHub, Slack, Shopify, and Standard Webhooks 1.0.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from roadworthy.errors import DeclarationError, SignatureRefused

WINDOW = timedelta(minutes=5)
"""How far the moment of signing may lie from now, either way, where nothing else is said."""

_LONGEST_HEADER = 1024
_MOST_SIGNATURES = 5
_LONGEST_MOMENT = 12
_LONGEST_ID = 256
_HEADER = re.compile(r"[a-z0-9-]+")
_ID = re.compile(r"[!-~]+")
_PLACES = {"{moment}", "{id}"}


class Signed(NamedTuple):
    """What a genuine request says of itself: Unix time in seconds of its signing, and its sender's id of it."""

    moment: int | None
    id: str | None


@dataclass(frozen=True, slots=True)
class WebhookFormat:
    """How a sender writes its signatures.

    `header` carries them, each after `prefix`, several apart by `separator`. The moment is in the header of `moment`,
    or for "t" in the same one. `id` is the header of the message's id. `before` is what is signed before the body, with
    `{moment}` and `{id}` in it. `keys` says whether a secret's text is the key, or has it in base64 after "whsec_".

    Raises DeclarationError where these do not fit together.
    """

    name: str
    header: str
    prefix: str = ""
    separator: str | None = None
    moment: str | None = None
    id: str | None = None
    before: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    keys: Literal["text", "whsec"] = "text"

    def __post_init__(self) -> None:
        """Refuse what cannot be read or signed."""
        for header in (self.header, self.moment, self.id):
            if header is not None and not _HEADER.fullmatch(header):
                raise DeclarationError(
                    f"webhook format {self.name!r} has the header {header!r}; write it in lower-case letters, digits "
                    "and hyphens"
                )
        used = {place for place in _PLACES if place in self.before}
        known = {place for place, header in (("{moment}", self.moment), ("{id}", self.id)) if header is not None}
        if used != known:
            raise DeclarationError(
                f"webhook format {self.name!r} signs {self.before!r} and knows {sorted(known)}; what is known and not "
                "signed could be forged, and what is signed must be known"
            )
        if self.moment == "t" and self.separator != ",":
            raise DeclarationError(
                f"webhook format {self.name!r} has its moment among the signatures; separate them by ','"
            )

    def verify(
        self,
        headers: Mapping[bytes, bytes],
        body: bytes,
        secrets: Sequence[bytes],
        *,
        now: float,
        window: timedelta = WINDOW,
    ) -> Signed:
        """Check that a request was signed with one of `secrets`, at most `window` from `now` (Unix time in seconds).

        `headers` are those of an ASGI scope by name, `body` the request's as it came, `secrets` made by `key_of`.

        Raises SignatureRefused, which says why and repeats nothing secret.
        """
        moment, digests = self._parsed(self._text(headers, self.header, _LONGEST_HEADER))
        if self.moment is not None and self.moment != "t":
            moment = self._text(headers, self.moment, _LONGEST_MOMENT)
        identity = None
        if self.id is not None:
            identity = self._text(headers, self.id, _LONGEST_ID)
            if not _ID.fullmatch(identity):
                raise SignatureRefused(f"the {self.id} header holds what is no id")
        if self.moment is not None and not (moment.isascii() and moment.isdecimal() and len(moment) <= _LONGEST_MOMENT):
            where = f"t= in the {self.header} header" if self.moment == "t" else f"the {self.moment} header"
            raise SignatureRefused(f"{where} is no Unix time in seconds")
        offered = [digest.encode("utf-8", "surrogateescape") for digest in digests]
        genuine = False
        for secret in secrets:
            expected = self._digest(secret, moment, identity, body).encode()
            for digest in offered:
                genuine |= hmac.compare_digest(expected, digest)
        if not genuine:
            raise SignatureRefused(
                "no signature fits the body; check the secret, and that the body is sent as it was signed"
            )
        if self.moment is None:
            return Signed(None, identity)
        # After the digest: a stranger learns nothing of our clock.
        if abs(now - int(moment)) > window.total_seconds():
            raise SignatureRefused(
                f"it was signed more than {window.total_seconds():.0f} s from now; sign it when sending"
            )
        return Signed(int(moment), identity)

    def sign(self, body: bytes, secrets: Sequence[bytes], *, now: float, id: str | None = None) -> dict[str, str]:
        """Return the headers that prove that `body` was sent `now` (Unix time in seconds) by who knows `secrets`.

        `id` is the message's, the same each time that it is sent, for a format that signs one.

        Raises ValueError where the id is missing or no id, or the format carries one signature and not so many.
        """
        if (self.id is None) != (id is None) or (id is not None and not (_ID.fullmatch(id) and len(id) <= _LONGEST_ID)):
            raise ValueError(
                f"the format {self.name!r} signs {'no' if self.id is None else 'a printable'} id, not {id!r}"
            )
        if len(secrets) > (1 if self.separator is None else _MOST_SIGNATURES) or not secrets:
            raise ValueError(f"the format {self.name!r} cannot carry the signatures of {len(secrets)} secrets")
        moment = str(int(now))
        parts = [self.prefix + self._digest(secret, moment, id, body) for secret in secrets]
        headers = {}
        if self.moment == "t":
            parts.insert(0, f"t={moment}")
        elif self.moment is not None:
            headers[self.moment] = moment
        if self.id is not None and id is not None:
            headers[self.id] = id
        headers[self.header] = (self.separator or "").join(parts)
        return headers

    def key_of(self, secret: str) -> bytes:
        """Return the key that a secret's text stands for. Raises ValueError where it is none, without repeating it."""
        if self.keys == "text":
            return secret.encode()
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (ValueError, binascii.Error):
            raise ValueError("holds no base64; copy the secret as it is shown, `whsec_` included") from None

    def _parsed(self, header: str) -> tuple[str, list[str]]:
        """Return the moment, empty where the header has none, and the signatures offered."""
        moments, digests = [], []
        for part in header.split(self.separator) if self.separator is not None else (header,):
            written = part.strip()
            if self.moment == "t" and written.startswith("t="):
                moments.append(written[2:])
            elif written.startswith(self.prefix):
                digests.append(written[len(self.prefix) :])
        wanted = f"{self.prefix}<{'hexadecimal' if self.encoding == 'hex' else 'base64'} digest>"
        if self.moment == "t" and (len(moments) != 1 or not digests):
            raise SignatureRefused(f"the {self.header} header must hold one t=<Unix seconds> and a {wanted}")
        if not digests or not header:
            raise SignatureRefused(f"the {self.header} header must hold a {wanted}")
        if len(digests) > _MOST_SIGNATURES:
            raise SignatureRefused(f"the {self.header} header holds more than {_MOST_SIGNATURES} signatures")
        return (moments[0] if moments else ""), digests

    def _digest(self, secret: bytes, moment: str, identity: str | None, body: bytes) -> str:
        before = self.before
        if before:
            before = before.replace("{moment}", moment)
            if identity is not None:
                before = before.replace("{id}", identity)
        digest = hmac.digest(secret, before.encode() + body, hashlib.sha256)
        return digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()

    @staticmethod
    def _text(headers: Mapping[bytes, bytes], name: str, longest: int) -> str:
        value = headers.get(_encoded(name), b"")
        if len(value) > longest:
            raise SignatureRefused(f"the {name} header is longer than {longest} characters")
        return value.decode("latin-1")


@functools.cache
def _encoded(name: str) -> bytes:
    """Return a header's name as ASGI has it; formats are few."""
    return name.encode()


STRIPE = WebhookFormat("stripe", "stripe-signature", "v1=", ",", moment="t", before="{moment}.")
TERRA = WebhookFormat("terra", "terra-signature", "v1=", ",", moment="t", before="{moment}.")
GITHUB = WebhookFormat("github", "x-hub-signature-256", "sha256=")
SLACK = WebhookFormat("slack", "x-slack-signature", "v0=", moment="x-slack-request-timestamp", before="v0:{moment}:")
SHOPIFY = WebhookFormat("shopify", "x-shopify-hmac-sha256", encoding="base64")
STANDARD = WebhookFormat(
    "standard",
    "webhook-signature",
    "v1,",
    " ",
    moment="webhook-timestamp",
    id="webhook-id",
    before="{id}.{moment}.",
    encoding="base64",
    keys="whsec",
)
