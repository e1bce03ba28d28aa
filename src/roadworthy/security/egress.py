"""Where a service may connect to on somebody else's word: a URL of a user's, a redirect, a callback.

A name is resolved once, and the connection goes to an address that was vetted then, so a name that answers differently
the second time (DNS rebinding) gains nothing. A redirect is another request: vet its target anew.

The ranges are those of the IANA special-purpose address registries, and addresses at which clouds tell secrets.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from roadworthy.errors import EgressRefused

Allowed = tuple[str, int | None]
"""A host in lower case and a port; None is every port."""

Lookup = Callable[[str, int, int], Awaitable[list[str]]]
"""Finds the addresses of a host, given a port and a socket family (0 for any)."""

_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
# 6to4 and Teredo carry an IPv4 address that the far end connects to. Python's registry knows not all of the others.
_SPECIAL_IPV6 = tuple(ipaddress.IPv6Network(net) for net in ("2002::/16", "2001::/23", "2001:db8::/32", "3fff::/20"))
# Not for the public, though Python's registry calls them global: a cloud's metadata endpoint, the retired 6to4 relays,
# and protocol assignments.
_SPECIAL_IPV4 = tuple(ipaddress.IPv4Network(net) for net in ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24"))
# Well-known services above 1023 that speak no HTTP.
_OTHER_SERVICES = frozenset(
    {1433, 1521, 1720, 1723, 2049, 2181, 2375, 2379, 3306, 3389, 3659, 4045, 5060, 5061, 5432, 5672, 6000, 6379, 6566}
    | {6665, 6666, 6667, 6668, 6669, 6697, 9042, 10080, 11211, 27017}
)


def public(address: str) -> bool:
    """Return whether an IP address is one of the public internet.

    Private, loopback, link-local (cloud metadata), carrier-grade NAT, multicast, reserved, unspecified, IPv4-mapped,
    NAT64, 6to4 and Teredo addresses are not. Raises ValueError for what is no address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip not in _PUBLIC_IPV6 or any(ip in network for network in _SPECIAL_IPV6):
            return False
    elif any(ip in network for network in _SPECIAL_IPV4):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass(frozen=True, slots=True)
class EgressGuard:
    """Vets where connections go.

    `allowed` are exempt from every rule. `only`, where given, are the hosts that may be connected to at all, each a
    name or "*.example.org" for the names below it. `variable` is the environment variable that the operator would name
    an exemption in, for the messages.
    """

    allowed: frozenset[Allowed] = frozenset()
    only: frozenset[str] | None = None
    variable: str | None = None

    @classmethod
    def parse(cls, text: str, *, variable: str, also: Iterable[Allowed] = ()) -> EgressGuard:
        """Return the guard that exempts what `text` lists, as an operator writes it in the environment's `variable`.

        `text` holds hosts or host:port pairs, separated by commas. `also` are exempt besides.

        Raises ValueError for an entry that is neither.
        """
        entries = (entry.strip() for entry in text.split(","))
        listed = {_allowed(entry, variable) for entry in entries if entry}
        return cls(frozenset(listed | {(_name(host), port) for host, port in also}), variable=variable)

    def exempt(self, host: str, port: int) -> bool:
        """Return whether the operator named this host, on this port or on all."""
        name = _name(host)
        return (name, port) in self.allowed or (name, None) in self.allowed

    def vet_url(self, url: str) -> tuple[str, int]:
        """Return the host and port of a URL that may be asked for; its name has yet to be resolved by `resolve`.

        Raises EgressRefused where it may not: another scheme, a user's name in it, or what `vet_target` refuses.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise EgressRefused(f"{url[:200]!r} is no URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EgressRefused(f"{url[:200]!r} is no http or https URL")
        if parts.username is not None or parts.password is not None:
            raise EgressRefused("the URL has a user's name or password in it; leave them out")
        port = port or (443 if parts.scheme == "https" else 80)
        self.vet_target(parts.hostname, port)
        return parts.hostname, port

    def vet_target(self, host: str, port: int) -> None:
        """Refuse a port, or a host that is itself an address, that must not be connected to.

        Raises EgressRefused where it must not.
        """
        if self.exempt(host, port):
            return
        if self.only is not None and not self._is_named(host):
            raise EgressRefused(f"{host} is none of the hosts that this service connects to")
        if port not in (80, 443) and (port < 1024 or port in _OTHER_SERVICES):
            raise EgressRefused(f"port {port} is not one that web pages are served on")
        try:
            is_public = public(host)
        except ValueError:
            return
        if not is_public:
            raise EgressRefused(self._private(host, host, port))

    def vet_resolved(self, host: str, port: int, addresses: list[str]) -> list[str]:
        """Return those of a host's resolved addresses that may be connected to; at least one.

        Raises EgressRefused where none may.
        """
        if self.exempt(host, port):
            return addresses
        vetted = [address for address in addresses if public(address)]
        if not vetted:
            raise EgressRefused(self._private(host, ", ".join(addresses[:4]) or "nothing", port))
        return vetted

    async def resolve(self, host: str, port: int, family: int = 0, *, lookup: Lookup | None = None) -> list[str]:
        """Return the addresses to connect to for a host: resolved once by `lookup` (the system's), each vetted.

        Connect to one of them and to nothing else, with the host as the name that TLS proves.

        Raises EgressRefused where none may be connected to, OSError where there are none.
        """
        self.vet_target(host, port)
        return self.vet_resolved(host, port, await (lookup or system_lookup)(host, port, family))

    def _is_named(self, host: str) -> bool:
        name = _name(host)
        if self.only is None or name in self.only:
            return True
        labels = name.split(".")
        return any("*." + ".".join(labels[start:]) in self.only for start in range(1, len(labels)))

    def _private(self, host: str, found: str, port: int) -> str:
        where = f"{host} is {found}" if found != host else host
        exemption = (
            "" if self.variable is None else f"; to allow it all the same, name {host}:{port} in {self.variable}"
        )
        return f"{where}, which is not an address of the public internet{exemption}"


async def system_lookup(host: str, port: int, family: int = 0) -> list[str]:
    """Return a host's addresses as the system resolves it. Raises OSError where there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _allowed(entry: str, variable: str) -> Allowed:
    host, separator, port = entry.rpartition(":")
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port, separator = rest.removeprefix(":"), ":" if rest else ""
    elif entry.count(":") != 1:
        host, separator, port = entry, "", ""
    if not host or (separator and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(
            f"{variable} holds {entry!r}; each entry is a host or host:port, such as localhost or 127.0.0.1:8000"
        )
    return _name(host), int(port) if separator else None
