"""The handles of what a service calls: a dependency, and a batch."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial, wraps
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from roadworthy.bridge import from_thread
from roadworthy.declaration import declaring_place
from roadworthy.errors import DeclarationError, NotRunning, WrongThread
from roadworthy.handles.host import Host
from roadworthy.resilience.batching import Batching, BatchSpec
from roadworthy.resilience.breaker import Breaker
from roadworthy.resilience.dependency import OpenDependency
from roadworthy.resilience.fallback import Answer, Chain, Fallback, LastKnown
from roadworthy.resilience.spec import DependencySpec

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Guarded(Protocol[P, R]):
    """A function whose calls go through a dependency's policies."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it; raises as `Dependency.call`."""

    def answer(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call it, and return an `Answer` that says who gave it; to be awaited where the function is."""

    def fallback(self, function: F) -> F:
        """Have `function` answer with the same arguments where all the fallbacks declared so far do not."""

    @property
    def unguarded(self) -> Callable[P, R]:
        """The function itself."""


class Dependency:
    """The handle of something that the service calls: what is called through it can neither hang nor drag it down."""

    def __init__(self, service: Host, spec: DependencySpec) -> None:
        """Declared with `Service.dependency`."""
        self.spec = spec
        self._service = service
        self._what = f"dependency {spec.name!r}"

    @property
    def open(self) -> OpenDependency:
        """The dependency as it runs in this process; raises NotRunning."""
        dependencies = self._service.binding(self._what).dependencies
        if dependencies is None:
            raise NotRunning(self._what)
        return dependencies.of[self.spec.name]

    @property
    def breaker(self) -> Breaker:
        """The breaker in this process, to look at or to change by hand, as in `breaker.transition("forced_open")`.

        Raises:
            NotRunning: the service does not run here.
            DeclarationError: the dependency is declared without one.
        """
        breaker = self.open.breaker
        if breaker is None:
            raise DeclarationError(f"{self._what} has no breaker; declare it without breaker=None")
        return breaker

    async def call(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        idempotent: bool | None = None,
        fallback: Fallback | Sequence[Fallback] | None = None,
    ) -> T:
        """Await `function(*args)` within what is declared, and return what it returns.

        `idempotent` says that it may be called again, and twice at once; by default what the dependency says of all.
        `fallback` answers where it does not: a function that is called with `args`, `constant(value)`, or several of
        these from the best to the last. For keyword arguments, use `functools.partial`.

        Raises:
            BreakerOpen, BulkheadFull, CallThrottled: it was not called.
            DeadlineExceeded: it did not answer in time, or there was no time left to call it.
            Exception: whatever the function raised.
        """
        if fallback is None:
            return await self.open.call(self._idempotent(idempotent), function, *args)
        return (await self.answer(function, *args, idempotent=idempotent, fallback=fallback)).value

    async def answer(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        idempotent: bool | None = None,
        fallback: Fallback | Sequence[Fallback] = (),
    ) -> Answer[T]:
        """As `call`, but return an `Answer`, which also says who gave it, and why the dependency did not."""
        rungs = _rungs(fallback)
        if any(isinstance(rung, LastKnown) for rung in rungs):
            raise DeclarationError(
                "last_known() remembers what one function returned; declare it with guarded(fallback=...)"
            )
        return await self.open.answer(self._idempotent(idempotent), lambda: Chain(rungs), function, args, {})

    @overload
    def guarded(self, function: Callable[P, T], /) -> Guarded[P, T]: ...

    @overload
    def guarded(
        self, /, *, idempotent: bool | None = None, fallback: Fallback | Sequence[Fallback] = ()
    ) -> Callable[[Callable[P, T]], Guarded[P, T]]: ...

    def guarded(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        idempotent: bool | None = None,
        fallback: Fallback | Sequence[Fallback] = (),
    ) -> Any:
        """Have each call of a function pass what is declared; `idempotent` and `fallback` are as for `call`.

        `last_known(age)` is a fallback as well: what the same call got last. An async function stays one. A plain one
        is for threads: it waits as `from_thread` does and runs in a thread, which goes on after its time is over.

        Raises:
            DeclarationError: it is a generator, or a fallback cannot work.
        """

        def declare(function: Callable[..., Any]) -> Any:
            if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
                raise DeclarationError(
                    f"{declaring_place()}: {function.__qualname__} is a generator, whose call returns before anything "
                    f"can fail; guard the function that it asks for each item with {self._what}"
                )
            chain = Chain(_rungs(fallback))
            made = _guarded if inspect.iscoroutinefunction(function) else _plain_guarded
            return made(self, function, self._idempotent(idempotent), chain)

        return declare if function is None else declare(function)

    def _idempotent(self, said: bool | None) -> bool:
        return self.spec.idempotent if said is None else said


class Batch(Generic[K, V]):
    """The handle of a batch: `await batch.get(key)`, or `await batch(key)`."""

    def __init__(self, service: Host, spec: BatchSpec) -> None:
        """Declared with `Service.batched`."""
        self.spec = spec
        self._service = service
        self._what = f"batch {spec.name!r}"

    @property
    def open(self) -> Batching[K, V]:
        """The batch as it runs in this process; raises NotRunning."""
        dependencies = self._service.binding(self._what).dependencies
        if dependencies is None:
            raise NotRunning(self._what)
        return dependencies.batches[self.spec.name]

    async def get(self, key: K) -> V:
        """Return the value of `key`, loaded together with those that others ask for.

        Raises:
            BulkheadFull: so many keys as may be wait already.
            KeyNotAnswered: the loader had no value for it.
            Exception: whatever the loader raised, or had for this key.
        """
        return await self.open.get(key)

    async def get_many(self, keys: Sequence[K]) -> list[V]:
        """Return the values of `keys`, in their order; raises as `get`, for the first that fails."""
        return await self.open.get_many(keys)

    __call__ = get


def _rungs(fallback: Fallback | Sequence[Fallback]) -> tuple[Fallback, ...]:
    return tuple(fallback) if isinstance(fallback, list | tuple) else (cast(Fallback, fallback),)


def _guarded(dependency: Dependency, function: Callable[..., Awaitable[Any]], idempotent: bool, chain: Chain) -> Any:
    async def answer(*args: Any, **kwargs: Any) -> Answer[Any]:
        answered = await dependency.open.answer(idempotent, lambda: chain, function, args, kwargs)
        if not answered.fell_back:
            chain.learn(args, kwargs, answered.value)
        return answered

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if not chain.rungs:
            return await dependency.open.call(idempotent, function, *args, **kwargs)
        return (await answer(*args, **kwargs)).value

    return _with(call, answer, function, chain)


def _plain_guarded(dependency: Dependency, function: Callable[..., Any], idempotent: bool, chain: Chain) -> Any:
    async def in_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(partial(function, *args, **kwargs))

    guarded = _guarded(dependency, in_thread, idempotent, chain)

    def answer(*args: Any, **kwargs: Any) -> Answer[Any]:
        if asyncio._get_running_loop() is not None:
            raise WrongThread(
                f"guarded function {function.__name__!r} was called on the event loop, which it would block; call it "
                "in a thread, as with asyncio.to_thread(), or make it async"
            )
        answered: Answer[Any] = from_thread(guarded.answer(*args, **kwargs))
        return answered

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return answer(*args, **kwargs).value

    return _with(call, answer, function, chain)


def _with(call: Any, answer: Any, function: Callable[..., Any], chain: Chain) -> Any:
    def fallback(other: F) -> F:
        chain.add(other)
        return other

    call.answer, call.fallback, call.unguarded = answer, fallback, function
    return call
