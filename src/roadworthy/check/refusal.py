"""A declaration that was refused while it was being made, as a finding."""

from __future__ import annotations

import traceback
from pathlib import Path

from roadworthy.check.finding import Finding
from roadworthy.errors import DeclarationError

REFUSED = "RW001"
REFUSED_TITLE = "A declaration was refused: its value breaks a rule, or its name is taken"

_PACKAGE_DIRECTORY = Path(__file__).parent.parent


def refused(error: DeclarationError) -> Finding:
    """Return the finding for an error that importing a service raised, placed at the line that declares."""
    place = _place(error)
    message, _, fix = str(error).removeprefix(f"{place}: ").partition("; ")
    return Finding(REFUSED, "error", place, message, fix or "change the value so that it keeps the rule")


def _place(error: DeclarationError) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        # A dataclass's own __init__ is in "<string>".
        if not path.is_relative_to(_PACKAGE_DIRECTORY) and not frame.filename.startswith("<"):
            working_directory = Path.cwd()
            shown = path.relative_to(working_directory) if path.is_relative_to(working_directory) else path
            return f"{shown}:{frame.lineno}"
    return "unknown place"
