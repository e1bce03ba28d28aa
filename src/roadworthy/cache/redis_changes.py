"""The messages in which a script tells every node what it changed, version 1.

A byte of version and two of the sender; then of each change a byte of action, eight of stamp, four of length, and the
name. Numbers have their most significant byte first. Values are never sent.
"""

from __future__ import annotations

import struct

from roadworthy.cache.store import Action, Change

VERSION = 1

_SENDER = struct.Struct("!BH")
_CHANGE = struct.Struct("!cQI")
_ACTIONS: dict[bytes, Action] = {b"s": "set", b"d": "delete", b"t": "tag"}


def sender_of(node: int) -> bytes:
    """Return how a message of a node begins."""
    return _SENDER.pack(VERSION, node)


def changes_of(message: bytes) -> list[Change]:
    """Return the changes in a message. Raise ValueError for one that is not whole, or of another version."""
    try:
        version, sender = _SENDER.unpack_from(message)
        if version != VERSION:
            raise ValueError(f"a message of version {version} came where {VERSION} is understood")
        changes, at = [], _SENDER.size
        while at < len(message):
            action, stamp, length = _CHANGE.unpack_from(message, at)
            at += _CHANGE.size
            name = message[at : at + length]
            if len(name) < length:
                raise ValueError(f"a message ends {length - len(name)} bytes early")
            changes.append(Change(_ACTIONS[action], name.decode(), stamp, sender))
            at += length
    except (struct.error, KeyError) as error:
        raise ValueError(f"a message cannot be read: {error}") from None
    return changes
