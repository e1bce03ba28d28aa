"""An expression under check, wherever it stands: in the declaration, or in what was emitted or written beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from roadworthy.check.promql import InvalidExpression, Node, parse
from roadworthy.objectives.spec import AlertSpec

Kind = Literal["alert", "recording", "panel", "runbook"]

WATCHDOG = "Watchdog"
"""The alert that is meant to fire always: a dead man's switch misses it where alerts do not arrive."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule gives what it makes: its labels and annotations, templates and all. `duration` is an alert's `for`.

    `written` says whether that stands in a file; of a declared alert it is what will be emitted.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    duration: timedelta = timedelta(0)
    written: bool = True

    @property
    def severity(self) -> str:
        """Whom the alert tells, "" where it does not say."""
        return self.labels.get("severity", "")


@dataclass(frozen=True, eq=False, slots=True)
class Expression:
    """One expression. `name` is that of its alert, recording, panel or runbook; `place` is where it stands.

    `tree` is None where the text is no PromQL; then `error` says why. `may_be_empty` says why it need not have data.
    """

    kind: Kind
    name: str
    text: str
    place: str
    tree: Node | None
    error: str = ""
    rule: Rule | None = None
    may_be_empty: str = ""

    @classmethod
    def of(
        cls, kind: Kind, name: str, text: str, place: str, rule: Rule | None = None, may_be_empty: str = ""
    ) -> Expression:
        """Return the expression, parsed."""
        try:
            return cls(kind, name, text, place, parse(text), "", rule, may_be_empty)
        except InvalidExpression as error:
            return cls(kind, name, text, place, None, str(error), rule, may_be_empty)

    @classmethod
    def declared(cls, alert: AlertSpec, place: str) -> Expression:
        """Return that of an alert of the declaration."""
        rule = Rule({"severity": alert.severity}, {"summary": alert.summary}, alert.duration, written=False)
        return cls.of("alert", alert.name, alert.expression, place, rule)

    @property
    def alerting(self) -> Rule | None:
        """The rule of an alert; None for anything else."""
        return self.rule if self.kind == "alert" else None
