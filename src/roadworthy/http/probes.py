"""The probes, answered before anything that could be slow, limited or broken.

On the main port a stranger learns the status alone; what is wrong is told on the operations port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from roadworthy.health.policy import CONTENT_TYPE, Status, http_status
from roadworthy.health.report import Health
from roadworthy.http.asgi import Receive, Scope, Send
from roadworthy.http.problems import Problem, ProblemResponse

Report = Mapping[str, Any]

PATHS = frozenset(("/livez", "/readyz", "/startupz", "/health"))

GROUPS = "/health/"
"""Before the name of a group of checks, on the operations port."""

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Probes:
    """Answers the probe paths. With `details`, `/health` tells what each check found."""

    def __init__(self, health: Health, *, details: bool = False) -> None:
        """Answer for `health`."""
        self._reports: dict[str, Callable[[], Awaitable[Report]]] = {
            "/livez": self._live,
            "/startupz": self._started,
            "/readyz": self._ready,
            "/health": health.report if details else self._status,
        }
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to one of the paths."""
        await self._answer(self._reports[scope["path"]], scope, receive, send)

    async def group(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to `/health/` and the name of a group, or of a check, with a report of its checks alone."""
        name = scope["path"].removeprefix(GROUPS)
        known = self._health.groups()
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            await ProblemResponse(Problem(404, detail=f"No check is in a group {name!r}; {there}."))(
                scope, receive, send
            )
            return
        await self._answer(lambda: self._health.report(name), scope, receive, send)

    async def _answer(
        self, report: Callable[[], Awaitable[Report]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await ProblemResponse(Problem(405, headers={"allow": "GET, HEAD"}))(scope, receive, send)
            return
        found = await report()
        await respond(scope, send, http_status(found["status"]), _encode(found), CONTENT_TYPE)

    async def _live(self) -> Report:
        return _only(self._health.live())

    async def _started(self) -> Report:
        return _only(self._health.started())

    async def _ready(self) -> Report:
        return _only(await self._health.ready())

    async def _status(self) -> Report:
        return _only(await self._health.status())


def _only(status: Status) -> Report:
    return {"status": status}


async def respond(scope: Scope, send: Send, status: int, body: bytes, content_type: str) -> None:
    """Send a whole response that is not to be cached; a HEAD request gets its headers alone."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
