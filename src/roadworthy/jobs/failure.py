"""An exception as it is kept: small enough to store, whole enough to debug."""

from __future__ import annotations

import traceback

from roadworthy.jobs.engine import Failure

_LONGEST_MESSAGE = 2_000
_LONGEST_TRACEBACK = 16_000


class RemoteError(Exception):
    """A job's function raised in another process."""

    def __init__(self, failure: Failure) -> None:
        """`failure` is what that process kept of the exception."""
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """Return what is kept of `error`: its class, message and traceback, each cut to a size a row can bear."""
    if isinstance(error, RemoteError):
        return error.failure
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception as second:
        message = f"<its message cannot be shown: {type(second).__name__}>"
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as second:
        trace = f"<its traceback cannot be shown: {type(second).__name__}>"
    return Failure(_storable(name, 200), _storable(message, _LONGEST_MESSAGE), _storable(trace, _LONGEST_TRACEBACK))


def _storable(text: str, longest: int) -> str:
    """Cut the middle out of a long text, and what PostgreSQL cannot store: NUL and lone surrogates."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
