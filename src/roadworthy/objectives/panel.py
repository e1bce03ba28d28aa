"""A panel that a service declares for its dashboard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from roadworthy.errors import DeclarationError

Unit = Literal["none", "short", "s", "bytes", "percentunit", "reqps", "ops", "cps", "dtdurations", "currencyUSD"]
"""Grafana's name of what a panel's numbers are."""

UNITS: tuple[str, ...] = get_args(Unit)

_ALERT_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel: the unit of its values, and its PromQL expressions, each with Grafana's template of a series' name.

    `may_be_empty` says why there may be no data although all is well, and `alert` names the alert whose threshold the
    panel shows.
    """

    name: str
    queries: tuple[tuple[str, str], ...]
    unit: Unit = "short"
    description: str = ""
    may_be_empty: str = ""
    alert: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or "\n" in self.name:
            raise DeclarationError(f"a panel's title is {self.name!r}; write one line that says what it shows")
        if not self.queries or not all(expression.strip() for _, expression in self.queries):
            raise DeclarationError(f"panel {self.name!r} has an empty expression; write the PromQL that it shows")
        if self.unit not in UNITS:
            raise DeclarationError(f"panel {self.name!r} has unit={self.unit!r}; it must be one of {', '.join(UNITS)}")
        if self.alert is not None and not _ALERT_NAME.fullmatch(self.alert):
            raise DeclarationError(
                f"panel {self.name!r} has alert={self.alert!r}; name an alert in CamelCase, as in 'LowSearchVolume'"
            )
