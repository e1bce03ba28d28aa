"""As which user PostgreSQL runs: ourselves, or when we are root, which PostgreSQL refuses to be, somebody else."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess  # nosec B404  # fixed programs, no shell
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roadworthy.errors import DatabaseUnavailable
from roadworthy.runtime import launch

_ACCOUNTS = ("postgres", "nobody")
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to run a program as. `uid` and `gid` own its files; `argument` is IDENTITY in `launch`."""

    uid: int
    gid: int
    argument: str

    def command(self, signal: int, program: Path, arguments: Sequence[str]) -> list[str]:
        """Return the command line of `program` as this user, which gets `signal` when the current process dies."""
        script = str(Path(launch.__file__))
        own = [sys.executable, "-I", "-S", script, str(os.getpid()), str(signal), self.argument]
        return [*own, str(program), *arguments]


def choose(directory: Path, program: Path) -> Identity:
    """Return who runs `program` on `directory`, both of which must exist.

    Anybody but root: ourselves. Root: whoever owns `directory` / "postgres", else the account postgres, else nobody,
    where both paths are open to that account; else root's own rights under another number in a user namespace. Nobody's
    permissions are changed to make a path reachable.

    Raises DatabaseUnavailable when root can use none of these.
    """
    if os.geteuid() != 0:
        return Identity(os.geteuid(), os.getegid(), "same")
    accounts = list(_accounts(directory / "postgres"))
    for account in accounts:
        if reaches(account, directory) and reaches(account, program):
            return Identity(account.pw_uid, account.pw_gid, f"user:{account.pw_uid}:{account.pw_gid}")
    for account in accounts:
        mapped = Identity(0, 0, f"mapped:{account.pw_uid}:{account.pw_gid}")
        if _works(mapped, program):
            return mapped
    names = " nor ".join(account.pw_name for account in accounts) or "no other user"
    raise DatabaseUnavailable(
        f"PostgreSQL refuses to run as root, and neither {names} can reach {directory} and {program}. Run as an "
        "ordinary user, set ROADWORTHY_DATA_DIR to a directory open to others such as /var/lib/roadworthy (and keep "
        "the virtual environment in one), or set DATABASE_URL"
    )


def reaches(account: pwd.struct_passwd, path: Path) -> bool:
    """Tell whether `account` may enter every directory on the way to `path`, and `path` itself."""
    return all(_may_enter(account, step.stat()) for step in (path.resolve(), *path.resolve().parents))


def _may_enter(account: pwd.struct_passwd, found: os.stat_result) -> bool:
    if account.pw_uid == found.st_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if account.pw_gid == found.st_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _accounts(data: Path) -> Iterable[pwd.struct_passwd]:
    owner = data.stat().st_uid if data.exists() else 0
    known = {account.pw_name: account for account in pwd.getpwall() if account.pw_uid != 0}
    yield from (account for account in known.values() if account.pw_uid == owner)
    yield from (known[name] for name in _ACCOUNTS if name in known and known[name].pw_uid != owner)


def _works(identity: Identity, program: Path) -> bool:
    command = identity.command(0, program, ["--version"])
    try:
        return subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False).returncode == 0  # nosec B603  # PostgreSQL's own programs
    except subprocess.TimeoutExpired:
        return False
