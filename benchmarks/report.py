"""One run's figures, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Better = Literal["more", "less"]

OURS = "roadworthy"


@dataclass(frozen=True, slots=True)
class Row:
    """A median: what was measured, on whom, how much of what, and whether more of it is better."""

    measure: str
    subject: str
    value: float
    unit: str
    better: Better


@dataclass(slots=True)
class Report:
    """Collects samples per measure and subject; `packages` names the distributions whose versions matter."""

    area: str
    packages: Sequence[str] = ()
    other_versions: dict[str, str] = field(default_factory=dict)
    _samples: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _units: dict[str, tuple[str, Better]] = field(default_factory=dict)

    def add(self, measure: str, subject: str, value: float, *, unit: str, better: Better) -> None:
        """Add one sample; the row's value is the median of all that were added."""
        if self._units.setdefault(measure, (unit, better)) != (unit, better):
            raise ValueError(f"{measure!r} was measured in {self._units[measure]} before, not in {(unit, better)}")
        self._samples.setdefault((measure, subject), []).append(value)

    def rows(self) -> list[Row]:
        """Return one row per measure and subject, measures in the order in which they first came."""
        found = [
            Row(measure, subject, median(samples), *self._units[measure])
            for (measure, subject), samples in self._samples.items()
        ]
        order = list(self._units)
        return sorted(found, key=lambda row: order.index(row.measure))

    def as_json(self) -> str:
        """Return the run in the shape that `--json` promises."""
        return json.dumps(
            {
                "area": self.area,
                "machine": machine(),
                "versions": self.versions(),
                "rows": [asdict(row) for row in self.rows()],
            },
            indent=2,
        )

    def as_table(self) -> str:
        """Return an aligned table: the median, the range of its samples, and our ratio to each peer."""
        ours = {row.measure: row.value for row in self.rows() if row.subject == OURS}
        lines = [("measure", "subject", "median", "lowest", "highest", "unit", "roadworthy is")]
        for row in self.rows():
            samples = self._samples[row.measure, row.subject]
            lines.append(
                (
                    row.measure,
                    row.subject,
                    _number(row.value),
                    _number(min(samples)),
                    _number(max(samples)),
                    row.unit,
                    _comparison(row, ours.get(row.measure)),
                )
            )
        versions = ", ".join(f"{name} {number}" for name, number in self.versions().items())
        return f"{_aligned(lines)}\n\n{machine()}\n{versions}"

    def versions(self) -> dict[str, str]:
        """Return the versions that the run depends on; a package that is not installed is left out."""
        found = {"python": platform.python_version()}
        for name in self.packages:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found | self.other_versions


def machine() -> str:
    """Return the processor, the number of cores that this process may use, and the kernel."""
    return f"{_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _comparison(row: Row, ours: float | None) -> str:
    if ours is None or row.subject == OURS or not row.value or not ours:
        return ""
    ratio = ours / row.value if row.better == "more" else row.value / ours
    return f"{ratio:.2f} times as good"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    numeric = {2, 3, 4}

    def laid_out(line: Iterable[str]) -> str:
        cells: list[Any] = [
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    header, *body = lines
    return "\n".join([laid_out(header), "  ".join("-" * width for width in widths), *map(laid_out, body)])
