"""What is left of an objective's error budget, and how fast it is being used up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

State = Literal["kept", "burning", "spent", "not measured"]


@dataclass(frozen=True, slots=True)
class Budget:
    """One objective: a share `objective` of events is to be good.

    `remaining` is the share of thirty days' budget that is left, below 0 where more than all is used up; None where
    nothing is measured. `bad` is the share of bad events in the last hour, None where there was no event.
    """

    name: str
    objective: float
    remaining: float | None
    bad: float | None

    @property
    def burn_rate(self) -> float | None:
        """How many times faster than evenly the budget was used up in the last hour; 1 lasts the thirty days."""
        return None if self.bad is None else self.bad / (1 - self.objective)

    @property
    def state(self) -> State:
        """Whether the promise is kept, broken, or about to be."""
        if self.remaining is None or math.isnan(self.remaining):
            return "not measured"
        if self.remaining <= 0:
            return "spent"
        return "burning" if (self.burn_rate or 0) > 1 else "kept"
