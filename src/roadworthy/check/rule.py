"""What a rule is: a stable id, and a function from what is checked to the problems it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roadworthy.check.finding import Finding, Weight
from roadworthy.check.subject import Subject
from roadworthy.objectives.spec import AlertSpec, ObjectiveSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a rule sees, in the declaration (`kind`, `name`); `kind` "service" is the service itself."""

    kind: str
    name: str
    message: str
    fix: str

    @classmethod
    def of(cls, declared: AlertSpec | ObjectiveSpec, message: str, fix: str) -> Problem:
        """Return a problem of an alert or an objective; the message goes on from its name."""
        kind = "alert" if isinstance(declared, AlertSpec) else "objective"
        return cls(kind, declared.name, f"{kind} {declared.name!r} {message}", fix)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. Its id never changes its meaning and is not given again; `title` says what the rule finds."""

    id: str
    title: str
    weight: Weight
    problems: Callable[[Subject], Iterator[Problem]]

    def find(self, subject: Subject) -> Iterator[Finding]:
        """Yield what the rule finds, each with the place of its declaration."""
        for problem in self.problems(subject):
            place = subject.place(problem.kind, problem.name)
            yield Finding(self.id, self.weight, place, problem.message, problem.fix)
