"""A whole directory of files, emitted or written beside them by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from roadworthy.check.deployed.dashboards import Panel, panels
from roadworthy.check.deployed.rule_files import Unreadable, rules
from roadworthy.check.deployed.runbook_pages import queries
from roadworthy.check.expression import Expression

RULES, DASHBOARDS, RUNBOOKS = "prometheus/rules", "grafana/dashboards", "runbooks"
"""Where each kind stands below the directory."""

_ENDINGS = {RULES: (".yml", ".yaml"), DASHBOARDS: (".json",), RUNBOOKS: (".md",)}


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that cannot be read as what it should be, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a directory has. `runbooks` are the pages below where runbooks are, as in "shop/TargetDown.md"."""

    expressions: tuple[Expression, ...]
    panels: tuple[Panel, ...]
    runbooks: frozenset[str]
    faults: tuple[Fault, ...]


def belongs(path: str) -> bool:
    """Whether the file at `path` below the directory is one of those that are read."""
    return any(path.startswith(f"{below}/") and path.endswith(endings) for below, endings in _ENDINGS.items())


def deployment(files: Mapping[str, str], directory: str = "") -> Deployment:
    """Return what stands in `files`, texts by their path below `directory`, whose name begins each place."""
    expressions: list[Expression] = []
    shown: list[Panel] = []
    faults: list[Fault] = []
    for path, text in sorted(files.items()):
        if not belongs(path):
            continue
        place = str(PurePosixPath(directory) / path)
        try:
            if path.startswith(f"{RULES}/"):
                expressions += rules(text, place)
            elif path.startswith(f"{DASHBOARDS}/"):
                found, asked = panels(text, place)
                shown += found
                expressions += asked
            else:
                expressions += queries(text, place, path.removeprefix(f"{RUNBOOKS}/").removesuffix(".md"))
        except Unreadable as error:
            faults.append(Fault(place, str(error)))
    pages = frozenset(path.removeprefix(f"{RUNBOOKS}/") for path in files if path.startswith(f"{RUNBOOKS}/"))
    return Deployment(tuple(expressions), tuple(shown), pages, tuple(faults))
