"""What a cache did with a request, for people who debug it (`Cache-Status`, RFC 9211)."""

from __future__ import annotations

from typing import Literal

Forwarded = Literal["bypass", "method", "uri-miss", "vary-miss", "request", "stale", "partial", "miss"]


def hit(name: str, ttl: float, detail: str | None = None) -> bytes:
    """Return the value for a response from the store; `ttl` is for how many seconds it is fresh, negative if stale."""
    return _joined(name, "hit", f"ttl={int(ttl)}", None if detail is None else f"detail={detail}")


def forwarded(
    name: str,
    reason: Forwarded,
    *,
    status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str | None = None,
) -> bytes:
    """Return the value for a request that went to the application, or waited for another that did."""
    return _joined(
        name,
        f"fwd={reason}",
        None if status is None else f"fwd-status={status}",
        "stored" if stored else None,
        "collapsed" if collapsed else None,
        None if detail is None else f"detail={detail}",
    )


def refused(name: str, detail: str) -> bytes:
    """Return the value for a request that was neither served from the store nor sent on."""
    return _joined(name, f"detail={detail}")


def _joined(*parts: str | None) -> bytes:
    return "; ".join(part for part in parts if part is not None).encode("ascii")
