"""Files that were emitted once and would not be any more, by the list that stands beside what is emitted.

A list knows every file whatever its format, and no file of another service's or of people's own. A header in each file
would not: JSON has no comments, and what somebody copied carries it along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from roadworthy.emit.runbooks import NOTES

_ENDING = ".emitted"
_HEADER = (
    "# What `roadworthy emit` has written here, so that it can take away what it would not write any more.\n"
    "# Keep it with the files.\n"
)


def list_name(service: str) -> str:
    """Return the name of the list of a service's files, below the directory of the files."""
    return f"{service}{_ENDING}"


def list_of(paths: Collection[str]) -> str:
    """Return the list of the files at `paths`."""
    return _HEADER + "".join(f"{path}\n" for path in sorted(paths))


def stale(directory: Path, service: str, paths: Collection[str]) -> tuple[str, ...]:
    """Return the files of a service that are there and are none of `paths`, which would be emitted now."""
    emitted = _listed(directory / list_name(service))
    others = {path for one in directory.glob(f"*{_ENDING}") if one.name != list_name(service) for path in _listed(one)}
    gone = sorted(set(emitted) - set(paths) - others)
    return tuple(path for path in gone if _inside(directory, path) and (directory / path).is_file())


def has_notes(page: Path) -> bool:
    """Whether people have written something into a runbook."""
    if page.suffix != ".md":
        return False
    notes = page.read_text(encoding="utf-8", errors="replace").partition(f"\n{NOTES}\n")[2]
    return any(line.strip() and not line.startswith("<!--") for line in notes.splitlines())


def remove(directory: Path, path: str) -> None:
    """Remove a file, and each directory that is empty without it."""
    (directory / path).unlink(missing_ok=True)
    for parent in (directory / path).parents:
        if parent == directory or any(parent.iterdir()):
            return
        parent.rmdir()


def _listed(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def _inside(directory: Path, path: str) -> bool:
    """Whether a path stays below the directory, whoever has written it into the list."""
    return (directory / path).resolve().is_relative_to(directory.resolve())
