"""One scrape of several processes: each takes a `Snapshot`, one merges them and writes the text.

A counter's total must not go backwards when a process ends, so what a dead process had counted is kept in an
archive: a snapshot of counters and histograms only, which `merge` adds in and `retire` adds to. Everything here is
a pure function of its arguments; a snapshot travels between processes as MessagePack.

A series holds plain numbers: one of a counter or gauge; of a histogram the count of each bucket by itself, the last
without a bound, and then the sum. So a series of fifteen buckets costs one small tuple until it is written out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from operator import add
from typing import Literal

import msgspec

from roadworthy.telemetry.spec import Across, Kind, bucket_label

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Mapping[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
CONTENT_TYPE = CONTENT_TYPES["text"]

LabelPairs = tuple[tuple[str, str], ...]

_QUALITY = re.compile(r"q=([01](?:\.\d{0,3})?)")


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of a scrape; `name` carries a histogram's suffix, as in `request_seconds_bucket`."""

    name: str
    labels: LabelPairs
    value: float


class Exemplar(msgspec.Struct, frozen=True, array_like=True):
    """An observation with the trace that it was made in: in which bucket it fell, and when, Unix time in seconds."""

    bucket: int
    trace: str
    value: float
    at: float


class Series(msgspec.Struct, frozen=True, array_like=True):
    """The values of a series' labels, and its numbers as the module says."""

    labels: tuple[str, ...]
    numbers: tuple[float, ...]
    exemplars: tuple[Exemplar, ...] = ()


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric with its series, in the order in which they are to be shown. `bounds` are a histogram's finite ones."""

    name: str
    kind: Kind
    help: str
    across: Across
    label_names: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    series: tuple[Series, ...] = ()

    @property
    def samples(self) -> Iterator[Sample]:
        """Each line of a scrape that the family comes to."""
        for one in self.series:
            labels = tuple(zip(self.label_names, one.labels, strict=True))
            if self.kind != "histogram":
                yield Sample(self.name, labels, one.numbers[0])
                continue
            *counts, total = one.numbers
            reached = list(accumulate(counts))
            for bound, count in zip(_edges(self.bounds), reached, strict=True):
                yield Sample(f"{self.name}_bucket", (*labels, ("le", bound)), count)
            yield Sample(f"{self.name}_count", labels, reached[-1])
            yield Sample(f"{self.name}_sum", labels, total)


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
    a `process` label. Of a bucket's exemplars the newest stays. Families and series keep the order in which they are
    first met, and so does a metric's shape: what a process counted under other labels or bounds is left out.
    """
    merged: dict[str, _Merging] = {}
    for process, snapshot in (*snapshots.items(), ("", archive)):
        for family in snapshot.families:
            known = merged.get(family.name)
            if known is None:
                known = merged[family.name] = _Merging(family)
            known.add(family, process)
    return Snapshot(tuple(family.done() for family in merged.values()))


def retire(archive: Snapshot, dead: Snapshot) -> Snapshot:
    """Return `archive` with the counters and histograms of a process that has ended.

    Gauges end with their process, and so does whatever is kept apart by process.
    """
    lasting = tuple(family for family in dead.families if lasts(family))
    return merge({"": archive}, Snapshot(lasting))


def lasts(family: Family) -> bool:
    """Return whether what a process counted outlives it."""
    return family.kind != "gauge" and family.across != "each"


def completed(told: Snapshot, kept: Snapshot) -> Snapshot:
    """Return what a process last told of itself, with the series of `kept` as those stand, which are never older."""
    families = {family.name: family for family in told.families}
    for family in kept.families:
        before = families.get(family.name)
        series = {} if before is None else {one.labels: one for one in before.series}
        for one in family.series:
            exemplars = series[one.labels].exemplars if one.labels in series else ()
            series[one.labels] = Series(one.labels, one.numbers, exemplars)
        families[family.name] = msgspec.structs.replace(family, series=tuple(series.values()))
    return Snapshot(tuple(families.values()))


class _Merging:
    """A family while it is being added up."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._shape = (family.kind, family.label_names, family.bounds)
        self._apart = family.across == "each"
        self._series: dict[tuple[str, ...], Series] = {}
        self._combine: Callable[[float, float], float] = max if family.across == "max" else add

    def add(self, family: Family, process: str) -> None:
        if (family.kind, family.label_names, family.bounds) != self._shape:
            return
        known = self._series
        for one in family.series:
            labels = (*one.labels, process) if self._apart else one.labels
            other = known.get(labels)
            if other is None:
                known[labels] = Series(labels, one.numbers, one.exemplars) if self._apart else one
            else:
                numbers = tuple(map(self._combine, other.numbers, one.numbers))
                known[labels] = Series(labels, numbers, _newest(other.exemplars, one.exemplars))

    def done(self) -> Family:
        names = self._family.label_names
        if self._apart:
            names = (*names, "process")
        return msgspec.structs.replace(self._family, label_names=names, series=tuple(self._series.values()))


def _newest(first: tuple[Exemplar, ...], second: tuple[Exemplar, ...]) -> tuple[Exemplar, ...]:
    if not first or not second:
        return first or second
    return tuple({one.bucket: one for one in sorted((*first, *second), key=lambda one: one.at)}.values())


def negotiated(accept: str) -> Format:
    """Return the format to answer an `Accept` header with: OpenMetrics where it is asked for at least as much."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, _, parameters = part.strip().partition(";")
        if (kind := kind.strip()) in wanted:
            found = _QUALITY.search(parameters)
            wanted[kind] = max(wanted[kind], float(found[1]) if found else 1.0)
    asked = wanted["application/openmetrics-text"]
    return "openmetrics" if asked > 0 and asked >= wanted["text/plain"] else "text"


def render(snapshot: Snapshot, form: Format = "text") -> str:
    """Return the snapshot in the Prometheus text format, version 0.0.4, or as OpenMetrics 1.0 with its exemplars."""
    return "".join(pieces(snapshot, form))


def pieces(snapshot: Snapshot, form: Format = "text") -> Iterator[str]:
    """Return what `render` does in many pieces, of which each is quickly made."""
    openmetrics = form == "openmetrics"
    for family in snapshot.families:
        # OpenMetrics names a counter without the suffix that its samples have.
        name = family.name.removesuffix("_total") if openmetrics and family.kind == "counter" else family.name
        escaped = _escape_label(family.help) if openmetrics else _escape_help(family.help)
        yield f"# HELP {name} {escaped}\n# TYPE {name} {family.kind}\n"
        if family.kind == "histogram":
            edges = _edges(family.bounds)
            for one in family.series:
                yield _histogram(family, one, edges, one.exemplars if openmetrics else ())
        else:
            for one in family.series:
                pairs = _pairs(family, one)
                yield (
                    f"{family.name}{{{pairs}}} {_number(one.numbers[0])}\n"
                    if pairs
                    else (f"{family.name} {_number(one.numbers[0])}\n")
                )
    if openmetrics:
        yield "# EOF\n"


def _histogram(family: Family, series: Series, edges: tuple[str, ...], exemplars: tuple[Exemplar, ...]) -> str:
    name, pairs, reached = family.name, _pairs(family, series), 0.0
    start = f"{name}_bucket{{{pairs}," if pairs else f"{name}_bucket{{"
    shown = {one.bucket: f' # {{trace_id="{one.trace}"}} {one.value!r} {one.at:.3f}' for one in exemplars}
    lines = []
    for index, edge in enumerate(edges):
        reached += series.numbers[index]
        lines.append(f'{start}le="{edge}"}} {_number(reached)}{shown.get(index, "")}\n')
    labels = f"{{{pairs}}}" if pairs else ""
    lines.append(f"{name}_count{labels} {_number(reached)}\n{name}_sum{labels} {_number(series.numbers[-1])}\n")
    return "".join(lines)


def _edges(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(bucket_label, bounds), "+Inf")


def _pairs(family: Family, series: Series) -> str:
    return ",".join(
        [f'{name}="{_escape_label(value)}"' for name, value in zip(family.label_names, series.labels, strict=True)]
    )


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
