"""Signatures prove who sent a body and when, to whoever knows one of the secrets, and to nobody else."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import SettingError
from vitals.webhooks import providers, signature
from vitals.webhooks.signature import SignatureRefused, sign, verify

SECRET = b"one secret of more than enough characters"
OTHER = b"another secret which has as many of them"
NOW = 1_770_000_000.5


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
    digest = signature.digest_of(SECRET, str(int(NOW)), b"{}")
    assert digest not in str(caught.value)
    assert SECRET.decode() not in str(caught.value)


def test_secrets_come_from_the_environment_the_newest_first() -> None:
    loaded = providers.load({"VITALS_SECRET_AGGREGATOR": f"{SECRET.decode()} , {OTHER.decode()},"})
    assert loaded["aggregator"].secrets == (SECRET, OTHER)


@pytest.mark.parametrize("weak", ["short", "a" * 64, "abcabcabcabcabcabcabcabcabcabcabcabcabc", "password"])
def test_a_weak_secret_is_refused_without_repeating_it(weak: str) -> None:
    with pytest.raises(SettingError, match="VITALS_SECRET_AGGREGATOR holds a secret that is too weak") as caught:
        providers.load({"VITALS_SECRET_AGGREGATOR": weak})
    assert weak not in str(caught.value).replace("aggregator", "")


def test_no_secret_is_none() -> None:
    assert providers.load({})["aggregator"].secrets == ()
    assert providers.load({"VITALS_SECRET_AGGREGATOR": " , "})["aggregator"].secrets == ()
