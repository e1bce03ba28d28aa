"""What every payload says about itself. It is all that a request waits for; the records are read by a job."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

KINDS = frozenset({"activity", "body", "daily", "sleep"})
"""What can be read. Other kinds are kept, and ignored."""

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(minutes=5)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class PayloadRefused(ValueError):
    """A payload cannot be read; the message says what is wrong with it."""


class Sender(msgspec.Struct, frozen=True):
    """Whose data it is, under the name that the service gave to the provider, and which product measured it."""

    reference: _Name
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]


class Envelope(msgspec.Struct, frozen=True):
    """The head of a payload. `created_at` orders several accounts of one observation. Records are not decoded."""

    event_id: _Name
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    created_at: datetime
    user: Sender


_decode = msgspec.json.Decoder(Envelope).decode


def read(body: bytes, *, now: datetime) -> Envelope:
    """Return the envelope of a payload received `now`; raise PayloadRefused where it is broken or says too little."""
    try:
        envelope = _decode(body)
    except msgspec.ValidationError as error:
        raise PayloadRefused(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadRefused(f"the body is no JSON document: {error}") from None
    if envelope.created_at.tzinfo is None:
        raise PayloadRefused("created_at has no time zone; write it as 2026-01-31T08:30:00Z")
    if not _EARLIEST <= envelope.created_at <= now + _AHEAD:
        raise PayloadRefused("created_at lies in the future, or before the year 2000")
    for name, value in (
        ("event_id", envelope.event_id),
        ("type", envelope.type),
        ("user.reference", envelope.user.reference),
        ("user.source", envelope.user.source),
    ):
        if _CONTROL.search(value):
            raise PayloadRefused(f"{name} holds a control character")
    return envelope
