"""The lifespan of a served application: its service runs from before its startup until after its shutdown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from typing import TYPE_CHECKING

from roadworthy.http.asgi import ASGIApp, Message, Receive, Scope, Send
from roadworthy.telemetry.logging import get_logger

if TYPE_CHECKING:
    from roadworthy.service import Service

_log = get_logger(__name__)


class Lifespan:
    """Runs the service around the application's own lifespan, unless somebody already runs it.

    `starting` says that the application has not yet finished its startup.
    """

    def __init__(
        self, app: ASGIApp, service: Service, beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    ) -> None:
        """Run `service` around `app`, and what `beside` opens within it."""
        self._app = app
        self._service = service
        self._beside = beside
        self.starting = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the server's lifespan protocol."""
        startup = await receive()
        self.starting = True
        conversation = _Conversation(startup, receive, send)
        async with AsyncExitStack() as running:
            if not self._service.bound:
                try:
                    await running.enter_async_context(self._service.running())
                except Exception as error:
                    _log.exception("service did not start", service=self._service.name)
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
            await running.enter_async_context(self._beside())
            await self._inside(scope, conversation)
        if conversation.farewell is not None:
            await send(conversation.farewell)

    async def _inside(self, scope: Scope, conversation: _Conversation) -> None:
        try:
            await self._app(scope, conversation.receive, self._noticed(conversation))
        except Exception:
            # The protocol's way for an application to say that it has no lifespan is to raise.
            if conversation.answered and conversation.farewell is None:
                raise
            if conversation.answered:
                _log.exception("application did not shut down cleanly")
            elif conversation.heard:
                _log.exception("application failed at its startup, and is served all the same")
        if not conversation.answered:
            await self._noticed(conversation)({"type": "lifespan.startup.complete"})
        await conversation.shutdown()

    def _noticed(self, conversation: _Conversation) -> Send:
        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.starting = False
            await conversation.send(message)

        return send


class _Conversation:
    """The server's side of the lifespan protocol, as the application is to see it."""

    def __init__(self, startup: Message, receive: Receive, send: Send) -> None:
        self._pending: Message | None = startup
        self._receive = receive
        self._send = send
        self._shut_down = False
        self._failed = False
        self.heard = False
        self.answered = False
        self.farewell: Message | None = None

    async def receive(self) -> Message:
        """Return the startup message that was already read, then the server's next."""
        if self._pending is not None:
            message, self._pending = self._pending, None
            self.heard = True
            return message
        message = await self._receive()
        self._shut_down = message["type"] == "lifespan.shutdown"
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer to the startup on; keep that to the shutdown until the service has stopped too."""
        kind = message["type"]
        if kind.startswith("lifespan.startup."):
            self.answered = True
            self._failed = kind == "lifespan.startup.failed"
            await self._send(message)
        elif kind.startswith("lifespan.shutdown."):
            self.farewell = message

    async def shutdown(self) -> None:
        """Wait for the server's shutdown message where the application did not."""
        if self._failed:
            return
        self._pending = None
        while not self._shut_down:
            await self.receive()
        if self.farewell is None:
            self.farewell = {"type": "lifespan.shutdown.complete"}
