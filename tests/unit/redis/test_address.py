"""REDIS_URL in all its forms, and never its password."""

from __future__ import annotations

import ssl

import pytest

from roadworthy.errors import SettingError
from roadworthy.redis.address import Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://cache", Address("cache")),
        ("redis://cache:7000/3", Address("cache", 7000, database=3)),
        ("redis://:s%40crit@cache/", Address("cache", password="s@crit")),
        ("redis://me:secret@cache", Address("cache", user="me", password="secret")),
        ("redis://[::1]:7000/1", Address("::1", 7000, database=1)),
        ("rediss://cache?ssl_cert_reqs=none", Address("cache", encrypted=True, verified=False)),
        ("rediss://cache?ssl_ca_certs=/ca.pem", Address("cache", encrypted=True, authorities="/ca.pem")),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix://:secret@/run/redis.sock?db=2", Address(path="/run/redis.sock", password="secret", database=2)),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://:secret@cache", "begins with http://"),
        ("redis://:secret@cache:port", "host or port"),
        ("redis://:secret@cache/name", "'name' is no number"),
        ("redis://:secret@cache/-1", "is no number"),
        ("redis://:secret@cache?retries=3", "option 'retries' is not known"),
        ("rediss://:secret@cache?ssl_cert_reqs=maybe", "neither"),
        ("unix://", "names no socket"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_password(url: str, why: str) -> None:
    with pytest.raises(SettingError, match=r"REDIS_URL.*Write it as") as refused:
        Address.parse(url)
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://me:secret@cache/1", "redis://me:***@cache:6379/1"),
        ("rediss://:secret@[::1]", "rediss://:***@[::1]:6379/0"),
        ("unix://:secret@/r.sock", "unix://:***@/r.sock?db=0"),
        ("redis://cache", "redis://cache:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    address = Address.parse(url)
    assert str(address) == shown
    assert "secret" not in repr(address)


def test_tls_looks_at_certificates_unless_told_not_to() -> None:
    assert Address.parse("redis://cache").security() is None
    careful = Address.parse("rediss://cache").security()
    assert careful is not None
    assert careful.verify_mode is ssl.CERT_REQUIRED
    assert careful.check_hostname
    careless = Address.parse("rediss://cache?ssl_cert_reqs=none").security()
    assert careless is not None
    assert careless.verify_mode is ssl.CERT_NONE
    with pytest.raises(SettingError, match=r"/nowhere\.pem cannot be read"):
        Address.parse("rediss://cache?ssl_ca_certs=/nowhere.pem").security()
