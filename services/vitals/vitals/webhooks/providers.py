"""Who may send webhooks: each provider, how it signs, and the secrets that it signs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roadworthy import Secret
from roadworthy.security.webhook import WebhookFormat
from vitals.service import aggregator_secret
from vitals.webhooks.signature import FORMAT


@dataclass(frozen=True, slots=True)
class Provider:
    """A sender of webhooks. One whose secret is not set is refused until it is."""

    name: str
    format: WebhookFormat
    secret: Secret

    @property
    def keys(self) -> tuple[bytes, ...]:
        """What it signs with, the current key first."""
        return tuple([self.format.key_of(value) for value in self.secret.values])


PROVIDERS: Mapping[str, Provider] = {"aggregator": Provider("aggregator", FORMAT, aggregator_secret)}
"""Whose payloads can be read; each has a path of its own under /webhooks/."""
