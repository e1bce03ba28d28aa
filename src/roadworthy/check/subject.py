"""What the rules look at: a declaration, what its application serves, and its alerts, parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from roadworthy.check.app import App
from roadworthy.check.catalogue import Series, catalogue
from roadworthy.check.promql import InvalidExpression, Node, parse, walk
from roadworthy.objectives.spec import AlertSpec
from roadworthy.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert with the tree of its expression, None where that is no PromQL; then `error` says why."""

    spec: AlertSpec
    tree: Node | None
    error: str = ""

    @classmethod
    def of(cls, spec: AlertSpec) -> Alert:
        """Return the alert, parsed."""
        try:
            return cls(spec, parse(spec.expression))
        except InvalidExpression as error:
            return cls(spec, None, str(error))


@dataclass(frozen=True, slots=True)
class Subject:
    """A service under check. `app` is None where none is known; `service_place` is where the service is made."""

    spec: ServiceSpec
    app: App | None
    service_place: str
    catalogue: Mapping[str, Series]
    alerts: tuple[Alert, ...]

    @classmethod
    def of(cls, spec: ServiceSpec, app: App | None, service_place: str) -> Subject:
        """Return the subject, its alerts parsed and its series listed."""
        return cls(spec, app, service_place, catalogue(spec, app), tuple(Alert.of(alert) for alert in spec.alerts))

    def parsed(self) -> Iterator[tuple[AlertSpec, Node]]:
        """Yield the alerts whose expression is PromQL."""
        for alert in self.alerts:
            if alert.tree is not None:
                yield alert.spec, alert.tree

    def nodes(self) -> Iterator[tuple[AlertSpec, Node]]:
        """Yield every node of every alert's expression."""
        for alert, tree in self.parsed():
            yield from ((alert, node) for node in walk(tree))

    def place(self, kind: str, name: str) -> str:
        """Return where something was declared; the service's own place where that is not known."""
        return self.spec.places.get((kind, name), self.service_place)
