"""Which exceptions are meant: some types, or whatever a function says."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.errors import DeclarationError

Exceptions = tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Exceptions of these types and those below them, or those for which a function returns True."""


def matching(exceptions: Exceptions) -> Callable[[Exception], bool]:
    """Return a function that tells whether an exception is one of those."""
    if not isinstance(exceptions, tuple):
        return exceptions
    types = exceptions
    return lambda error: isinstance(error, types)


def check_exceptions(what: str, option: str, exceptions: object) -> None:
    """Refuse what is neither a tuple of exception types nor a function; `what` has the `option`.

    Raises:
        DeclarationError: it is something else.
    """
    if isinstance(exceptions, tuple):
        wrong = [one for one in exceptions if not (isinstance(one, type) and issubclass(one, BaseException))]
    else:
        wrong = [] if callable(exceptions) and not isinstance(exceptions, type) else [exceptions]
    if wrong:
        raise DeclarationError(
            f"{what} has {option}= with {wrong[0]!r}, which is no exception; give a tuple of exception types, as in "
            f"{option}=(ConnectionError, TimeoutError), or a function of an exception that returns True or False"
        )
