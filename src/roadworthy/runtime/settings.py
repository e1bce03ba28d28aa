"""What the environment decides: each variable's type, rule and default, and where the value in use came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from roadworthy.database.driver import masked
from roadworthy.errors import SettingError
from roadworthy.telemetry.masking import MASK

if TYPE_CHECKING:
    from roadworthy.telemetry.logging import Format, Level

Source = Literal["environment", "default"]

PREFIX = "ROADWORTHY_"

_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error", "critical")
_FORMATS: tuple[Format, ...] = ("auto", "console", "json")
_MOST_PROCESSES = 10_000
_MOST_PROXIES = 20
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. `parse` turns its text into a value, or raises ValueError with the rule and the fix."""

    name: str
    description: str
    default: str | None
    parse: Callable[[str], Any]
    secret: bool = False
    mask: Callable[[str], str] = masked


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as people see it. `value` is None where nothing is set; passwords in it are masked."""

    name: str
    value: str | None
    source: Source
    description: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides. `entries` tells of each value where it came from.

    `database_url` of None means the embedded PostgreSQL, below `data_directory`. A port of 0 lets the system choose.
    `drain` is how long a process may take to finish its work when told to stop, `hung_after` for how long it may say
    nothing before it is started again. `encryption_keys` are for encrypted
    jobs. Spans go to the collector at `otlp_endpoint`, errors to the Sentry of `sentry_dsn`. `warnings` are lines for
    the log.
    """

    database_url: str | None
    redis_url: str | None
    data_directory: Path
    host: str
    port: int
    operations_host: str
    operations_port: int
    service: str | None
    log_level: Level
    log_format: Format
    drain: timedelta
    hung_after: timedelta
    trusted_proxies: int
    processes: int
    encryption_keys: str | None
    otlp_endpoint: str | None
    otlp_headers: tuple[tuple[str, str], ...] | None
    sentry_dsn: str | None
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `environ`; an empty value counts as none.

        Raises SettingError, which names the variable, its value, the rule and the fix.
        """
        values: dict[str, Any] = {}
        entries = []
        for field, variable in VARIABLES.items():
            text = environ.get(variable.name, "").strip()
            source: Source = "environment" if text else "default"
            written = text or variable.default
            try:
                values[field] = None if written is None else variable.parse(written)
            except ValueError as error:
                shown = variable.mask(text) if variable.secret else text
                raise SettingError(f"{variable.name}={shown!r} {error}") from None
            shown_value = variable.mask(written) if written is not None and variable.secret else written
            entries.append(Entry(variable.name, shown_value, source, variable.description, variable.secret))
        if values["port"] and values["port"] == values["operations_port"]:
            raise SettingError(
                f"ROADWORTHY_OPERATIONS_PORT={values['port']} is ROADWORTHY_PORT as well; it shows what strangers must "
                "not see, so give it a number of its own"
            )
        return cls(**values, entries=tuple(entries), warnings=tuple(_unknown(environ)))


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            known = parts.scheme in schemes and parts.port != -1  # to ask for a port that is no number raises
        except ValueError:
            known = False
        if not known:
            raise ValueError(f"is no {schemes[0]} URL; write it as {schemes[0]}://user:password@host:port/name")
        return text

    return parse


def _hidden(_text: str) -> str:
    return MASK


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != -1
    except ValueError:
        known = False
    if not known:
        raise ValueError("is no URL of the web; write it as http://host:4318")
    return text


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not equals or not _HEADER_NAME.fullmatch(name.strip()) for name, equals, _ in pairs):
        raise ValueError("are no headers; write them as name=value, separated by commas")
    return tuple((name.strip(), unquote(value.strip())) for name, _, value in pairs)


def _sentry_dsn(text: str) -> str:
    try:
        parts = urlsplit(_web_url(text))
    except ValueError:
        parts = urlsplit("")
    if not parts.username or not parts.path.rpartition("/")[2].isdecimal():
        raise ValueError("is no DSN of Sentry; copy it from the project's settings, as https://key@host/1")
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise ValueError("is no port; write a number from 0 (any free one) to 65535")
    return int(text)


def _proxies(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _MOST_PROXIES:
        raise ValueError(f"is no number of proxies; count those that every request passes, from 0 to {_MOST_PROXIES}")
    return int(text)


def _processes(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= _MOST_PROCESSES:
        raise ValueError(f"is no number of processes; count those that serve requests, from 1 to {_MOST_PROCESSES}")
    return int(text)


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("is no host; write a name or an address such as 127.0.0.1, or 0.0.0.0 to listen on all")
    return text


def _directory(text: str) -> Path:
    if not text.isprintable():
        raise ValueError("holds what cannot be printed or this locale cannot name; name another, or set LC_ALL=C.UTF-8")
    try:
        path = Path(text).expanduser()
        wrong = path.exists() and not path.is_dir()
    except (OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot be used ({why}); name another directory") from None
    if wrong:
        raise ValueError("is no directory; name a directory, which is created if absent")
    return path


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"is not known; write one of {', '.join(choices)}")
        return text.lower()

    return parse


def _seconds(text: str) -> timedelta:
    try:
        duration = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        duration = timedelta(-1)
    if not timedelta(0) <= duration <= timedelta(hours=1):
        raise ValueError("is no such time; write a number of seconds from 0 to 3600")
    return duration


VARIABLES: Mapping[str, Variable] = {
    "database_url": Variable(
        "DATABASE_URL",
        "The PostgreSQL to use; unset, `roadworthy run` starts one of its own",
        None,
        _url("postgresql", "postgres"),
        secret=True,
    ),
    "redis_url": Variable(
        "REDIS_URL",
        "A Redis or Valkey that caches and limits share; unset, they share the database",
        None,
        _url("redis", "rediss", "unix"),
        secret=True,
    ),
    "data_directory": Variable(
        "ROADWORTHY_DATA_DIR", "Where the embedded PostgreSQL and the logs are kept", ".roadworthy", _directory
    ),
    "host": Variable("ROADWORTHY_HOST", "The address that the service listens on", "127.0.0.1", _host),
    "port": Variable("ROADWORTHY_PORT", "The port that the service listens on", "8000", _port),
    "operations_host": Variable(
        "ROADWORTHY_OPERATIONS_HOST", "The address for probes, metrics and full health", "127.0.0.1", _host
    ),
    "operations_port": Variable(
        "ROADWORTHY_OPERATIONS_PORT", "The port for probes, metrics and full health", "9100", _port
    ),
    "service": Variable("ROADWORTHY_SERVICE", "The service to run where the command line names none", None, str),
    "log_level": Variable("ROADWORTHY_LOG_LEVEL", "The least severe log lines to write", "info", _one_of(*_LEVELS)),
    "log_format": Variable(
        "ROADWORTHY_LOG_FORMAT",
        "How log lines look; auto is console on a terminal, else json",
        "auto",
        _one_of(*_FORMATS),
    ),
    "drain": Variable(
        "ROADWORTHY_DRAIN_SECONDS", "Seconds in which requests and jobs may finish at a stop", "20", _seconds
    ),
    "hung_after": Variable(
        "ROADWORTHY_HUNG_SECONDS",
        "Seconds without a word after which a process is killed and started again; 0 for never",
        "60",
        _seconds,
    ),
    "trusted_proxies": Variable(
        "ROADWORTHY_TRUSTED_PROXIES",
        "Proxies before the service that append to X-Forwarded-For, counted for clients' addresses",
        "0",
        _proxies,
    ),
    "processes": Variable(
        "ROADWORTHY_PROCESSES",
        "Processes that serve requests, on all machines; each has its share of a limit while the store is away",
        "1",
        _processes,
    ),
    "encryption_keys": Variable(
        "ROADWORTHY_ENCRYPTION_KEYS",
        "Keys of encrypted jobs, 32 bytes in base64 each: the first encrypts, all decrypt",
        None,
        str,
        secret=True,
        mask=_hidden,
    ),
    "otlp_endpoint": Variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "The collector that spans are sent to, by OTLP over HTTP; unset, none are recorded",
        None,
        _web_url,
    ),
    "otlp_headers": Variable(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Headers of what is sent to that collector, as name=value, separated by commas",
        None,
        _headers,
        secret=True,
        mask=_hidden,
    ),
    "sentry_dsn": Variable(
        "SENTRY_DSN",
        "The Sentry that errors are reported to; unset, none are",
        None,
        _sentry_dsn,
        secret=True,
        mask=_hidden,
    ),
}
"""The environment variable behind each field of Settings."""


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [variable.name.removeprefix(PREFIX) for variable in VARIABLES.values()]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
            advice = f"; did you mean {PREFIX}{close[0]}?" if close else ""
            lines.append(f"{name} is no setting and does nothing{advice}")
    return lines
