"""Signatures prove who sent a body and when, to whoever knows one of the secrets, and to nobody else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import DeclarationError, SignatureRefused
from roadworthy.security.webhook import (
    GITHUB,
    SHOPIFY,
    SLACK,
    STANDARD,
    STRIPE,
    TERRA,
    Signed,
    WebhookFormat,
)

SECRET = b"one secret of more than enough characters"
OTHER = b"another secret which has as many of them"
NOW = 1_770_000_000.5
FORMATS = (STRIPE, TERRA, GITHUB, SLACK, SHOPIFY, STANDARD)
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def verify(header: str, body: bytes, secrets: Sequence[bytes], *, now: float) -> None:
    """As a receiver of the usual format."""
    value = header.encode("latin-1", "replace")
    STRIPE.verify({b"stripe-signature": value}, body, secrets, now=now)


def sign(body: bytes, secrets: Sequence[bytes], *, now: float) -> str:
    """As a sender of the usual format."""
    return STRIPE.sign(body, secrets, now=now)["stripe-signature"]


def as_received(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


def test_the_digest_is_that_of_the_moment_a_dot_and_the_body() -> None:
    expected = hmac.new(SECRET, b"1770000000.{}", hashlib.sha256).hexdigest()
    assert sign(b"{}", [SECRET], now=NOW) == f"t=1770000000,v1={expected}"


@given(st.binary(), st.floats(0, 10**10))
def test_what_was_signed_is_believed(body: bytes, now: float) -> None:
    verify(sign(body, [SECRET], now=now), body, [SECRET], now=now)


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_another_body_is_refused(body: bytes, other: bytes) -> None:
    if body == other:
        return
    with pytest.raises(SignatureRefused):
        verify(sign(body, [SECRET], now=NOW), other, [SECRET], now=NOW)


@given(st.text(max_size=200))
def test_any_other_header_is_refused_and_breaks_nothing(header: str) -> None:
    with pytest.raises(SignatureRefused):
        verify(header, b"{}", [SECRET], now=NOW)


@pytest.mark.parametrize("signed_with", [[SECRET], [OTHER], [SECRET, OTHER], [b"gone" * 10, OTHER]])
def test_either_secret_holds_while_one_replaces_the_other(signed_with: list[bytes]) -> None:
    verify(sign(b"{}", signed_with, now=NOW), b"{}", [SECRET, OTHER], now=NOW)


def test_no_secret_believes_nothing() -> None:
    with pytest.raises(SignatureRefused, match="no signature fits"):
        verify(sign(b"{}", [SECRET], now=NOW), b"{}", [], now=NOW)
    with pytest.raises(SignatureRefused, match="no signature fits"):
        verify(sign(b"{}", [OTHER], now=NOW), b"{}", [SECRET], now=NOW)


@pytest.mark.parametrize("off", [-301, 302, 10**9, -(10**9)])
def test_a_replay_is_refused_from_the_past_and_the_future(off: int) -> None:
    with pytest.raises(SignatureRefused, match="300 s"):
        verify(sign(b"{}", [SECRET], now=NOW + off), b"{}", [SECRET], now=NOW)


@pytest.mark.parametrize("off", [-300, 0, 300])
def test_clocks_may_differ_by_minutes(off: int) -> None:
    verify(sign(b"{}", [SECRET], now=1000 + off), b"{}", [SECRET], now=1000)


def test_the_moment_cannot_be_changed_without_the_secret() -> None:
    header = sign(b"{}", [SECRET], now=NOW - 1000).replace(f"t={int(NOW - 1000)}", f"t={int(NOW)}")
    with pytest.raises(SignatureRefused, match="no signature fits"):
        verify(header, b"{}", [SECRET], now=NOW)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "must hold one t="),
        ("t=1", "must hold one t="),
        ("v1=ab", "must hold one t="),
        ("t=1,t=1,v1=ab", "must hold one t="),
        ("t=1,v0=ab", "must hold one t="),
        ("t=x,v1=ab", "no Unix time"),
        ("t=-5,v1=ab", "no Unix time"),
        ("t=1.5,v1=ab", "no Unix time"),
        ("t=٣,v1=ab", "no Unix time"),
        ("t=1234567890123,v1=ab", "no Unix time"),
        ("t=1" + ",v1=ab" * 6, "more than 5"),
        ("t=1,v1=" + "a" * 2000, "longer than"),
        ("t=1,v1=é", "no signature fits"),
        ("t=1,v1=", "no signature fits"),
    ],
)
def test_a_bad_header_is_told_what_is_wrong(header: str, reason: str) -> None:
    with pytest.raises(SignatureRefused, match=reason):
        verify(header, b"{}", [SECRET], now=1)


def test_the_reason_repeats_no_secret_and_no_digest() -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(sign(b"{}", [OTHER], now=NOW), b"{}", [SECRET], now=NOW)
    digest = hmac.new(SECRET, b"1770000000.{}", hashlib.sha256).hexdigest()
    assert digest not in str(caught.value)
    assert SECRET.decode() not in str(caught.value)


@pytest.mark.parametrize(
    ("format", "secret", "moment", "id", "body", "header"),
    [
        (
            STANDARD,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            1614265330,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            GITHUB,
            "It's a Secret to Everybody",
            0,
            None,
            b"Hello, World!",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (
            SLACK,
            "8f742231b10e8888abcd99yyyzzz85a5",
            1531420618,
            None,
            SLACK_BODY,
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ],
    ids=["standard", "github", "slack"],
)
def test_the_vectors_that_senders_publish(
    format: WebhookFormat, secret: str, moment: int, id: str | None, body: bytes, header: str
) -> None:
    key = format.key_of(secret)
    headers = format.sign(body, [key], now=moment, id=id)
    assert headers[format.header] == header
    assert format.verify(as_received(headers), body, [key], now=moment) == Signed(
        None if format is GITHUB else moment, id
    )


@pytest.mark.parametrize("format", FORMATS, ids=lambda each: each.name)
def test_every_format_believes_its_own_and_nothing_else(format: WebhookFormat) -> None:
    id = "message-1" if format.id else None
    headers = as_received(format.sign(b"{}", [SECRET], now=NOW, id=id))
    assert format.verify(headers, b"{}", [OTHER, SECRET], now=NOW).id == id
    for name in headers:
        for wrong in (b"", headers[name] + b"0", headers[name][:-1] + b"~", b"\xff" * 3, b"x" * 2000):
            with pytest.raises(SignatureRefused):
                format.verify({**headers, name: wrong}, b"{}", [SECRET], now=NOW)
    with pytest.raises(SignatureRefused):
        format.verify(headers, b"{} ", [SECRET], now=NOW)
    with pytest.raises(SignatureRefused):
        format.verify({}, b"{}", [SECRET], now=NOW)


@pytest.mark.parametrize("format", [STRIPE, SLACK, STANDARD], ids=lambda each: each.name)
def test_every_format_with_a_moment_refuses_a_replay(format: WebhookFormat) -> None:
    headers = as_received(format.sign(b"{}", [SECRET], now=NOW, id="m" if format.id else None))
    with pytest.raises(SignatureRefused, match="300 s"):
        format.verify(headers, b"{}", [SECRET], now=NOW + 400)


def test_a_sender_signs_with_both_secrets_while_one_replaces_the_other() -> None:
    headers = as_received(STANDARD.sign(b"{}", [SECRET, OTHER], now=NOW, id="m"))
    assert headers[b"webhook-signature"].count(b"v1,") == 2
    for known in (SECRET, OTHER):
        STANDARD.verify(headers, b"{}", [known], now=NOW)


def test_the_id_cannot_be_changed() -> None:
    headers = as_received(STANDARD.sign(b"{}", [SECRET], now=NOW, id="message-1"))
    with pytest.raises(SignatureRefused):
        STANDARD.verify({**headers, b"webhook-id": b"message-2"}, b"{}", [SECRET], now=NOW)


def test_what_cannot_be_signed() -> None:
    with pytest.raises(ValueError, match="a printable id"):
        STANDARD.sign(b"{}", [SECRET], now=NOW)
    with pytest.raises(ValueError, match="no id"):
        STRIPE.sign(b"{}", [SECRET], now=NOW, id="m")
    with pytest.raises(ValueError, match="signatures of 2"):
        GITHUB.sign(b"{}", [SECRET, OTHER], now=NOW)
    with pytest.raises(ValueError, match="signatures of 0"):
        STRIPE.sign(b"{}", [], now=NOW)
    with pytest.raises(ValueError, match="no base64"):
        STANDARD.key_of("whsec_not base64")


def test_a_format_that_could_be_forged_is_refused() -> None:
    with pytest.raises(DeclarationError, match="what is known and not signed could be forged"):
        WebhookFormat("shop", "x-signature", moment="x-moment")
    with pytest.raises(DeclarationError, match="what is signed must be known"):
        WebhookFormat("shop", "x-signature", before="{moment}.")
    with pytest.raises(DeclarationError, match="lower-case"):
        WebhookFormat("shop", "X-Signature")
    with pytest.raises(DeclarationError, match="separate them"):
        WebhookFormat("shop", "x-signature", moment="t", before="{moment}.")
