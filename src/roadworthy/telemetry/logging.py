"""Logs: one line an event, readable on a terminal and JSON elsewhere; the only module that knows structlog.

Lines of the standard library's `logging`, and so of every third party, take the same way. What is put in the context
with `bound` (request, trace and job ids) is in every line written inside, whoever writes it.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from roadworthy.telemetry.masking import hidden, mask

Format = Literal["auto", "console", "json"]
Level = Literal["debug", "info", "warning", "error", "critical"]
Logger = FilteringBoundLogger
Secrets = Callable[[], Collection[str]]
"""Tells what must not stand in a line, whatever its name there."""

CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("roadworthy_log_context")
"""What every line of the current task carries. One variable, not one a key: setting it costs a tenth."""

_FIRST = ("timestamp", "level", "logger", "event")
_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure(
    format: Format = "auto", level: Level = "info", stream: TextIO | None = None, *, secrets: Secrets = tuple
) -> None:
    """Send every log line of the process to `stream` (standard error by default), without the values of `secrets`.

    `auto` is `console` when the stream is a terminal, `json` otherwise. Call it again to change any of it; handlers
    that somebody else put on the root logger are removed.
    """
    out = sys.stderr if stream is None else stream
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    terminal = out.isatty()
    console = format == "console" or (format == "auto" and terminal)
    colors = terminal and not os.environ.get("NO_COLOR")
    stamped, rendering = _processors(console=console, colors=colors, secrets=secrets)
    structlog.configure(
        processors=[*stamped, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *stamped],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])


def current() -> tuple[Format, Level]:
    """Return how lines are written now, for another process to write them alike."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter) for handler in root.handlers):
        return "auto", "info"
    level: Level = next(name for name, number in _LEVELS.items() if number >= root.level)
    return "json" if structlog.get_config()["processors"][-1] is _json else "console", level


def _processors(*, console: bool, colors: bool, secrets: Secrets = tuple) -> tuple[list[Processor], list[Processor]]:
    """Return what completes an event, and what turns it into a line."""
    completing: list[Processor] = [
        _in_context,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]
    line = _Console(colors=colors) if console else _json
    return completing, [structlog.processors.format_exc_info, _Masking(secrets), line]


def get_logger(name: str) -> Logger:
    """Return a logger; `name` is the module's, as in `get_logger(__name__)`.

    Until somebody configures the logs they are plain lines on standard error: structlog's own default prints local
    variables, secrets too, and does so where a script's output belongs.
    """
    if not structlog.is_configured():
        completing, rendering = _processors(console=True, colors=False)
        structlog.configure(
            processors=[*completing, *rendering], logger_factory=lambda *_: structlog.WriteLogger(sys.stderr)
        )
    return cast(Logger, structlog.get_logger(logger_name=name))


@contextmanager
def bound(**values: Any) -> Iterator[None]:
    """Put `values` into every line written inside the block, in this task and in those that it starts."""
    token = CONTEXT.set({**CONTEXT.get({}), **values})
    try:
        yield
    finally:
        CONTEXT.reset(token)


def _in_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    for name, value in CONTEXT.get({}).items():
        event.setdefault(name, value)
    return event


class _Masking:
    """Masks what stands under telling names and, anywhere in a line's texts, the values of secrets."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        secrets = self._secrets()
        for name, value in event.items():
            shown = mask(name, value)
            event[name] = hidden(shown, secrets) if secrets and isinstance(shown, str) else shown
        return event


def _json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {name: event.pop(name) for name in _FIRST if name in event}
    ordered.update(event)
    try:
        return _encoder.encode(ordered).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _encoder.encode(_plain(ordered)).decode()


class _Console:
    """A line for people, with a plain traceback."""

    def __init__(self, *, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        original = dict(event)
        try:
            return self._render(logger, method, event)
        except Exception:
            return self._render(logger, method, _plain(original))


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {_text(name): value if _fits_json(value) else _text(value) for name, value in event.items()}


def _fits_json(value: Any) -> bool:
    return isinstance(value, (bool, float)) or (isinstance(value, int) and value.bit_length() < 64)


def _text(value: Any) -> str:
    """Return something printable for any object: a log line is no place to fail in."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text.encode("utf-8", "backslashreplace").decode()


_encoder = msgspec.json.Encoder(enc_hook=_text)
