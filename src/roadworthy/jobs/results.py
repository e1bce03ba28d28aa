"""What a kept job returned: checked against its annotation, kept as JSON, converted back for whoever asks."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import msgspec

from roadworthy.errors import DeclarationError, InvalidResult

LARGEST = 1_000_000
"""The most bytes of one job's result."""


class ResultType:
    """The compiled return annotation of a job function."""

    def __init__(self, name: str = "", kind: Any = Any) -> None:
        """`name` is the job's, `kind` what it returns. Use `ResultType.of`."""
        self.name = name
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> ResultType:
        """Compile `function`'s return annotation; raise `DeclarationError` where JSON cannot carry it."""
        kind = typing.get_type_hints(function).get("return", Any)
        try:
            return cls(function.__name__, kind)
        except TypeError as error:
            raise DeclarationError(
                f"job {function.__name__!r} is kept, but returns what JSON cannot carry: {error}; return what it can"
            ) from None

    def encode(self, value: Any) -> bytes:
        """Return `value` as JSON; raise `InvalidResult` where it is not of the annotated type or too large."""
        try:
            encoded = msgspec.json.encode(value)
            self._decoder.decode(encoded)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidResult(
                f"job {self.name!r} is kept and returns {self._kind}, but returned something else: {error}"
            ) from None
        if len(encoded) > LARGEST:
            raise InvalidResult(
                f"job {self.name!r} returned {len(encoded):,} bytes, more than {LARGEST:,}; keep what is large "
                "elsewhere and return its id"
            )
        return encoded

    def decode(self, result: bytes) -> Any:
        """Return a kept result as what the annotation says; raise `InvalidResult` where it no longer fits."""
        try:
            return self._decoder.decode(result)
        except msgspec.MsgspecError as error:
            raise InvalidResult(
                f"job {self.name!r} returns {self._kind}, which the result kept with it does not fit: {error}"
            ) from None
