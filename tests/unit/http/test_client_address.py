from __future__ import annotations

from typing import Any

import pytest

from roadworthy.http.client_address import AddressKeys, client_address


def scope(*forwarded: str, peer: str | None = "10.0.0.1") -> Any:
    headers = [(b"host", b"tested"), *((b"x-forwarded-for", line.encode("latin-1")) for line in forwarded)]
    return {"type": "http", "headers": headers, "client": None if peer is None else (peer, 1234)}


def test_without_trusted_proxies_what_is_forwarded_does_not_count() -> None:
    assert client_address(scope("203.0.113.9"), 0) == "10.0.0.1"
    assert AddressKeys(0).of(scope("203.0.113.9")) == "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "lines", "expected"),
    [
        (1, ["203.0.113.9"], "203.0.113.9"),
        (2, ["203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        # What a client sends itself stands left of what the proxies append.
        (1, ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        (2, ["1.1.1.1, 2.2.2.2, 203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        # Several fields are one list, in their order.
        (2, ["1.1.1.1", "203.0.113.9", "192.0.2.1"], "203.0.113.9"),
        (1, ["203.0.113.9 ,  192.0.2.1 "], "192.0.2.1"),
        # It did not pass the outer proxy.
        (3, ["203.0.113.9"], "203.0.113.9"),
        # Ports, brackets, zones, and addresses of IPv4 in IPv6.
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["[2001:db8::1]"], "2001:db8::1"),
        (1, ["2001:DB8:0::1"], "2001:db8::1"),
        (1, ["fe80::1%eth0"], "fe80::1"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
        # What is no address stands for the peer.
        (1, ["unknown"], "10.0.0.1"),
        (1, [""], "10.0.0.1"),
        (1, ["203.0.113.9, "], "10.0.0.1"),
        (1, ["999.0.0.1"], "10.0.0.1"),
        (1, ["203.0.113.9\xff"], "10.0.0.1"),
        (1, ["[2001:db8::1"], "2001:db8::1"),
        (1, [], "10.0.0.1"),
    ],
)
def test_the_address_behind_proxies(proxies: int, lines: list[str], expected: str) -> None:
    assert client_address(scope(*lines), proxies) == expected


def test_a_client_cannot_choose_its_address_however_much_it_sends() -> None:
    keys = AddressKeys(1)
    for made_up in ("", "1.2.3.4", "1.2.3.4,", ",,,", "[::1]:1, 5.6.7.8", "203.0.113.9" * 1000):
        assert keys.of(scope(f"{made_up}, 203.0.113.9")) == "203.0.113.9"
        assert keys.of(scope(made_up, "203.0.113.9")) == "203.0.113.9"


def test_the_addresses_of_one_network_of_ipv6_are_one_client() -> None:
    keys = AddressKeys(1)
    assert keys.of(scope("2001:db8:1:2::1")) == keys.of(scope("[2001:db8:1:2:ffff::9]:80")) == "2001:db8:1:2::/64"
    assert keys.of(scope("2001:db8:1:3::1")) != keys.of(scope("2001:db8:1:2::1"))
    assert keys.of(scope("::ffff:203.0.113.9")) == keys.of(scope("203.0.113.9")) == "203.0.113.9"


def test_a_peer_without_an_address() -> None:
    assert client_address(scope(peer=None), 0) == "unknown"
    assert AddressKeys(1).of(scope(peer=None)) == "unknown"
    assert AddressKeys(0).of(scope(peer="")) == "unknown"


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    keys = AddressKeys(1)
    for number in range(25_000):
        keys.of(scope(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(keys._keys) <= 10_000
