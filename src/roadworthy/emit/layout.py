"""Where panels stand: lines of up to three graphs or six numbers, on Grafana's grid of 24 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from roadworthy.emit.dashboard import Panel, Row

COLUMNS = 24

_STAT = (6, 4)
_GRAPH = (3, 8)
"""How many at most stand in a line, and how high they are."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle: its upper left corner, width and height, in cells of the grid."""

    x: int
    y: int
    width: int
    height: int


def placed(row: Row, top: int) -> Iterator[tuple[Panel, Place]]:
    """Yield the panels of a row with their places from line `top` on; those of a kind share a line."""
    for stat, group in groupby(row.panels, key=lambda panel: panel.shape == "stat"):
        panels = tuple(group)
        most, height = _STAT if stat else _GRAPH
        lines = math.ceil(len(panels) / most)
        for line in range(lines):
            some = panels[line * len(panels) // lines : (line + 1) * len(panels) // lines]
            for index, panel in enumerate(some):
                left, right = COLUMNS * index // len(some), COLUMNS * (index + 1) // len(some)
                yield panel, Place(left, top, right - left, height)
            top += height
