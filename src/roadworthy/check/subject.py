"""What the rules look at: a declaration, what its application serves, and every expression, parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roadworthy.check.app import App
from roadworthy.check.catalogue import Series, catalogue
from roadworthy.check.deployed.deployment import Deployment
from roadworthy.check.expression import Expression, Rule
from roadworthy.check.promql import Node, walk
from roadworthy.check.recordings import recorded
from roadworthy.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class Subject:
    """A service under check. `app` is None where none is known; `service_place` is where the service is made.

    `expressions` are those of the declaration's alerts, and those of the `deployment` where one is checked.
    """

    spec: ServiceSpec
    app: App | None
    service_place: str
    catalogue: Mapping[str, Series]
    expressions: tuple[Expression, ...]
    deployment: Deployment | None

    @classmethod
    def of(
        cls,
        spec: ServiceSpec,
        app: App | None,
        service_place: str,
        deployment: Deployment | None = None,
        emitted: Deployment | None = None,
    ) -> Subject:
        """Return the subject, its expressions parsed and its series listed.

        What is recorded is read from `deployment`, or else from what would be `emitted`, which is not checked itself.
        """
        declared = (
            Expression.declared(alert, spec.places.get(("alert", alert.name), service_place)) for alert in spec.alerts
        )
        found = () if deployment is None else deployment.expressions
        known = catalogue(spec, app)
        if (text := deployment or emitted) is not None:
            known = recorded(known, text.expressions, spec)
        return cls(spec, app, service_place, known, (*declared, *found), deployment)

    def parsed(self) -> Iterator[tuple[Expression, Node]]:
        """Yield the expressions that are PromQL."""
        for expression in self.expressions:
            if expression.tree is not None:
                yield expression, expression.tree

    def alerts(self) -> Iterator[tuple[Expression, Rule, Node]]:
        """Yield the alerts whose expression is PromQL."""
        for expression, tree in self.parsed():
            if expression.alerting is not None:
                yield expression, expression.alerting, tree

    def nodes(self) -> Iterator[tuple[Expression, Node]]:
        """Yield every node of every expression."""
        for expression, tree in self.parsed():
            yield from ((expression, node) for node in walk(tree))

    def place(self, kind: str, name: str) -> str:
        """Return where something was declared; the service's own place where that is not known."""
        return self.spec.places.get((kind, name), self.service_place)
