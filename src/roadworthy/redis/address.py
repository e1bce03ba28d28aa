"""Where Redis is: REDIS_URL, taken apart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

from roadworthy.errors import SettingError

_PORT = 6379
_DATABASES = 65536


@dataclass(frozen=True, slots=True)
class Address:
    """A server, who to be there, and the number of the database. `path` is a Unix socket's; host and port are unused.

    `authorities` is a file of certificate authorities for TLS instead of the system's. `verified` is False where the
    server's certificate is not looked at.
    """

    host: str = "127.0.0.1"
    port: int = _PORT
    path: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    encrypted: bool = False
    authorities: str | None = None
    verified: bool = True

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read `redis://`, `rediss://` (TLS) or `unix://` with user, password, host, port or path, and database.

        The number of the database is the path, or `?db=` beside the path of a socket. `?ssl_ca_certs=` names a file of
        authorities, `?ssl_cert_reqs=none` has any certificate do. Raises SettingError, without the password in it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            _refuse("its host or port cannot be read")
        if parts.scheme not in ("redis", "rediss", "unix"):
            _refuse(f"it begins with {parts.scheme or 'nothing'}://")
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if unknown := set(options) - {"db", "ssl_ca_certs", "ssl_cert_reqs"}:
            _refuse(f"option {min(unknown)!r} is not known; db, ssl_ca_certs and ssl_cert_reqs are")
        socket = parts.scheme == "unix"
        if socket and not parts.path:
            _refuse("it names no socket")
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=_PORT if port is None else port,
            path=unquote(parts.path) if socket else None,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            database=_database(options.get("db") or ("" if socket else parts.path.strip("/"))),
            encrypted=parts.scheme == "rediss",
            authorities=options.get("ssl_ca_certs"),
            verified=_verified(options.get("ssl_cert_reqs", "required")),
        )

    def __str__(self) -> str:
        """The address with `***` for a password."""
        scheme = "unix" if self.path else "rediss" if self.encrypted else "redis"
        secret = "" if self.password is None else f"{self.user or ''}:***@"
        if self.path:
            return f"{scheme}://{secret}{self.path}?db={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{secret}{host}:{self.port}/{self.database}"

    def security(self) -> ssl.SSLContext | None:
        """Return how TLS is to be spoken; None for not at all. Reads files. Raises SettingError for unreadable ones."""
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.authorities)
        except OSError as error:
            _refuse(f"ssl_ca_certs={self.authorities} cannot be read: {error}")
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and int(text) < _DATABASES):
        _refuse(f"{text!r} is no number of a database")
    return int(text)


def _verified(text: str) -> bool:
    if text not in ("required", "none"):
        _refuse(f"ssl_cert_reqs={text!r} is neither 'required' nor 'none'")
    return text == "required"


def _refuse(why: str) -> NoReturn:
    raise SettingError(
        f"REDIS_URL cannot be used: {why}. Write it as redis://user:password@host:port/0, rediss:// for TLS, or "
        "unix:///path/of/socket?db=0"
    )
