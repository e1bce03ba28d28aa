"""Stand-ins for PagerDuty, Slack, a mail server and a dead man's switch, which note what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Receiver = Literal["page", "chat", "mail", "dead-mans-switch"]

RUNBOOKS = "https://runbooks.test"
"""The address of runbooks, by which a message tells which alerts of which service it is about."""

_ABOUT = re.compile(rf"{re.escape(RUNBOOKS)}/(?:(?P<service>[a-z0-9_-]+)/)?(?P<alert>\w+)\.md")
_LONGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver was told: `about` are the services and alerts named in it, `at` is by time.monotonic()."""

    receiver: Receiver
    status: Literal["firing", "resolved"]
    about: frozenset[tuple[str, str]]
    at: float


@dataclass(slots=True)
class Receivers:
    """All stand-ins. `http` and `smtp` are their ports."""

    http: int = 0
    smtp: int = 0
    messages: list[Message] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    _incidents: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @property
    def pagerduty_url(self) -> str:
        """Where PagerDuty's events go."""
        return f"http://127.0.0.1:{self.http}/page"

    @property
    def slack_url(self) -> str:
        """Slack's webhook."""
        return f"http://127.0.0.1:{self.http}/chat"

    @property
    def switch_url(self) -> str:
        """What the dead man's switch calls."""
        return f"http://127.0.0.1:{self.http}/dead-mans-switch"

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Receivers]:
        """Listen on free ports of this machine within an `async with`."""
        receivers = cls()
        http = await asyncio.start_server(receivers._answer, "127.0.0.1", 0, limit=_LONGEST)
        smtp = await asyncio.start_server(receivers._take_mail, "127.0.0.1", 0, limit=_LONGEST)
        receivers.http, receivers.smtp = (one.sockets[0].getsockname()[1] for one in (http, smtp))
        try:
            yield receivers
        finally:
            http.close()
            smtp.close()

    def told(self, receiver: Receiver, about: tuple[str, str], status: str, since: float) -> float | None:
        """Return when a receiver was first told this of an alert since a moment, None where it was not."""
        for message in self.messages:
            told = (message.receiver, message.status) == (receiver, status) and message.at >= since
            if told and about in message.about:
                return message.at
        return None

    def others(self, receiver: Receiver, about: tuple[str, str]) -> set[Receiver]:
        """Return which receivers but this one were ever told of an alert."""
        return {message.receiver for message in self.messages if about in message.about} - {receiver}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self._note(head.split(" ", 2)[1].lstrip("/"), json.loads(body))
                # PagerDuty answers 202, and its client takes nothing else.
                status = "202 Accepted" if head.startswith("POST /page") else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok".encode())
                await writer.drain()
        writer.close()

    def _note(self, path: str, body: dict[str, Any]) -> None:
        about = named(json.dumps(body))
        if path == "page":
            key = body["dedup_key"]
            resolved = body["event_action"] == "resolve"
            about = self._incidents[key] = about | self._incidents.get(key, frozenset())
            self._add("page", resolved, about)
        elif path == "chat":
            self._add("chat", body["attachments"][0]["title"].startswith("Over: "), about)
        elif path == "dead-mans-switch":
            self._add("dead-mans-switch", body["status"] == "resolved", about)
        else:
            self.unread.append(path)

    def _add(self, receiver: Receiver, resolved: bool, about: frozenset[tuple[str, str]]) -> None:
        self.messages.append(Message(receiver, "resolved" if resolved else "firing", about, time.monotonic()))

    async def _take_mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak as much of RFC 5321 as takes a message."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b"220 stand-in\r\n")
            while line := await reader.readline():
                verb = line.split()[0].upper() if line.split() else b""
                if verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    message = email.message_from_bytes(
                        await reader.readuntil(b"\r\n.\r\n"), policy=email.policy.default
                    )
                    body = message.get_body(("html", "plain"))
                    text = "" if body is None else str(body.get_content())
                    self._add("mail", str(message["subject"]).startswith("[RESOLVED"), named(text))
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    break
        writer.close()


def named(text: str) -> frozenset[tuple[str, str]]:
    """Return the services and alerts whose runbooks a message links to."""
    return frozenset((match["service"] or "", match["alert"]) for match in _ABOUT.finditer(text))
