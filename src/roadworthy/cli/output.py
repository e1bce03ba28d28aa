"""What commands print: aligned tables, JSON, and colour where a person reads along."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_GAP = "  "
_NARROWEST = 8


def prepare_streams() -> None:
    """Have three standard streams that take every character, whatever the caller closed and whatever the locale.

    A socket that took the number of a closed one would be written to by whatever still prints.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print a line for people at once; a service goes on when nobody reads it any more."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def print_json(document: Any) -> None:
    """Print one indented JSON document."""
    encoded = msgspec.json.encode(document, order="deterministic")
    print(msgspec.json.format(encoded, indent=2).decode())


def styled(text: str, style: str) -> str:
    """Return `text` in a style (bold, dim, red, green, yellow) on a terminal; elsewhere and with NO_COLOR as it is."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print rows under a header, in columns; those named in `right` are aligned to the right.

    On a terminal the last column is cut to its width; anything else that reads gets every character.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    first, *others = table(header, rows, right=right, width=width)
    print(styled(first, "bold"))
    for line in others:
        print(line)


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), width: int | None = None
) -> list[str]:
    """Return rows under a header as lines, the last column cut where they would be wider than `width`."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header), *cells]) for column in range(len(header))]
    if width is not None:
        room = width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(room, _NARROWEST))
    to_right = [name in right for name in header]
    return [_line(row, widths, to_right) for row in (header, *cells)]


def _line(row: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    cells = []
    for cell, width, right in zip(row, widths, to_right, strict=True):
        shown = cell if len(cell) <= width else f"{cell[: width - 1]}…"
        cells.append(shown.rjust(width) if right else shown.ljust(width))
    return _GAP.join(cells).rstrip()
