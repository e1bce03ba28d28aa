"""The header fields that every response tells browsers, made once: probes, unhandled errors and streams have them too.

Exchange adds them, since a middleware of the application's is not there where the application fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.security.browsers import BrowsersSpec, Fields


class SecureHeaders:
    """What is added to a response over HTTP (`plain`) and over HTTPS (`strict`)."""

    __slots__ = ("plain", "strict")

    def __init__(self, spec: BrowsersSpec) -> None:
        """Spell them out."""
        fields = spec.fields()
        self.strict: Fields = (*fields, spec.strict_field())
        self.plain: Fields = self.strict if spec.https else fields

    @classmethod
    def of(cls, declared: Sequence[BrowsersSpec]) -> SecureHeaders:
        """Return those of a declaration, or the defaults."""
        return cls(declared[0]) if declared else DEFAULT


DEFAULT = SecureHeaders(BrowsersSpec())
