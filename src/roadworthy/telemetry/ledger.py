"""What a process counts, in memory that outlives it: a file without a name, mapped by the process and its supervisor.

A process that is killed cannot tell what it has counted last. So its counters and histograms stand in memory that its
supervisor made and keeps: to count is to store a number there, and what was stored is there whatever ends the process.

The file is a list of records behind the place of its end, which is stored last: a record that was not written whole is
not there. Each is two lengths, a head in MessagePack, and its numbers, eight bytes each, which the processor stores at
once. A head names a metric, or one series of the metric that was named by its place in the order of metrics.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
from collections.abc import MutableSequence
from threading import Lock
from typing import TypeAlias, cast

import msgspec

from roadworthy.telemetry.exposition import Family, Series, Snapshot

Numbers: TypeAlias = MutableSequence[float]
"""The numbers of a series, to be counted up in place."""

CAPACITY = 64 * 1024 * 1024
"""Bytes of address space for one process, some 400,000 series; memory is used for what is written alone."""

_END = 8
_LENGTHS = struct.Struct("<II")


class _Named(msgspec.Struct, frozen=True, tag=0, array_like=True):
    family: Family


class _Opened(msgspec.Struct, frozen=True, tag=1, array_like=True):
    metric: int
    labels: tuple[str, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Named | _Opened)


class Ledger:
    """The counting process's end: gives out places for numbers."""

    def __init__(self, descriptor: int) -> None:
        """Use the file of a descriptor, which may be closed then."""
        self._memory = memoryview(mmap.mmap(descriptor, 0))
        self._numbers = self._memory.cast("d")
        self._end = self._memory[:_END].cast("Q")
        self._metrics: dict[str, int] = {}
        self._lock = Lock()

    def numbers(self, family: Family, labels: tuple[str, ...], size: int) -> Numbers | None:
        """Return `size` numbers for a series of `family`, each 0; None where there is no room left."""
        with self._lock:
            metric = self._metrics.get(family.name)
            if metric is None:
                if self._append(_Named(family), 0) is None:
                    return None
                metric = self._metrics[family.name] = len(self._metrics)
            return self._append(_Opened(metric, labels), size)

    def _append(self, head: _Named | _Opened, size: int) -> Numbers | None:
        text = _encoder.encode(head)
        begin = self._end[0] or _END
        first = _aligned(begin + _LENGTHS.size + len(text))
        end = first + 8 * size
        if end > len(self._memory):
            return None
        _LENGTHS.pack_into(self._memory, begin, len(text), size)
        self._memory[begin + _LENGTHS.size : begin + _LENGTHS.size + len(text)] = text
        self._end[0] = end
        return cast(Numbers, self._numbers[first // 8 : end // 8])


class KeptLedger:
    """The supervisor's end: makes the file, and reads what stands in it while the process runs and after."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Make a file of `capacity` bytes; `close` it."""
        self.descriptor = _nameless()
        os.ftruncate(self.descriptor, capacity)
        self._memory = mmap.mmap(self.descriptor, capacity, access=mmap.ACCESS_READ)

    def read(self) -> Snapshot:
        """Return what has been counted."""
        memory = self._memory
        end = int.from_bytes(memory[:_END], sys.byteorder)
        families: list[Family] = []
        series: list[list[Series]] = []
        place = _END
        while place < end:
            length, size = _LENGTHS.unpack_from(memory, place)
            place += _LENGTHS.size
            head = _decoder.decode(memory[place : place + length])
            place = _aligned(place + length)
            if isinstance(head, _Named):
                families.append(head.family)
                series.append([])
            else:
                series[head.metric].append(Series(head.labels, struct.unpack_from(f"={size}d", memory, place)))
            place += 8 * size
        return Snapshot(
            tuple(
                msgspec.structs.replace(family, series=tuple(found))
                for family, found in zip(families, series, strict=True)
            )
        )

    def close(self) -> None:
        """Let go of the memory; what the process has mapped is its own until it ends."""
        self._memory.close()
        os.close(self.descriptor)


def _aligned(place: int) -> int:
    return -(-place // 8) * 8


def _nameless() -> int:
    if sys.platform == "linux":
        return os.memfd_create("roadworthy counters")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
