"""The egress guard: no address but a public one, unless the operator named the host."""

from __future__ import annotations

import pytest

from sitesearch.crawl.guard import Forbidden, Guard, public


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
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
        *("2001:0:4136:e378::", "2001:db8::1", "100::1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public(address)


def test_names_that_resolve_to_private_addresses_are_refused() -> None:
    guard = Guard()
    with pytest.raises(Forbidden, match=r"intranet.example is 10\.0\.0\.1.*SITESEARCH_ALLOW_HOSTS"):
        guard.vet_resolved("intranet.example", 80, ["10.0.0.1", "::1"])
    with pytest.raises(Forbidden, match="nothing"):
        guard.vet_resolved("empty.example", 80, [])


def test_only_the_public_ones_of_several_addresses_are_connected_to() -> None:
    assert Guard().vet_resolved("mixed.example", 443, ["10.0.0.1", "8.8.8.8"]) == ["8.8.8.8"]


@pytest.mark.parametrize("port", [22, 25, 443 - 1, 3306, 5432, 6379, 11211])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(Forbidden, match=f"port {port}"):
        Guard().vet_target("example.org", port)


def test_web_ports_and_names_pass_until_they_are_resolved() -> None:
    for port in (80, 443, 8080, 8443):
        Guard().vet_target("example.org", port)
    with pytest.raises(Forbidden):
        Guard().vet_target("127.0.0.1", 8080)


def test_the_operator_exempts_hosts() -> None:
    guard = Guard.load({"SITESEARCH_ALLOW_HOSTS": " localhost , 127.0.0.1:8001,[::1]:8002, ::2 "})
    assert guard.allowed > {("localhost", None), ("127.0.0.1", 8001), ("::1", 8002), ("::2", None)}
    guard.vet_target("127.0.0.1", 8001)
    guard.vet_target("LOCALHOST", 22)
    assert guard.vet_resolved("localhost", 9, ["127.0.0.1"]) == ["127.0.0.1"]
    with pytest.raises(Forbidden):
        guard.vet_target("127.0.0.1", 8002)


def test_the_service_itself_is_exempt_and_nothing_beside_it() -> None:
    assert Guard.load({}).allowed == {("127.0.0.1", 8000), ("localhost", 8000)}
    guard = Guard.load({"ROADWORTHY_PORT": "8123"})
    guard.vet_target("127.0.0.1", 8123)
    with pytest.raises(Forbidden):
        guard.vet_target("127.0.0.1", 9100)


@pytest.mark.parametrize("entry", ["host:port", "host:0", "host:70000", ":80", "[]:80"])
def test_a_wrong_exemption_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="SITESEARCH_ALLOW_HOSTS holds"):
        Guard.load({"SITESEARCH_ALLOW_HOSTS": entry})
