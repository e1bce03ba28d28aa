"""What a service has declared so far, and where each declaration was written."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.errors import DeclarationError

_PACKAGE_DIRECTORY = str(Path(__file__).parent)


@dataclass(slots=True)
class Declared:
    """What has been declared so far, in order; once `closed`, a declaration would never take effect, and is refused."""

    specs: dict[tuple[str, str], Any] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    closed: bool = False

    def check_open(self, what: str) -> None:
        if self.closed:
            raise DeclarationError(
                f"{declaring_place()}: {what} is declared while the service runs; declare it in a module that is "
                "imported before, such as the one that makes the Service"
            )

    def add(self, kind: str, spec: Any) -> None:
        self.check_open(f"{kind} {spec.name!r}")
        key = (kind, spec.name)
        place = declaring_place()
        if key in self.places:
            raise DeclarationError(
                f"{place}: {kind} {spec.name!r} is already declared at {self.places[key]}; rename one of them"
            )
        self.specs[key] = spec
        self.places[key] = place

    def of(self, kind: str) -> tuple[Any, ...]:
        return tuple(spec for (declared, _), spec in self.specs.items() if declared == kind)


def _declaring_frame() -> Any:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE_DIRECTORY):
        frame = frame.f_back
    return frame


def declaring_place() -> str:
    """Return the "path:line" of the code outside Roadworthy that is declaring something."""
    frame = _declaring_frame()
    path = Path(frame.f_code.co_filename)
    try:
        path = path.relative_to(Path.cwd())
    except ValueError:
        return f"{path}:{frame.f_lineno}"
    return f"{path}:{frame.f_lineno}"


def declaring_directory() -> Path:
    """Return the directory of the module that is declaring something."""
    return Path(_declaring_frame().f_code.co_filename).parent
