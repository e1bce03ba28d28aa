"""What a WebSocket is told that is not served: a response before it is accepted, a close code after.

Codes: IANA's WebSocket Close Code Number Registry (1008 policy violation, 1011 internal error, 1013 try again later).
"""

from __future__ import annotations

from http import HTTPStatus

from roadworthy.http.asgi import Message, Scope, Send

_POLICY_VIOLATION = 1008
_INTERNAL_ERROR = 1011
_TRY_AGAIN_LATER = 1013
_LATER = (429, 503, 504)


class Denials:
    """The `send` of a WebSocket, which a denial response passes as what the protocol has for that moment.

    `closed` says that nothing more can be sent.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        """Pass on to `send`."""
        self._send = send
        self._takes_responses = "websocket.http.response" in scope.get("extensions", {})
        self._accepted = False
        self.closed = False

    async def __call__(self, message: Message) -> None:
        """Send a message of the application's."""
        kind = message["type"]
        if kind == "websocket.accept":
            self._accepted = True
        elif kind == "websocket.close":
            self.closed = True
        elif kind == "websocket.http.response.start":
            self.closed = True
            if self._accepted or not self._takes_responses:
                await self._send(_close(message["status"]) if self._accepted else _refusal())
                return
        elif kind == "websocket.http.response.body" and (self._accepted or not self._takes_responses):
            return
        await self._send(message)


def _close(status: int) -> Message:
    """Return the end of an open connection for what a request would be answered with `status`."""
    code = _TRY_AGAIN_LATER if status in _LATER else _INTERNAL_ERROR if status >= 500 else _POLICY_VIOLATION
    return {"type": "websocket.close", "code": code, "reason": _phrase(status)}


def _refusal() -> Message:
    """Return what a server answers 403 to, before the connection is accepted."""
    return {"type": "websocket.close", "code": _POLICY_VIOLATION}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
