"""A terminal taken over for a live view, and given back as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


class Terminal:
    """The screen and the keys of a terminal. `quit` is set by q, Ctrl-C and SIGTERM, `changed` by another size."""

    def __init__(self) -> None:
        """Use `taken_over`."""
        self.quit = asyncio.Event()
        self.changed = asyncio.Event()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        return columns or 80, rows or 24

    def draw(self, lines: Sequence[str]) -> None:
        """Replace what is on the screen, without a flicker; the first line is bold."""
        width, height = self.size
        shown = [_printable(line)[:width] for line in lines[:height]]
        shown[:1] = [f"{_BOLD}{line}{_PLAIN}" for line in shown[:1]]
        sys.stdout.write(_HOME + "\n".join(f"{line}{_TO_END_OF_LINE}" for line in shown) + _TO_END)
        sys.stdout.flush()

    async def wait(self, seconds: float) -> None:
        """Wait until it is to quit, has another size, or `seconds` have passed."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.quit, self.changed)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        self.changed.clear()

    def _pressed(self) -> None:
        # Nothing to read is the end of the input: nobody is left to press a key.
        keys = os.read(sys.stdin.fileno(), 100)
        if not keys or b"q" in keys or b"Q" in keys or b"\x03" in keys:
            self.quit.set()


def _printable(line: str) -> str:
    """Return `line` without what would steer the terminal: names come from whoever enqueued."""
    return "".join(character if character.isprintable() else "?" for character in line)


@asynccontextmanager
async def taken_over() -> AsyncIterator[Terminal]:
    """Take the terminal of the standard streams over within an `async with`; whatever happens, it is given back."""
    terminal = Terminal()
    loop = asyncio.get_running_loop()
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = None if keys is None else termios.tcgetattr(keys)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, terminal.quit.set)
    loop.add_signal_handler(signal.SIGWINCH, terminal.changed.set)
    try:
        if keys is not None:
            tty.setcbreak(keys)
            loop.add_reader(keys, terminal._pressed)
        sys.stdout.write(_ENTER)
        yield terminal
    finally:
        if keys is not None and before is not None:
            loop.remove_reader(keys)
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH):
            loop.remove_signal_handler(number)
