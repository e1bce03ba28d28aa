"""Any sequence of calls, waits and interventions leads a breaker where its plain model says."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from roadworthy.errors import BreakerOpen, InvalidTransition
from roadworthy.resilience.breaker import Breaker, BreakerSpec, Permit, State
from unit.resilience.breaker_model import Model, Outcome, Refused

SLOW_AFTER = 2.0
RATES = strategies.sampled_from([0.1, 0.25, 0.3, 0.5, 0.6, 1.0])
QUARTERS = strategies.integers(1, 24).map(lambda quarters: timedelta(seconds=quarters / 4))


@strategies.composite
def specs(draw: strategies.DrawFn) -> BreakerSpec:
    permits = draw(strategies.integers(1, 4))
    wait = draw(QUARTERS)
    return BreakerSpec(
        window=draw(strategies.sampled_from(["count", "time"])),
        size=draw(strategies.integers(1, 8)),
        failure_rate=draw(RATES),
        slow_call_rate=draw(RATES),
        slow_after=draw(strategies.sampled_from([None, timedelta(seconds=SLOW_AFTER)])),
        minimum_calls=draw(strategies.integers(1, 10)),
        permits=permits,
        half_open_minimum=draw(strategies.none() | strategies.integers(1, permits)),
        half_open_wait=draw(strategies.none() | QUARTERS),
        open_wait=wait,
        growth=draw(strategies.sampled_from([1.0, 1.5, 2.0])),
        longest_wait=wait * draw(strategies.sampled_from([1, 3, 100])),
        jitter=0,
        ignored=(KeyError,),
        counts_as_failure=draw(strategies.sampled_from([None, lambda result: result == "bad"])),
    )


class Breaking(RuleBasedStateMachine):
    """Calls overlap as they like: each is begun by one rule and ended by another."""

    running: Bundle[tuple[Permit, int]] = Bundle("running")

    @initialize(
        spec=specs(),
        second=strategies.integers(0, 1000),
        part=strategies.sampled_from([0, 0.25, 0.75]),
        watched=strategies.booleans(),
    )
    def begin(self, spec: BreakerSpec, second: int, part: float, watched: bool) -> None:
        self.spec = spec
        # Reading moves a window of time on, so that one that nobody reads must do as well.
        self.watched = watched
        self.model = Model(spec, second + part)
        self.breaker = Breaker("store", spec, clock=lambda: self.model.now)

    @rule(target=running)
    def call(self) -> tuple[Permit, int]:
        try:
            number = self.model.acquire()
        except Refused:
            with pytest.raises(BreakerOpen):
                self.breaker.acquire()
            # A bundle takes something: a call that no state knows, as if it had begun long ago.
            self.model.stays[0] = -1
            return Permit(), 0
        return self.breaker.acquire(), number

    @rule(call=consumes(running), slow=strategies.booleans(), how=strategies.sampled_from(["fine", "bad", "raised"]))
    def end(self, call: tuple[Permit, int], slow: bool, how: str) -> None:
        permit, number = call
        if how == "bad" and self.spec.counts_as_failure is None:
            how = "raised"
        seconds = SLOW_AFTER + 0.001 if slow else SLOW_AFTER
        slow = slow and self.spec.slow_after is not None
        outcome: Outcome = ("slow" if slow else "fine") if how == "fine" else ("slow and failed" if slow else "failed")
        self.model.end(number, outcome)
        if how == "raised":
            self.breaker.failed(permit, seconds, ValueError())
        else:
            self.breaker.succeeded(permit, seconds, how)

    @rule(call=consumes(running), cancelled=strategies.booleans())
    def give_back(self, call: tuple[Permit, int], cancelled: bool) -> None:
        permit, number = call
        self.model.release(number)
        if cancelled:
            self.breaker.released(permit)
        else:
            self.breaker.failed(permit, 100.0, KeyError())

    @rule(
        many=strategies.integers(2, 12),
        bad=strategies.integers(1, 4),
        how=strategies.sampled_from(["slow", "bad", "raised"]),
    )
    def make_many(self, many: int, bad: int, how: str) -> None:
        for position in range(many):
            is_bad = position % bad == 0
            self.end(self.call(), is_bad and how == "slow", how if is_bad and how != "slow" else "fine")

    @rule(quarters=strategies.integers(1, 60))
    def wait(self, quarters: int) -> None:
        self.model.now += quarters / 4

    @rule(beyond=strategies.sampled_from([0, 0.25]))
    def wait_until_something_is_due(self, beyond: float) -> None:
        """Let the open wait end, or the oldest call half open or of the window be as old as it may."""
        model = self.model
        if model.state == "open":
            due = model.entered + model.wait
        elif model.state == "half_open" and self.spec.half_open_wait is not None and model.begun:
            due = min(model.begun.values()) + self.spec.half_open_wait.total_seconds()
        else:
            due = int(model.ended[0].at) + self.spec.size if model.ended else model.now
        model.now = max(due + beyond, model.now)

    @rule(
        state=strategies.sampled_from(
            ["closed", "open", "half_open", "open", "half_open", "metrics_only", "forced_open", "disabled"]
        )
    )
    def intervene(self, state: State) -> None:
        if self.model.state == "closed" and state == "half_open":
            with pytest.raises(InvalidTransition):
                self.breaker.transition(state)
        else:
            self.model.enter(state)
            self.breaker.transition(state)

    @invariant()
    @precondition(lambda self: hasattr(self, "breaker"))
    def agrees(self) -> None:
        assert self.breaker.state == self.model.state
        if self.watched:
            self._agree_in_numbers()

    def teardown(self) -> None:
        if hasattr(self, "breaker"):
            self._agree_in_numbers()

    def _agree_in_numbers(self) -> None:
        model, reading = self.model, self.breaker.reading()
        seen = [] if model.state in {"open", "forced_open", "disabled"} else model.seen()
        assert reading.calls == len(seen)
        assert reading.failures == sum(one.failed for one in seen)
        assert reading.slow == sum(one.slow for one in seen)
        rates = model.rates() if seen else None
        found = (reading.failure_rate, reading.slow_call_rate)
        assert found == ((-1, -1) if rates is None else (float(rates[0]), float(rates[1])))
        if model.state == "open":
            left = Fraction(model.entered) + Fraction(model.wait) - Fraction(model.now)
            assert reading.retry_after == float(max(left, 0))


Breaking.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBreaking = Breaking.TestCase
