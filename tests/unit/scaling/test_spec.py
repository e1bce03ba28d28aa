from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from roadworthy import minutes, seconds
from roadworthy.errors import DeclarationError
from roadworthy.scaling.spec import (
    Behaviour,
    MetricTarget,
    Policy,
    Resources,
    Rules,
    Scaling,
    ScalingSpec,
    down,
    milli,
    up,
)

TARGET = MetricTarget("demand", "AverageValue", 1000)
QUARTER = seconds(15)
TWO = Policy("Pods", 2, QUARTER)


def test_rules_take_policies_and_keep_their_other_defaults() -> None:
    half = Policy("Percent", 50, minutes(1))
    assert down(half) == Rules((half,), minutes(5))
    assert up(half, TWO) == Rules((half, TWO))


def test_the_defaults_are_those_of_kubernetes() -> None:
    behaviour = Behaviour()
    assert behaviour.up.policies == (Policy("Pods", 4, QUARTER), Policy("Percent", 100, QUARTER))
    assert behaviour.down.policies == (Policy("Percent", 100, QUARTER),)
    assert (behaviour.up.window, behaviour.down.window) == (timedelta(0), minutes(5))
    assert behaviour.up.select == behaviour.down.select == "Max"
    assert ScalingSpec(1, 2, (TARGET,)).tolerances == (0.1, 0.1)
    assert ScalingSpec(1, 2, (TARGET,), None).tolerances == (0.1, 0.1)
    assert ScalingSpec(1, 2, (TARGET,), Behaviour(up(tolerance=0), down(tolerance=0.2))).tolerances == (0.2, 0)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: MetricTarget("", "Value", 1), "needs the name"),
        (lambda: MetricTarget("depth", "Value", 0), "'depth' has target=0"),
        (lambda: Policy("Pods", 0, QUARTER), "value=0"),
        (lambda: Policy("Percent", 10, timedelta(0)), "period=0:00:00"),
        (lambda: Policy("Percent", 10, minutes(31)), "period=0:31:00"),
        (lambda: Rules(()), 'select="Disabled"'),
        (lambda: down(window=minutes(61)), "window=1:01:00"),
        (lambda: up(tolerance=-0.1), "tolerance=-0.1"),
        (lambda: up(tolerance=math.nan), "tolerance=nan"),
        (lambda: ScalingSpec(3, 2, (TARGET,)), "from 3 to 2"),
        (lambda: ScalingSpec(0, 0, (TARGET,)), "from 0 to 0"),
        (lambda: ScalingSpec(-1, 1, (TARGET,)), "from -1 to 1"),
        (lambda: ScalingSpec(1, 2, ()), "needs a metric"),
        (lambda: Scaling(depth=0), "depth=0"),
        (lambda: Scaling(depth=math.inf), "depth=inf"),
        (lambda: Scaling(cpu=70), "requests=Resources(cpu=...)"),
        (lambda: Scaling(memory=70, requests=Resources(cpu=1)), "requests=Resources(memory=...)"),
        (lambda: Scaling(cpu=0, requests=Resources(cpu=1)), "cpu=0; it is in per cent"),
        (lambda: Resources(cpu=0), "cpu=0"),
        (lambda: Resources(cpu=math.nan), "cpu=nan"),
        (lambda: Resources(memory=0), "memory=0"),
        (lambda: ScalingSpec(0, 2, (MetricTarget("cpu", "Utilization", 80),)), "scaling to zero"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (1, 1000),
        (0, 0),
        (0.1, 100),
        (0.0001, 1),
        (-0.0001, -1),
        (Decimal("1.2345"), 1235),
        (Decimal("-1.2345"), -1235),
        (1e300, 2**63 - 1),
        (-1e300, -(2**63 - 1)),
    ],
)
def test_milli_units_are_rounded_away_from_zero_and_capped(quantity: float, expected: int) -> None:
    assert milli(quantity) == expected


@pytest.mark.parametrize("quantity", [math.nan, math.inf, -math.inf])
def test_no_number_is_no_quantity(quantity: float) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        milli(quantity)
