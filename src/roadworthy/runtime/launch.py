"""A program that becomes another one, after tying its life to its parent's and laying down root's rights.

It runs as a script of its own, `python -I -S launch.py PARENT SIGNAL IDENTITY PROGRAM ARGUMENTS...`, with the
standard library alone. A fresh interpreter may do between fork and exec what a child forked from a process with
threads may not.

IDENTITY is `same`, `user:UID:GID` to become that user, or `mapped:UID:GID` to keep one's own rights but be UID inside a
user namespace: PostgreSQL, which refuses to be user 0, accepts that, and still reaches what is in root's directories.
On Linux the kernel sends SIGNAL once the thread of PARENT that started this process has died.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000


def become(identity: str) -> None:
    """Change this process's user as IDENTITY says; OSError when the system does not allow it."""
    kind, *numbers = identity.split(":")
    if kind == "same":
        return
    uid, gid = (int(number) for number in numbers)
    if kind == "user":
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def die_with(parent: int, signal: int) -> None:
    """Ask for `signal` at the death of `parent`, and leave at once if that came first."""
    if sys.platform == "linux":
        _call("prctl", _PR_SET_PDEATHSIG, signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(f"process {parent}, for which this one was started, is gone")


def main(arguments: list[str]) -> None:
    """Do what the module says; a user change clears the death signal, hence the order."""
    parent, signal, identity, program, *rest = arguments
    become(identity)
    die_with(int(parent), int(signal))
    os.execv(program, [program, *rest])  # noqa: S606  # nosec B606  # what its parent, which is ours, has it run


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
