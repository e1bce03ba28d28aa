"""Findings for programs that show them beside the code, such as GitHub's code scanning.

Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import Any

from roadworthy._version import __version__
from roadworthy.check.finding import Finding, page, sorted_findings
from roadworthy.check.refusal import REFUSED, REFUSED_TITLE
from roadworthy.check.rules import RULES


def sarif(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """Return the findings as a SARIF log of one run, with every rule that there is."""
    titles = {REFUSED: (REFUSED_TITLE, "error")} | {rule.id: (rule.title, rule.weight) for rule in RULES}
    ids = list(titles)
    driver = {
        "name": "roadworthy",
        "semanticVersion": __version__,
        "rules": [
            {
                "id": id,
                "shortDescription": {"text": f"{title}."},
                "help": {"text": f"{title}. What it means, and how to mend it: {page(id)}"},
                "defaultConfiguration": {"level": weight},
            }
            for id, (title, weight) in titles.items()
        ],
    }
    results = [_result(finding, ids.index(finding.rule)) for finding in sorted_findings(findings)]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.weight,
        "message": {"text": f"{finding.message}\nFix: {finding.fix}"},
    }
    path, _, line = finding.place.rpartition(":")
    if line.isdigit():
        location = {"artifactLocation": {"uri": path}, "region": {"startLine": int(line)}}
        result["locations"] = [{"physicalLocation": location}]
    elif "/" in finding.place:
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": finding.place}}}]
    return result
