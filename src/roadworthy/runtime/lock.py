"""One owner for a data directory: a locked file that says who it is.

The kernel drops the lock with its holder, however that dies, so a lock is never stale.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from roadworthy.errors import AlreadyRunning

_MOST_BYTES = 4096


class DirectoryLock:
    """The right to use a directory, held from `acquire` to `release`."""

    def __init__(self, directory: Path) -> None:
        """`directory` exists by the time of `acquire`."""
        self._directory = directory
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunning, which names its holder's process and address."""
        if self._file is not None:
            return
        file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, _MOST_BYTES, 0).decode(errors="replace").split("\n")
            os.close(file)
            raise AlreadyRunning(_refusal(self._directory, holder)) from None
        self._file = file
        self.publish("")

    def publish(self, address: str) -> None:
        """Let those who are refused know under which `address` the holder can be seen."""
        if self._file is None:
            raise RuntimeError("publish() was called without the lock; call acquire() first")
        text = f"{os.getpid()}\n{address}\n".encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Give the lock back; without it, do nothing."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def _refusal(directory: Path, holder: list[str]) -> str:
    process = f"process {holder[0]}" if holder[0] else "a process that is just starting"
    address = f" at {holder[1]}" if len(holder) > 1 and holder[1] else ""
    return (
        f"{directory} is in use by {process}{address}. Use that one, stop it first, or set ROADWORTHY_DATA_DIR to "
        "another directory"
    )
