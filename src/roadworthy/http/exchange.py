"""One request and its response, as all layers see it: the `send` of the stack.

Layers that each wrapped `send` would each add a coroutine to every message. They share this one instead, and read from
it what the response has come to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from roadworthy.http.asgi import Headers, Message, Scope, Send
from roadworthy.http.headers import CLOSE, complete, is_event_stream
from roadworthy.http.security_headers import DEFAULT, SecureHeaders

if TYPE_CHECKING:
    from roadworthy.http.draining import Drain
    from roadworthy.http.problems import Problem


class Exchange:
    """The `send` that the layers pass on, knowing what went through it.

    `status` is None until the response has begun; `complete` says that its last byte was handed to the server;
    `disconnected` that the server refused a message because the client is gone; `failed` that the application raised.
    `fields` are the request's headers by name. `headers` are added to the response unless the application set them, and
    so are those of `secure`. `on_end` is called once, at the response's end, and `on_stream` where it turns out to be a
    stream of events, which has none. `task` is the one that runs the application.

    A layer that holds messages back or changes them sets `shaping`, which then takes each of the application's, and
    passes what it makes of them to the `shaping` that was there before, or to `forward`. A request that is `refused`
    while the application reads it is answered by the layer that refused it: of the application, only an answer with the
    same status goes through.
    """

    __slots__ = (
        "_drain",
        "_secure",
        "_send",
        "_trailers",
        "began",
        "complete",
        "disconnected",
        "failed",
        "fields",
        "headers",
        "https",
        "on_end",
        "on_stream",
        "refused",
        "scope",
        "shaping",
        "status",
        "task",
    )

    def __init__(self, scope: Scope, send: Send, drain: Drain, secure: SecureHeaders = DEFAULT) -> None:
        """Wrap the server's `send` for the request of `scope`."""
        self.scope = scope
        self.fields: Mapping[bytes, bytes] = {}
        self.headers: Headers = []
        self.https: bool = scope.get("scheme") == "https"
        self.status: int | None = None
        self.complete = False
        self.disconnected = False
        self.failed = False
        self.began = 0.0
        self.on_end: Callable[[Exchange], None] | None = None
        self.on_stream: Callable[[], object] | None = None
        self.task: asyncio.Task[Any] | None = None
        self.shaping: Send | None = None
        self.refused: Problem | None = None
        self._send = send
        self._drain = drain
        self._secure = secure
        self._trailers = False

    def __call__(self, message: Message) -> Awaitable[None]:
        """Pass a message of the application's on."""
        return (self.shaping or self.forward)(message)

    async def forward(self, message: Message) -> None:
        """Pass a message to the server."""
        kind = message["type"]
        if self.refused is not None and self.status is None:
            if kind != "http.response.start" or message["status"] != self.refused.status:
                return
            self.refused = None
        last = False
        if kind == "http.response.body":
            last = not message.get("more_body") and not self._trailers
        elif kind == "http.response.start":
            self.status = message["status"]
            self._trailers = message.get("trailers", False)
            message = {**message, "headers": self._completed(message.get("headers", ()))}
        elif kind == "http.response.trailers":
            last = not message.get("more_trailers")
        elif kind == "http.response.pathsend":
            last = not self._trailers
        try:
            await self._send(message)
        except OSError:
            self.disconnected = True
            raise
        if kind == "http.response.start" and self.task is not None and is_event_stream(message["headers"]):
            on_stream, self.on_stream = self.on_stream, None
            if on_stream is not None:
                on_stream()
            self._drain.begin_stream(self, self.task)
        if last:
            self.complete = True
            self.end()

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        ours = [*(self._secure.strict if self.https else self._secure.plain), *self.headers]
        # HTTP/2 has no such header.
        if self._drain.started and self.scope.get("http_version", "1.1").startswith("1"):
            ours.append(CLOSE)
        return complete(headers, ours)

    def end(self) -> None:
        """Note that nothing more is to be measured; later calls do nothing."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end(self)
