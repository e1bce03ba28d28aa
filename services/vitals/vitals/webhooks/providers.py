"""Who may send webhooks: each provider and the secrets that it signs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roadworthy import SettingError
from vitals.webhooks.signature import check_secret

PREFIX = "VITALS_SECRET_"
PROVIDERS = ("aggregator",)
"""Whose payloads can be read; each has a path of its own under /webhooks/."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A sender of webhooks, and its secrets, the current one first."""

    name: str
    secrets: tuple[bytes, ...]


def load(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Return the providers by name; one without a secret has none and is refused until it gets one.

    `VITALS_SECRET_AGGREGATOR` holds the secret, or several by commas while one replaces another.

    Raises:
        SettingError: a secret is weak; the message does not repeat it.
    """
    found = {}
    for name in PROVIDERS:
        variable = PREFIX + name.upper()
        try:
            secrets = tuple(check_secret(part.strip()) for part in environ.get(variable, "").split(",") if part.strip())
        except ValueError as error:
            raise SettingError(f"{variable} {error}") from None
        found[name] = Provider(name, secrets)
    return found
