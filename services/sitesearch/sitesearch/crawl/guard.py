"""Which hosts, ports and addresses a crawl may connect to.

A name is resolved once and the connection goes to an address that was vetted, so a name that answers differently the
second time (DNS rebinding) gains nothing. Hosts that the operator names are exempt.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

ALLOW_VARIABLE = "SITESEARCH_ALLOW_HOSTS"

_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
# Tunnels carry an IPv4 address that the far end connects to.
_TUNNELS = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))
# Not for the public, though Python's registry calls them global: a cloud's metadata endpoint, the retired 6to4 relays,
# and protocol assignments.
_SPECIAL_IPV4 = tuple(ipaddress.IPv4Network(net) for net in ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24"))
# Well-known services above 1023 that speak no HTTP.
_OTHER_SERVICES = frozenset(
    {1433, 1521, 1720, 1723, 2049, 2181, 2375, 2379, 3306, 3389, 3659, 4045, 5060, 5061, 5432, 5672, 6000, 6379, 6566}
    | {6665, 6666, 6667, 6668, 6669, 6697, 9042, 10080, 11211, 27017}
)


class Forbidden(Exception):
    """A host, port or address that a crawl must not connect to; the message says why."""


def public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    Private, loopback, link-local (cloud metadata), carrier-grade NAT, multicast, reserved, unspecified, IPv4-mapped,
    NAT64, 6to4 and Teredo addresses are not.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip not in _PUBLIC_IPV6 or any(ip in tunnel for tunnel in _TUNNELS):
            return False
    elif any(ip in network for network in _SPECIAL_IPV4):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass(frozen=True, slots=True)
class Guard:
    """Vets where connections go. `allowed` holds the exempt (host, port) pairs; port None is every port."""

    allowed: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Guard:
        """From SITESEARCH_ALLOW_HOSTS: hosts or host:port pairs, separated by commas.

        This service's own port is exempt too: its documentation is the first site that people index, and what it
        serves there it serves to everybody.

        Raises:
            ValueError: an entry that is neither.
        """
        entries = (entry.strip() for entry in environ.get(ALLOW_VARIABLE, "").split(","))
        own = environ.get("ROADWORTHY_PORT") or "8000"
        itself = {(host, int(own)) for host in ("127.0.0.1", "localhost")}
        return cls(frozenset({_allowed(entry) for entry in entries if entry} | itself))

    def exempt(self, host: str, port: int) -> bool:
        """Whether the operator named this host, on this port or on all."""
        name = host.lower().rstrip(".")
        return (name, port) in self.allowed or (name, None) in self.allowed

    def vet_target(self, host: str, port: int) -> None:
        """Refuse a port, or a host that is itself an address, that must not be connected to.

        Raises:
            Forbidden: it must not.
        """
        if self.exempt(host, port):
            return
        if port not in (80, 443) and (port < 1024 or port in _OTHER_SERVICES):
            raise Forbidden(f"port {port} is not one that web pages are served on")
        try:
            is_public = public(host)
        except ValueError:
            return
        if not is_public:
            raise Forbidden(self._private(host, host, port))

    def vet_resolved(self, host: str, port: int, addresses: list[str]) -> list[str]:
        """Those of a host's resolved addresses that may be connected to; at least one.

        Raises:
            Forbidden: none may.
        """
        if self.exempt(host, port):
            return addresses
        vetted = [address for address in addresses if public(address)]
        if not vetted:
            raise Forbidden(self._private(host, ", ".join(addresses[:4]) or "nothing", port))
        return vetted

    @staticmethod
    def _private(host: str, found: str, port: int) -> str:
        where = f"{host} is {found}" if found != host else host
        return (
            f"{where}, which is not an address of the public internet; "
            f"to crawl it all the same, name {host}:{port} in {ALLOW_VARIABLE}"
        )


def _allowed(entry: str) -> tuple[str, int | None]:
    host, separator, port = entry.rpartition(":")
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port, separator = rest.removeprefix(":"), ":" if rest else ""
    elif entry.count(":") != 1:
        host, separator, port = entry, "", ""
    if not host or (separator and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(
            f"{ALLOW_VARIABLE} holds {entry!r}; each entry is a host or host:port, such as localhost or 127.0.0.1:8000"
        )
    return host.lower().rstrip("."), int(port) if separator else None
