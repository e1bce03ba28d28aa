"""What browsers are told to hold a service's responses to: the declaration, and the header fields that say it.

The values are those of the OWASP Secure Headers Project, but for the referrer: "no-referrer" would make browsers send
`Origin: null` with a form, which defeats checks of the origin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from roadworthy.errors import DeclarationError
from roadworthy.security.content_policy import ContentPolicy

Referrer = Literal["no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"]
Opener = Literal["same-origin", "same-origin-allow-popups", "unsafe-none"]
Reach = Literal["same-origin", "same-site", "cross-origin"]

Fields = tuple[tuple[bytes, bytes], ...]

STRICT_TRANSPORT = b"strict-transport-security"
NOTHING: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    (
        *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone"),
        *("midi", "payment", "usb"),
    ),
    (),
)
"""The powers of browsers that a page of a service rarely needs, each for nobody."""

_FEATURE = re.compile(r"[a-z][a-z0-9-]*")
_ALLOWED = re.compile(r"self|\*|https://[a-z0-9*.:-]+")
_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class BrowsersSpec:
    """What every response of a service tells browsers, unless the application sets the header itself.

    `permissions` are the origins that may use each power, as in {"camera": ("self",)}; those of `NOTHING` that it does
    not name are nobody's. `strict_transport` is for how long a browser insists on HTTPS, told over HTTPS alone, or with
    `https` always, where a proxy that says nothing ends TLS. `preload` asks browsers to know of it beforehand.

    Raises DeclarationError where a value breaks its rule.
    """

    content: ContentPolicy = field(default_factory=ContentPolicy)
    referrer: Referrer = "same-origin"
    opener: Opener = "same-origin"
    resource: Reach = "same-origin"
    permissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict_transport: timedelta = 2 * _YEAR
    subdomains: bool = False
    preload: bool = False
    https: bool = False
    name: str = "browsers"

    def __post_init__(self) -> None:
        """Refuse what browsers would pass over."""
        for feature, origins in self.permissions.items():
            if not _FEATURE.fullmatch(feature) or isinstance(origins, str):
                raise DeclarationError(
                    f"permissions have {feature!r}: {origins!r}; write as in {{'camera': ('self',)}}"
                )
            for origin in origins:
                if not _ALLOWED.fullmatch(origin):
                    raise DeclarationError(
                        f"permissions let {origin!r} use {feature!r}; write 'self' or an https origin"
                    )
        if self.strict_transport < timedelta(0) or self.strict_transport % timedelta(seconds=1):
            raise DeclarationError(f"strict_transport={self.strict_transport} is no time in whole seconds, 0 or more")
        if self.preload and (not self.subdomains or self.strict_transport < _YEAR):
            raise DeclarationError(
                "preload=True needs subdomains=True and strict_transport of a year: browsers list no other sites"
            )

    def fields(self) -> Fields:
        """Return the header fields of a response over HTTP; one over HTTPS has `strict_field` besides."""
        ancestors = self.content.frame_ancestors
        framing = b"DENY" if ancestors == ("none",) else b"SAMEORIGIN" if ancestors == ("self",) else None
        found = [
            (b"x-content-type-options", b"nosniff"),
            *([(b"x-frame-options", framing)] if framing is not None else []),
            (b"content-security-policy", self.content.text.encode()),
            (b"referrer-policy", self.referrer.encode()),
            (b"permissions-policy", self._permissions().encode()),
            (b"cross-origin-opener-policy", self.opener.encode()),
            (b"cross-origin-resource-policy", self.resource.encode()),
            # A server names itself where nothing is set, and that tells a stranger what to attack.
            (b"server", b""),
        ]
        return tuple(found)

    def strict_field(self) -> tuple[bytes, bytes]:
        """Return the field that has browsers insist on HTTPS."""
        value = f"max-age={int(self.strict_transport.total_seconds())}"
        value += "; includeSubDomains" if self.subdomains else ""
        return STRICT_TRANSPORT, (value + ("; preload" if self.preload else "")).encode()

    def _permissions(self) -> str:
        granted = {**NOTHING, **self.permissions}
        return ", ".join(
            f"{feature}=({' '.join(_quoted(origin) for origin in origins)})"
            for feature, origins in sorted(granted.items())
        )


def _quoted(origin: str) -> str:
    return origin if origin in ("self", "*") else f'"{origin}"'
