"""What a rule finds: which rule, where, what is wrong and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

Weight = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a declaration.

    `place` is where it was declared ("path:line"). `weight` is "error" where the service would not do what it says, and
    "warning" where it would, though probably not what was meant.
    """

    rule: str
    weight: Weight
    place: str
    message: str
    fix: str


def failed(findings: tuple[Finding, ...]) -> bool:
    """Whether any finding is an error."""
    return any(finding.weight == "error" for finding in findings)


def render(findings: tuple[Finding, ...]) -> str:
    """Return the findings for people: grouped by place, in the order of the places, each with its fix."""
    lines = []
    for place, group in groupby(sorted_findings(findings), key=lambda finding: finding.place):
        lines.append(place)
        for finding in group:
            lines.append(f"  {finding.rule} {finding.weight}: {finding.message}")
            lines.append(f"        fix: {finding.fix}")
            lines.append(f"        see: {page(finding.rule)}")
    lines.append(_total(findings))
    return "\n".join(lines)


def as_json(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Return the findings as JSON objects, in the order that `render` prints them."""
    return [asdict(finding) | {"page": page(finding.rule)} for finding in sorted_findings(findings)]


def page(rule: str) -> str:
    """Return where in the documentation a rule is explained."""
    return f"docs/reference/rules/{rule}.md"


def sorted_findings(findings: tuple[Finding, ...]) -> list[Finding]:
    """Return the findings by place, in the order of the lines."""
    return sorted(findings, key=_order)


def _order(finding: Finding) -> tuple[str, int, str, str]:
    path, _, line = finding.place.rpartition(":")
    return (path, int(line), finding.rule, finding.message) if line.isdigit() else (finding.place, 0, finding.rule, "")


def _total(findings: tuple[Finding, ...]) -> str:
    errors = sum(finding.weight == "error" for finding in findings)
    warnings = len(findings) - errors
    if not findings:
        return "no findings"
    parts = [_count(errors, "error"), _count(warnings, "warning")]
    return ", ".join(part for part in parts if part)


def _count(number: int, noun: str) -> str:
    return "" if number == 0 else f"{number} {noun}{'' if number == 1 else 's'}"
