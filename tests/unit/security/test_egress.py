"""The egress guard: no address but a public one, unless somebody named the host; resolved once, vetted each time."""

from __future__ import annotations

import socket

import pytest

from roadworthy.errors import EgressRefused
from roadworthy.security.egress import EgressGuard, Lookup, public, system_lookup

ALLOW = "SHOP_ALLOW_HOSTS"


def answering(*answers: list[str]) -> tuple[Lookup, list[str]]:
    """A resolver that gives each of the answers once, then the last one, and what it was asked."""
    asked: list[str] = []

    async def lookup(host: str, port: int, family: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2a00:1450:4001:80b::200e", "2606:2800:220:1:248:1893:25c8:1946"]
)
def test_public_addresses(address: str) -> None:
    assert public(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",  # noqa: S104
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("100.100.100.200", "168.63.129.16", "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "192.88.99.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "fe80::1",
        ),
        *("fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::"),
        *("2001:0:4136:e378::", "2001:db8::1", "100::1", "3fff::1", "2001:1::1", "fec0::1", "5f00::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public(address)


async def test_names_that_resolve_to_private_addresses_are_refused() -> None:
    guard = EgressGuard(variable=ALLOW)
    with pytest.raises(EgressRefused, match=r"intranet.example is 10\.0\.0\.1.*name intranet.example:80 in SHOP_ALLOW"):
        await guard.resolve("intranet.example", 80, lookup=answering(["10.0.0.1", "::1"])[0])
    with pytest.raises(EgressRefused, match="nothing"):
        guard.vet_resolved("empty.example", 80, [])


async def test_only_the_public_ones_of_several_addresses_are_connected_to() -> None:
    lookup, _ = answering(["10.0.0.1", "8.8.8.8", "::ffff:10.0.0.1", "169.254.169.254"])
    assert await EgressGuard().resolve("mixed.example", 443, lookup=lookup) == ["8.8.8.8"]


async def test_a_name_that_changes_its_address_is_resolved_once_for_a_connection_and_vetted_anew_for_the_next() -> None:
    lookup, asked = answering(["8.8.8.8"], ["127.0.0.1"])
    guard = EgressGuard()
    assert await guard.resolve("rebinding.example", 80, lookup=lookup) == ["8.8.8.8"]
    assert len(asked) == 1
    with pytest.raises(EgressRefused, match=r"127\.0\.0\.1"):
        await guard.resolve("rebinding.example", 80, lookup=lookup)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "0x7f.1", "localhost"])
async def test_other_spellings_of_loopback_are_refused_or_read_by_nobody(host: str) -> None:
    with pytest.raises((EgressRefused, socket.gaierror)) as refused:
        await EgressGuard().resolve(host, 80)
    if isinstance(refused.value, EgressRefused):
        assert "not an address of the public internet" in str(refused.value)


@pytest.mark.parametrize("port", [22, 25, 443 - 1, 3306, 5432, 6379, 11211])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(EgressRefused, match=f"port {port}"):
        EgressGuard().vet_target("example.org", port)


def test_web_ports_and_names_pass_until_they_are_resolved() -> None:
    for port in (80, 443, 8080, 8443):
        EgressGuard().vet_target("example.org", port)
    with pytest.raises(EgressRefused):
        EgressGuard().vet_target("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("http://[::1]/", "::1"),
        ("http://[::ffff:10.0.0.1]/", "not an address"),
        ("http://[64:ff9b::7f00:1]/", "not an address"),
        ("https://user:word@example.org/", "leave them out"),
        ("http://example.org:22/", "port 22"),
        ("file:///etc/passwd", "no http"),
        ("gopher://example.org/", "no http"),
        ("//example.org/", "no http"),
        ("http:///path", "no http"),
        ("http://example.org:port/", "is no URL"),
        ("http://[::1", "is no URL"),
    ],
)
def test_urls_that_must_not_be_asked_for(url: str, reason: str) -> None:
    with pytest.raises(EgressRefused, match=reason):
        EgressGuard().vet_url(url)


def test_urls_that_may_be_asked_for() -> None:
    assert EgressGuard().vet_url("https://example.org/a?b") == ("example.org", 443)
    assert EgressGuard().vet_url("http://EXAMPLE.org:8080") == ("example.org", 8080)


async def test_each_redirect_is_vetted_anew() -> None:
    guard = EgressGuard()
    location = {"http://a.example/": "http://b.example/", "http://b.example/": "http://10.0.0.1/"}
    asked = []
    url = "http://a.example/"
    with pytest.raises(EgressRefused, match=r"10\.0\.0\.1"):
        for _ in range(5):
            host, port = guard.vet_url(url)
            await guard.resolve(host, port, lookup=answering(["8.8.8.8"])[0])
            asked.append(url)
            url = location[url]
    assert asked == ["http://a.example/", "http://b.example/"]


def test_a_service_that_knows_whom_it_calls_calls_nobody_else() -> None:
    guard = EgressGuard(only=frozenset({"api.pay.example", "*.cdn.example"}))
    for host in ("api.pay.example", "API.pay.example.", "eu.cdn.example", "a.b.cdn.example"):
        guard.vet_target(host, 443)
    for host in ("pay.example", "cdn.example", "evilcdn.example", "api.pay.example.evil.example", "8.8.8.8"):
        with pytest.raises(EgressRefused, match="none of the hosts"):
            guard.vet_target(host, 443)


async def test_a_host_that_may_be_called_is_still_not_called_at_a_private_address() -> None:
    guard = EgressGuard(only=frozenset({"api.pay.example"}))
    with pytest.raises(EgressRefused, match=r"10\.0\.0\.1"):
        await guard.resolve("api.pay.example", 443, lookup=answering(["10.0.0.1"])[0])


def test_the_operator_exempts_hosts() -> None:
    guard = EgressGuard.parse(" localhost , 127.0.0.1:8001,[::1]:8002, ::2 ", variable=ALLOW, also=[("Shop.test.", 1)])
    assert guard.allowed == {("localhost", None), ("127.0.0.1", 8001), ("::1", 8002), ("::2", None), ("shop.test", 1)}
    guard.vet_target("127.0.0.1", 8001)
    guard.vet_target("LOCALHOST", 22)
    assert guard.vet_resolved("localhost", 9, ["127.0.0.1"]) == ["127.0.0.1"]
    with pytest.raises(EgressRefused):
        guard.vet_target("127.0.0.1", 8002)


@pytest.mark.parametrize("entry", ["host:port", "host:0", "host:70000", ":80", "[]:80"])
def test_a_wrong_exemption_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="SHOP_ALLOW_HOSTS holds"):
        EgressGuard.parse(entry, variable=ALLOW)


async def test_the_system_resolves_each_address_once() -> None:
    assert await system_lookup("127.0.0.1", 80) == ["127.0.0.1"]
