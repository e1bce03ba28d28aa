"""The sockets that are served on, bound before anything else is started."""

from __future__ import annotations

import errno
import socket
import time
from datetime import timedelta

from roadworthy.errors import SettingError

_BACKLOG = 1024
_RETRY_SECONDS = 0.05


def listen(host: str, port: int, variable: str, *, patience: timedelta = timedelta(seconds=1)) -> socket.socket:
    """Return a listening TCP socket; port 0 is any free one.

    A port in use is tried again for `patience`, since a process that was killed a moment ago may still be ending.

    Raises:
        SettingError: the address cannot be listened on; `variable` is the environment variable to change.
    """
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(_RETRY_SECONDS)
                continue
            raise SettingError(_refusal(host, port, variable, error)) from error


def address(listener: socket.socket) -> str:
    """Return the URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # nosec B104  # compared with, never bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def drain_delay(host: str, grace: timedelta) -> timedelta:
    """Return how long to serve on while unready: load balancers need some seconds to notice, and loopback has none."""
    return timedelta(seconds=0.1) if host in ("127.0.0.1", "::1", "localhost") else min(timedelta(seconds=5), grace / 4)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _refusal(host: str, port: int, variable: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use. Stop what listens there, or set {variable} to another port (0 for any "
            "free one)"
        )
    if error.errno != errno.EACCES:
        variable = variable.replace("PORT", "HOST")
    return f"cannot listen on {host} port {port} ({error.strerror or error}); set {variable} to another one"
