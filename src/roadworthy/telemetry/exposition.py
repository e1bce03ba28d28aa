"""One scrape of several processes: each takes a `Snapshot`, one merges them and renders the text.

A counter's total must not go backwards when a process ends, so what a dead process had counted is kept in an
archive: a snapshot of counters and histograms only, which `merge` adds in and `retire` adds to. Everything here is
a pure function of its arguments; a snapshot travels between processes as MessagePack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from operator import add

import msgspec

from roadworthy.telemetry.spec import Across, Kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LabelPairs = tuple[tuple[str, str], ...]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One series' value; `name` carries a histogram's suffix, as in `request_seconds_bucket`."""

    name: str
    labels: LabelPairs
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its samples, in the order in which they are to be shown."""

    name: str
    kind: Kind
    help: str
    across: Across
    samples: tuple[Sample, ...]


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """What a registry held at one moment."""

    families: tuple[Family, ...] = ()


EMPTY = Snapshot()

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode(snapshot: Snapshot) -> bytes:
    """Return the snapshot as MessagePack."""
    return _encoder.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """Return the snapshot that `encode` wrote.

    Raises:
        msgspec.DecodeError: the bytes are not a whole snapshot.
    """
    return _decoder.decode(data)


def merge(snapshots: Mapping[str, Snapshot], archive: Snapshot = EMPTY) -> Snapshot:
    """Return one snapshot of all the processes, by name, and of the dead ones in `archive`.

    Counters and histograms are added up, a gauge follows its metric's `across`; what keeps each process apart gets
    a `process` label. Families and series keep the order in which they are first met.
    """
    merged: dict[str, _Merging] = {}
    for process, snapshot in (*snapshots.items(), ("", archive)):
        for family in snapshot.families:
            merged.setdefault(family.name, _Merging(family)).add(family, process)
    return Snapshot(tuple(family.done() for family in merged.values()))


def retire(archive: Snapshot, dead: Snapshot) -> Snapshot:
    """Return `archive` with the counters and histograms of a process that has ended.

    Gauges end with their process, and so does whatever is kept apart by process.
    """
    lasting = tuple(family for family in dead.families if family.kind != "gauge" and family.across != "each")
    return merge({"": archive}, Snapshot(lasting))


class _Merging:
    """A family while it is being added up."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._values: dict[tuple[str, LabelPairs], float] = {}
        self._combine: Callable[[float, float], float] = max if family.across == "max" else add

    def add(self, family: Family, process: str) -> None:
        kept_apart = (("process", process),) if self._family.across == "each" and process else ()
        values = self._values
        for sample in family.samples:
            series = (sample.name, sample.labels + kept_apart)
            known = values.get(series)
            values[series] = sample.value if known is None else self._combine(known, sample.value)

    def done(self) -> Family:
        samples = tuple(Sample(name, labels, value) for (name, labels), value in self._values.items())
        return Family(self._family.name, self._family.kind, self._family.help, self._family.across, samples)


def render(snapshot: Snapshot) -> str:
    """Return the snapshot in the Prometheus text format, version 0.0.4."""
    return "".join(_lines(snapshot))


def _lines(snapshot: Snapshot) -> Iterator[str]:
    for family in snapshot.families:
        yield f"# HELP {family.name} {_escape_help(family.help)}\n# TYPE {family.name} {family.kind}\n"
        for sample in family.samples:
            if sample.labels:
                pairs = ",".join([f'{name}="{_escape_label(value)}"' for name, value in sample.labels])
                yield f"{sample.name}{{{pairs}}} {_number(sample.value)}\n"
            else:
                yield f"{sample.name} {_number(sample.value)}\n"


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
