"""A circuit breaker: what fails too often is left alone for a while, and asked again with a few calls.

Its states and rates are resilience4j's (`io.github.resilience4j.circuitbreaker`). It differs where that one is
complained of: a result counts only for the state in which its call began, a call that is cancelled gives its permit
back, one that never ends does not keep it half open, and no lock is held while a call runs.
"""

from __future__ import annotations

import inspect
import math
import random as randomness
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from threading import RLock
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

from roadworthy.errors import BreakerOpen, InvalidTransition
from roadworthy.resilience.breaker_spec import BreakerSpec
from roadworthy.resilience.exceptions import matching
from roadworthy.resilience.windows import FAILED, SLOW, CountWindow, Outcomes, TimeWindow
from roadworthy.telemetry.logging import get_logger

__all__ = ["Breaker", "BreakerReading", "BreakerSpec", "Permit", "State", "Transition"]

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

State = Literal["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"]
"""`forced_open` lets nothing through, `disabled` everything without looking, `metrics_only` everything, looking."""


class Permit:
    """Leave to make one call, or while nothing is held back, any number of them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state, and why. A `metrics_only` breaker that would have opened stays what it was."""

    breaker: str
    before: State
    after: State
    why: str


@dataclass(frozen=True, slots=True)
class BreakerReading:
    """How a breaker stands: its state, and what its window holds.

    The rates are shares, −1 while too few calls have ended. `retry_after` is in how many seconds an open breaker lets
    calls through; None where it is not open, or does not by itself.
    """

    state: State
    calls: int
    failures: int
    slow: int
    failure_rate: float
    slow_call_rate: float
    retry_after: float | None


class Breaker:
    """One breaker of one process. Tasks and threads may use it together.

    Every change is made under a lock that is held for a few operations, never while a call runs, an exception or a
    result is judged, or a listener is told. While a window of calls holds no failure, another success only adds to
    `successes`, by one `+=` that the interpreter's lock does not let another thread into.

    `successes`, `failures`, `ignored` and `rejected` count the calls since it was made, whatever its state; `slow`
    those of the first two that took too long, `transitions` the changes of its state.
    """

    __slots__ = (
        "_by_time",
        "_changed",
        "_clock",
        "_exceeded",
        "_free",
        "_half_open_wait",
        "_is_failure",
        "_is_ignored",
        "_judge_result",
        "_lock",
        "_needed",
        "_openings",
        "_passing",
        "_probes",
        "_random",
        "_settled",
        "_settles",
        "_slow_after",
        "_state",
        "_telling",
        "_timed",
        "_until",
        "_untold",
        "_window",
        "failures",
        "ignored",
        "name",
        "rejected",
        "slow",
        "spec",
        "successes",
        "transitions",
    )

    def __init__(
        self,
        name: str,
        spec: BreakerSpec | None = None,
        *,
        state: State | None = None,
        changed: Callable[[Transition], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """Make the breaker `name`; `changed` is told of each transition, in order, by who brought it about.

        It begins in `state`, by default closed, or `metrics_only` if its spec says `shadow`. `clock` counts seconds and
        never goes back, `random` draws from 0 up to 1.
        """
        self.name = name
        self.spec = spec = BreakerSpec() if spec is None else spec
        self.successes = self.failures = self.ignored = self.rejected = self.slow = self.transitions = 0
        self._changed, self._clock, self._random = changed, clock, random
        self._is_failure, self._is_ignored = matching(spec.failures), matching(spec.ignored)
        self._judge_result = spec.counts_as_failure
        self._slow_after = None if spec.slow_after is None else spec.slow_after.total_seconds()
        self._half_open_wait = math.inf if spec.half_open_wait is None else spec.half_open_wait.total_seconds()
        self._timed = self._slow_after is not None
        # The garbage collector may end a call that was dropped, and report it, in the midst of anything done under it.
        self._lock = RLock()
        self._untold: list[Transition] = []
        self._telling = False
        # The permit of all calls that begin while none is held back: a new one in each state, so that a result tells
        # for which state its call began.
        self._passing: Permit | None = None
        self._window: Outcomes | None = None
        self._needed = spec.needed
        # True while a success changes nothing but its count: a full window of calls without a failure, or none at all.
        self._settled = False
        self._settles = spec.window == "count" and not self._timed and self._judge_result is None
        self._exceeded = False
        # Calls that run half open, oldest first, and since when.
        self._probes: dict[Permit, float] = {}
        self._free = 0
        self._until = 0.0
        self._openings = 0
        self._state: State = ("metrics_only" if spec.shadow else "closed") if state is None else state
        self._enter(self._state)

    # What calls go through.

    async def call(self, function: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Call an asynchronous function, and return what it returns.

        Raises:
            BreakerOpen: it was not called.
            Exception: whatever the function raised.
        """
        permit = self._passing
        if permit is None:
            permit = self._probe()
        began = self._clock() if self._timed else 0.0
        try:
            result = await (function(*arguments, **options) if options else function(*arguments))  # type: ignore[call-arg]
        except Exception as error:
            self.failed(permit, self._clock() - began if self._timed else 0.0, error)
            raise
        except BaseException:
            self.released(permit)
            raise
        if self._settled and permit is self._passing:
            self.successes += 1
        else:
            self.succeeded(permit, self._clock() - began if self._timed else 0.0, result)
        return result

    def call_sync(self, function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call a synchronous function, in this thread; otherwise as `call`."""
        permit = self._passing
        if permit is None:
            permit = self._probe()
        began = self._clock() if self._timed else 0.0
        try:
            result = function(*arguments, **options) if options else function(*arguments)  # type: ignore[call-arg]
        except Exception as error:
            self.failed(permit, self._clock() - began if self._timed else 0.0, error)
            raise
        except BaseException:
            self.released(permit)
            raise
        if self._settled and permit is self._passing:
            self.successes += 1
        else:
            self.succeeded(permit, self._clock() - began if self._timed else 0.0, result)
        return result

    def __call__(self, function: F) -> F:
        """Decorate a function, asynchronous or not, so that each call of it goes through here.

        Raises:
            TypeError: it is a generator, whose call only begins.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"breaker {self.name!r} cannot guard the generator {function.__qualname__}: its call returns before "
                "anything can fail. Guard the function that it asks for each item"
            )
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def guarded(*arguments: Any, **options: Any) -> Any:
                return await self.call(function, *arguments, **options)

            return cast(F, guarded)

        @wraps(function)
        def guarded_sync(*arguments: Any, **options: Any) -> Any:
            return self.call_sync(function, *arguments, **options)

        return cast(F, guarded_sync)

    # The protocol underneath, for who composes: acquire a permit, then report it once.

    def acquire(self) -> Permit:
        """Return leave for one call, which is to be reported once, by `succeeded`, `failed` or `released`.

        Raises:
            BreakerOpen: the call must not be made.
        """
        permit = self._passing
        return self._probe() if permit is None else permit

    def succeeded(self, permit: Permit, seconds: float = 0.0, result: object = None) -> None:
        """Report that a call returned `result` after `seconds`, which matter if its spec has `slow_after`."""
        if self._settled and permit is self._passing:
            self.successes += 1
        elif self._judge_result is not None and self._judged(permit, self._judge_result, result):
            self._report(permit, FAILED, seconds)
        else:
            self._report(permit, 0, seconds)

    def failed(self, permit: Permit, seconds: float, error: Exception) -> None:
        """Report that a call raised `error` after `seconds`."""
        if self._judged(permit, self._is_ignored, error):
            self.released(permit)
        else:
            self._report(permit, FAILED if self._judged(permit, self._is_failure, error) else 0, seconds)

    def released(self, permit: Permit) -> None:
        """Report that a call was cancelled or does not matter: its permit is free again."""
        with self._lock:
            self.ignored += 1
            if self._probes.pop(permit, None) is not None:
                self._free += 1

    # How it stands, and what an operator may do.

    @property
    def state(self) -> State:
        """The state; an open breaker stays so until the first call after its wait."""
        return self._state

    def reading(self) -> BreakerReading:
        """Return how it stands now."""
        with self._lock:
            calls = failures = slow = 0
            now = self._clock()
            if (window := self._window) is not None:
                window.advance(now)
                calls, failures, slow = window.calls, window.failures, window.slow
            enough = window is not None and calls >= self._needed
            return BreakerReading(
                self._state,
                calls,
                failures,
                slow,
                failures / calls if enough else -1,
                slow / calls if enough else -1,
                max(self._until - now, 0.0) if self._state == "open" else None,
            )

    def transition(self, state: State, why: str = "by hand") -> None:
        """Go to `state`, beginning it anew where it is that already.

        Raises:
            InvalidTransition: there is no such state, or a closed breaker is to be half open.
        """
        if state not in get_args(State):
            raise InvalidTransition(
                f"breaker {self.name!r} has no state {state!r}; choose one of {', '.join(get_args(State))}"
            )
        with self._lock:
            if self._state == "closed" and state == "half_open":
                raise InvalidTransition(
                    f"breaker {self.name!r} is closed and cannot become half open; open it first, or leave it closed"
                )
            self._go(state, why)
        self._tell()

    # What is behind it. Those that change something are called with the lock held.

    def _probe(self) -> Permit:
        """Return leave for a call where not everyone has it; takes the lock itself."""
        permit: Permit | None = None
        with self._lock:
            now = self._clock()
            if self._state == "open" and now > self._until:
                self._go("half_open", "its wait is over")
            elif self._state == "half_open":
                self._open_if_overdue(now)
            state, wait = self._state, max(self._until - now, 0.0)
            if self._passing is not None:
                permit = self._passing
            elif state == "half_open" and self._free > 0:
                self._free -= 1
                permit = Permit()
                self._probes[permit] = now
            else:
                self.rejected += 1
        if self._untold:
            self._tell()
        if permit is None:
            raise self._refusal(state, wait)
        return permit

    def _refusal(self, state: State, wait: float) -> BreakerOpen:
        retry_after = None
        match state:
            case "open":
                why, retry_after = f"is open for another {wait:.3g} s", wait
            case "half_open":
                why = f"is half open, and its {self.spec.permits} calls are being made"
            case _:
                why = "was forced open, until it is closed by hand"
        return BreakerOpen(
            f"breaker {self.name!r} {why}, so nothing was called; try later, or declare a fallback",
            self.name,
            retry_after,
        )

    def _judged(self, permit: Permit, judge: Callable[[Any], bool], what: object) -> bool:
        """Return what the declaration says of an error or a result; takes the lock itself."""
        try:
            return bool(judge(what))
        except BaseException:
            self.released(permit)
            raise

    def _report(self, permit: Permit, outcome: int, seconds: float) -> None:
        """Count a call, add it to the window if it began in this state, and decide; takes the lock itself."""
        with self._lock:
            if self._slow_after is not None and seconds > self._slow_after:
                outcome |= SLOW
                self.slow += 1
            if outcome & FAILED:
                self.failures += 1
            else:
                self.successes += 1
            if permit is self._passing:
                if (window := self._window) is not None:
                    window.add(outcome, self._clock() if self._by_time else 0.0)
                    if window.failures or window.slow:
                        self._settled = False
                        self._decide(window)
                    else:
                        self._exceeded = False
                        self._settled = self._settles and window.calls == self.spec.size
            elif self._state == "half_open":
                self._report_probe(permit, outcome)
        if self._untold:
            self._tell()

    def _report_probe(self, permit: Permit, outcome: int) -> None:
        self._open_if_overdue(self._clock())
        if self._probes.pop(permit, None) is not None and (window := self._window) is not None:
            window.add(outcome, 0.0)
            self._decide(window)

    def _decide(self, window: Outcomes) -> None:
        """Open or close, if the window has enough calls and says so."""
        if window.calls < self._needed:
            return
        spec = self.spec
        why = None
        if window.failures / window.calls >= spec.failure_rate:
            why = f"{window.failures} of {window.calls} calls failed"
        elif window.slow / window.calls >= spec.slow_call_rate:
            why = f"{window.slow} of {window.calls} calls took longer than {self._slow_after:g} s"
        if self._state == "half_open":
            self._go(*(("closed", f"{window.calls} calls went well enough") if why is None else ("open", why)))
        elif why is None:
            self._exceeded = False
        elif self._state == "closed":
            self._go("open", why)
        elif not self._exceeded:
            self._exceeded = True
            self._untold.append(Transition(self.name, self._state, self._state, why))

    def _open_if_overdue(self, now: float) -> None:
        if self._probes and now - next(iter(self._probes.values())) > self._half_open_wait:
            self._go("open", f"a call has not ended within {self._half_open_wait:g} s")

    def _go(self, state: State, why: str) -> None:
        before = self._state
        if state == "closed":
            self._openings = 0
        elif state == "open" and before != "open":
            self._openings = self._openings + 1 if before == "half_open" else 1
        self._enter(state)
        if state != before:
            self.transitions += 1
            self._untold.append(Transition(self.name, before, state, why))

    def _enter(self, state: State) -> None:
        """Begin `state` anew: no call that began before counts for it."""
        spec = self.spec
        self._state = state
        self._passing = Permit() if state in {"closed", "disabled", "metrics_only"} else None
        self._probes = {}
        self._free = spec.permits
        self._exceeded = False
        self._settled = state == "disabled" and not self._timed and self._judge_result is None
        self._window = None
        self._by_time = False
        self._needed = spec.needed
        if state == "half_open":
            self._window, self._needed = CountWindow(spec.permits), spec.needed_half_open
        elif state in {"closed", "metrics_only"}:
            self._by_time = spec.window == "time"
            self._window = TimeWindow(spec.size, self._clock()) if self._by_time else CountWindow(spec.size)
        elif state == "open":
            self._until = self._clock() + self._wait()

    def _wait(self) -> float:
        """Return the seconds to stay open."""
        spec = self.spec
        longest = spec.longest_wait.total_seconds()
        try:
            wait = min(spec.open_wait.total_seconds() * spec.growth ** (self._openings - 1), longest)
        except OverflowError:
            wait = longest
        return wait * (1 - spec.jitter * self._random())

    def _tell(self) -> None:
        """Tell of what has happened, one transition after the other; takes the lock itself."""
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                told, self._untold = self._untold, []
            try:
                for transition in told:
                    self._tell_of(transition)
            finally:
                self._telling = False

    def _tell_of(self, transition: Transition) -> None:
        tell = log.warning if transition.after in {"open", "forced_open", "metrics_only"} else log.info
        tell(
            "a breaker would have opened" if transition.before == transition.after else "a breaker changed its state",
            breaker=transition.breaker,
            before=transition.before,
            after=transition.after,
            why=transition.why,
        )
        try:
            self._changed(transition)
        except Exception:
            log.exception("who is told of a breaker's transitions failed", breaker=self.name)
