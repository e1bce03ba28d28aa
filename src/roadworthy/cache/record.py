"""The wire format of an entry in a shared store, version 1.

    offset  bytes
    0       1     version
    1       1     flags: 1 compressed (zlib), 2 tombstone (a deletion, without value)
    2       8     stamp, most significant byte first
    10      8     fresh until, Unix time in milliseconds
    18      8     kept until, Unix time in milliseconds
    26      4     what loading cost, in seconds (binary32)
    30      2     length of the tags
    32      ...   the tags, a MessagePack array of strings; empty without any
    ...     ...   the value, MessagePack

A store compares stamps at their fixed place, and knows nothing else of it. Whatever is not understood is no entry: a
version is changed by writing another first byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

VERSION = 1
STAMP = slice(2, 10)
"""Where a record bears its stamp."""

_HEADER = struct.Struct("!BBQQQfH")
_SIZE = _HEADER.size
_unpack = _HEADER.unpack_from
_COMPRESSED, _TOMBSTONE = 1, 2
_LONGEST_TAGS = 0xFFFF
_LARGEST = 256 * 1024 * 1024
_encode_tags = msgspec.msgpack.Encoder().encode
_decode_tags = msgspec.msgpack.Decoder(tuple[str, ...]).decode


@dataclass(slots=True, eq=False)
class Entry:
    """One value as tiers keep it. `data` is MessagePack; times are Unix time in seconds, by the store's clock.

    A tombstone is what a deletion leaves behind for a while, so that a value whose loading began before it is not kept.

    The rest is of this process alone, and no record bears it. `hits` is the memory tier's: how often the entry was used
    there of late. `value` is handed out as it is, or what `copy` makes of it; `codec` says by what it was decoded.
    Before `quiet_until`, by the process's monotonic clock, a hit needs no decision. Its tags were last looked at in
    `generation` of its cache's `tally`. `aliases` are the calls that lead straight here.
    """

    data: bytes
    stamp: int
    fresh_until: float
    kept_until: float
    tags: tuple[str, ...] = ()
    cost: float = 0.0
    tombstone: bool = False
    hits: int = 0
    value: Any = None
    copy: Callable[[Any], Any] | None = None
    codec: object = None
    quiet_until: float = 0.0
    generation: int = -1
    tally: Any = None
    aliases: list[tuple[dict[Any, Entry], Any]] | None = None


def encode(entry: Entry, compress_over: int | None = None) -> bytes:
    """Return the record of an entry. Raise ValueError where its tags take more than 64 KiB."""
    flags, data = 0, entry.data
    if entry.tombstone:
        flags |= _TOMBSTONE
    elif compress_over is not None and len(data) > compress_over:
        squeezed = zlib.compress(data, 1)
        if len(squeezed) < len(data):
            flags, data = flags | _COMPRESSED, squeezed
    tags = _encode_tags(entry.tags) if entry.tags else b""
    if len(tags) > _LONGEST_TAGS:
        raise ValueError(f"{len(entry.tags)} tags take {len(tags)} bytes, more than {_LONGEST_TAGS}; use fewer")
    header = _HEADER.pack(
        VERSION,
        flags,
        entry.stamp,
        int(entry.fresh_until * 1000),
        int(entry.kept_until * 1000),
        entry.cost,
        len(tags),
    )
    return b"".join((header, tags, data))


def decode(record: bytes) -> Entry | None:
    """Return the entry of a record; None for what this version does not understand."""
    if len(record) < _SIZE or record[0] != VERSION:
        return None
    _, flags, stamp, fresh_until, kept_until, cost, length = _unpack(record)
    if not flags and not length:
        return Entry(record[_SIZE:], stamp, fresh_until / 1000, kept_until / 1000, (), cost)
    end = _SIZE + length
    try:
        tags = _decode_tags(record[_SIZE:end]) if length else ()
        data = record[end:]
        if flags & _COMPRESSED:
            inflate = zlib.decompressobj()
            data = inflate.decompress(data, _LARGEST)
            if not inflate.eof:
                return None
    except (msgspec.MsgspecError, zlib.error):
        return None
    return Entry(data, stamp, fresh_until / 1000, kept_until / 1000, tags, cost, bool(flags & _TOMBSTONE))
