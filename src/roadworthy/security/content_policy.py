"""Content security policies, as CSP Level 3 writes them: from where a page may load what.

A policy that lets any script run is refused here: an inline script is named by its hash. Whoever needs more sets the
header in the application, which wins.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, fields

from roadworthy.errors import DeclarationError

Sources = tuple[str, ...]

_KEYWORDS = frozenset(
    {"self", "none", "unsafe-inline", "unsafe-eval", "unsafe-hashes", "strict-dynamic", "wasm-unsafe-eval"}
    | {"report-sample"}
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")
_HOST = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(?:\*|(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::(?:\d+|\*))?(?:/[^\s;,?#]*)?"
)
_HASH = re.compile(r"sha(?:256|384|512)-[A-Za-z0-9+/_-]+={0,2}")
_SCRIPTS = frozenset({"default", "script", "object"})
_OPEN = frozenset({"unsafe-inline", "unsafe-eval", "*", "data:", "http:", "https:", "blob:", "filesystem:"})
_REPORT = re.compile(r"/[^\s;,]*|https://[^\s;,]+")


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """What a page of the service may load, from where; None leaves it to `default`.

    Sources are "self", "none", schemes as "data:", hosts as "https://cdn.example.org", and what `inline` returns.
    `report_to` is the path or URL that browsers tell of what they refused.

    Raises DeclarationError for a source that is none, and where any script could run.
    """

    default: Sources | None = ("self",)
    script: Sources | None = None
    style: Sources | None = None
    img: Sources | None = None
    connect: Sources | None = None
    font: Sources | None = None
    media: Sources | None = None
    frame: Sources | None = None
    worker: Sources | None = None
    manifest: Sources | None = None
    object: Sources | None = ("none",)
    base_uri: Sources | None = ("none",)
    form_action: Sources | None = ("self",)
    frame_ancestors: Sources | None = ("none",)
    upgrade_insecure_requests: bool = False
    report_to: str | None = None

    def __post_init__(self) -> None:
        """Refuse what browsers would pass over, or what protects from nothing."""
        for directive, sources in self._directives():
            for source in sources:
                _check(directive, source)
            if len(sources) > 1 and "none" in sources:
                raise DeclarationError(f"content policy has {directive}={sources!r}; 'none' stands alone")
            if not sources:
                raise DeclarationError(f"content policy has {directive}=(); write ('none',), or None to leave it out")
        if self.default is None and self.script is None:
            raise DeclarationError("content policy has neither default nor script, so any script runs; give one")
        if self.report_to is not None and not _REPORT.fullmatch(self.report_to):
            raise DeclarationError(f"content policy has report_to={self.report_to!r}; write a path or an https URL")

    @property
    def text(self) -> str:
        """The header's value."""
        parts = [
            f"{_spelt(directive)} {' '.join(_quoted(source) for source in sources)}"
            for directive, sources in self._directives()
        ]
        if self.upgrade_insecure_requests:
            parts.append("upgrade-insecure-requests")
        if self.report_to is not None:
            parts.append(f"report-uri {self.report_to}")
        return "; ".join(parts)

    def _directives(self) -> list[tuple[str, Sources]]:
        named = [(one.name, getattr(self, one.name)) for one in fields(self)]
        for directive, sources in named:
            if isinstance(sources, str) and directive != "report_to":
                raise DeclarationError(f"content policy has {directive}={sources!r}; write ({sources!r},)")
        return [(directive, sources) for directive, sources in named if isinstance(sources, tuple)]


def inline(text: str) -> str:
    """Return the source that lets this very inline script or style run: its text between the tags, unchanged."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _check(directive: str, source: str) -> None:
    if directive in _SCRIPTS and source in _OPEN:
        raise DeclarationError(
            f"content policy has {source!r} in {directive}, so any script runs; name hosts, or an inline script by "
            "inline('its text')"
        )
    if source in _KEYWORDS or any(form.fullmatch(source) for form in (_SCHEME, _HOST, _HASH)):
        return
    raise DeclarationError(
        f"content policy has {source!r} in {directive}, which is no source; write 'self', 'none', a scheme as 'data:', "
        "a host as 'https://cdn.example.org', or inline('text')"
    )


def _spelt(directive: str) -> str:
    return directive.replace("_", "-") if "_" in directive else f"{directive}-src"


def _quoted(source: str) -> str:
    return f"'{source}'" if source in _KEYWORDS or _HASH.fullmatch(source) else source
