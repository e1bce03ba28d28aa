"""What a rule is: a stable id, and a function from what is checked to the problems it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from roadworthy.check.expression import Expression
from roadworthy.check.finding import Finding, Weight
from roadworthy.check.subject import Subject
from roadworthy.objectives.spec import ObjectiveSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that a rule sees. `kind` and `name` are what is declared, "service" being the service itself.

    `place` is where it stands, by default where that is declared.
    """

    kind: str
    name: str
    message: str
    fix: str
    place: str | None = None

    @classmethod
    def of(cls, faulty: Expression | ObjectiveSpec, message: str, fix: str) -> Problem:
        """Return a problem of an expression or an objective; the message goes on from its name."""
        if isinstance(faulty, Expression):
            return cls(faulty.kind, faulty.name, f"{faulty.kind} {faulty.name!r} {message}", fix, faulty.place)
        return cls("objective", faulty.name, f"objective {faulty.name!r} {message}", fix)


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
            place = problem.place or subject.place(problem.kind, problem.name)
            yield Finding(self.id, self.weight, place, problem.message, problem.fix)
