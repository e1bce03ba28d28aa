"""A stand-in for whoever spans and errors are told to: works, refuses, or takes everything and never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Manner = Literal["works", "refuses", "hangs"]


@dataclass
class Received:
    """What arrived: the path, the headers in lower case and the body of each request."""

    port: int
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def collector(manner: Manner = "works") -> Iterator[Received]:
    """Listen on a free port of this machine within a `with`."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if manner == "hangs":
                over.wait(60)
            self.send_response(400 if manner == "refuses" else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return None

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            return None

    server = Server(("127.0.0.1", 0), Handler)
    received = Received(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        over.set()
        server.shutdown()
        thread.join(5)
        server.server_close()
