"""Where a request comes from: its peer's address, or the one that a declared number of trusted proxies tell.

A proxy appends the address of its own peer to X-Forwarded-For. So with N trusted proxies the N-th entry from the right
was written by the outermost of them, and is true; what is left of it the client may have made up. `Forwarded` is not
read: a client could send it past proxies that know only the other.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from roadworthy.http.asgi import Scope

UNKNOWN = "unknown"
"""Stands for what has no address, such as a peer on a Unix socket."""

_PREFIX = 64
_MOST_REMEMBERED = 10_000


def client_address(scope: Scope, proxies: int) -> str:
    """Return the address of a request's client behind `proxies` trusted ones, as text; "unknown" where it has none.

    An entry that is no address, and X-Forwarded-For that is missing, stand for the peer. Fewer entries than proxies
    mean that it came to one further in: the first is the client's.
    """
    if proxies:
        forwarded = forwarded_for(scope, proxies)
        address = None if forwarded is None else parsed(forwarded)
        if address is not None:
            return str(address)
    address = parsed(_peer(scope))
    return UNKNOWN if address is None else str(address)


def forwarded_for(scope: Scope, proxies: int) -> str | None:
    """Return the entry of X-Forwarded-For that the outermost of the trusted proxies wrote, None for none."""
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if not values:
        return None
    line = values[0] if len(values) == 1 else b",".join(values)
    entries = line.rsplit(b",", proxies)
    return entries[-proxies if len(entries) > proxies else 0].strip().decode("latin-1")


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that `text` is, with a port or without, in brackets or not; None where it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class AddressKeys:
    """Keys of clients by their address; of IPv6 by the network of 64 bits, all of which is one client's."""

    def __init__(self, proxies: int) -> None:
        """Trust so many proxies."""
        self._proxies = proxies
        self._keys: dict[str, str | None] = {}

    def of(self, scope: Scope) -> str:
        """Return the key of a request's client."""
        if not self._proxies:
            client = scope.get("client")
            known = self._keys.get(client[0]) if client else UNKNOWN
            if known is not None:
                return known
        else:
            forwarded = forwarded_for(scope, self._proxies)
            key = None if forwarded is None else self._key(forwarded)
            if key is not None:
                return key
        return self._key(_peer(scope)) or UNKNOWN

    def _key(self, text: str) -> str | None:
        keys = self._keys
        if text in keys:
            return keys[text]
        if len(keys) >= _MOST_REMEMBERED:
            keys.clear()
        key = keys[text] = address_key(parsed(text))
        return key


def address_key(address: IPv4Address | IPv6Address | None) -> str | None:
    """Return an IPv4 address as text, and of an IPv6 address its network of 64 bits."""
    if isinstance(address, IPv6Address):
        network = int(address) >> (128 - _PREFIX) << (128 - _PREFIX)
        return f"{IPv6Address(network)}/{_PREFIX}"
    return None if address is None else str(address)


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
