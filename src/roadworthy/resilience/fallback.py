"""Fallbacks: what is answered where a dependency does not, from rung to rung, and which rung it was."""

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, Protocol, TypeVar

from roadworthy.errors import DeclarationError

T = TypeVar("T")

CALL: Final = "call"
"""The rung of an answer that the dependency gave itself."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A value, and who gave it: `rung` is "call" where the dependency did, else the name of the fallback.

    `error` is why the dependency did not.
    """

    value: T
    rung: str = CALL
    error: Exception | None = None

    @property
    def fell_back(self) -> bool:
        """Whether this is not the dependency's own answer."""
        return self.rung != CALL


@dataclass(frozen=True, slots=True)
class Constant:
    """A rung that always answers the same `value`."""

    value: Any
    name: str = "constant"


@dataclass(frozen=True, slots=True)
class LastKnown:
    """A rung that answers what the same call got last, if that was within `age`; `entries` calls are remembered.

    Calls are the same that have equal arguments, which have to be hashable. The value itself is remembered, and not a
    copy: do not change what was answered.
    """

    age: timedelta
    entries: int = 1000
    name: str = "last_known"

    def __post_init__(self) -> None:
        if self.age <= timedelta(0):
            raise DeclarationError(f"last_known() has age={self.age}; make it positive")
        if self.entries < 1:
            raise DeclarationError(f"last_known() has entries={self.entries}; it must remember 1 at least")


Fallback = Constant | LastKnown | Callable[..., Any]
"""A rung as it is declared; a function is called with the arguments of the call, and is known by its name."""


def constant(value: Any) -> Constant:
    """Return a fallback that always answers `value`."""
    return Constant(value)


def last_known(age: timedelta, *, entries: int = 1000) -> LastKnown:
    """Return a fallback that answers what the same call got last, if that was within `age`."""
    return LastKnown(age, entries)


class NothingKnown(LookupError):
    """A rung has no answer."""


class Rung(Protocol):
    """One rung of a chain."""

    name: str

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any) -> None:
        """Hear what the dependency answered."""

    async def answer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return a value, or raise: then the next rung is asked."""


class _Constantly:
    def __init__(self, declared: Constant) -> None:
        self.name = declared.name
        self._value = declared.value

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any) -> None:
        """Learn nothing."""

    async def answer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return self._value


class _Calling:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self._function = function

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any) -> None:
        """Learn nothing."""

    async def answer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        value = self._function(*args, **kwargs)
        return await value if inspect.isawaitable(value) else value


class _Remembering:
    def __init__(self, declared: LastKnown, clock: Callable[[], float]) -> None:
        self.name = declared.name
        self._age = declared.age.total_seconds()
        self._entries = declared.entries
        self._clock = clock
        self._known: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any) -> None:
        try:
            self._known[_key(args, kwargs)] = (self._clock(), value)
        except TypeError:
            return
        self._known.move_to_end(_key(args, kwargs))
        if len(self._known) > self._entries:
            self._known.popitem(last=False)

    async def answer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            known = self._known.get(_key(args, kwargs))
        except TypeError:
            known = None
        if known is None or known[0] + self._age < self._clock():
            raise NothingKnown("nothing is known of such a call, or for too long")
        return known[1]


class Chain:
    """The fallbacks of one function, the best first."""

    def __init__(self, declared: Sequence[Fallback], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask in the order of `declared`; `clock` counts seconds.

        Raises:
            DeclarationError: one is no fallback, or two have one name.
        """
        self.rungs: list[Rung] = []
        self._clock = clock
        self._learning: list[Rung] = []
        for one in declared:
            self.add(one)

    def add(self, declared: Fallback) -> None:
        """Have `declared` be asked after all the others; raises as the constructor."""
        rung = self._rung(declared)
        if rung.name == CALL or any(rung.name == other.name for other in self.rungs):
            raise DeclarationError(f"a fallback is named {rung.name!r}, as another one is; give each a name of its own")
        self.rungs.append(rung)
        if isinstance(rung, _Remembering):
            self._learning.append(rung)

    def _rung(self, declared: Fallback) -> Rung:
        if isinstance(declared, Constant):
            return _Constantly(declared)
        if isinstance(declared, LastKnown):
            return _Remembering(declared, self._clock)
        if not callable(declared):
            raise DeclarationError(
                f"the fallback {declared!r} is no function; write constant({declared!r}) to have it answered"
            )
        return _Calling(declared)

    def learn(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], value: Any) -> None:
        """Hear what the dependency answered to a call."""
        for rung in self._learning:
            rung.learn(args, kwargs, value)

    async def answer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception) -> Answer[Any]:
        """Return what the first rung answers that does; raise `error`, the dependency's own, where none does."""
        last: Exception | None = None
        for rung in self.rungs:
            try:
                return Answer(await rung.answer(args, kwargs), rung.name, error)
            except Exception as failed:
                last = failed
        if last is not None and not isinstance(last, NothingKnown):
            raise error from last
        raise error


def _key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
    # 1, 1.0 and True are equal, and may be answered differently.
    values = kwargs.values()
    return (args, *map(type, args), *kwargs, *values, *map(type, values))
