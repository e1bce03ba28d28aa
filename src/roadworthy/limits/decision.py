"""What a limit said to one request."""

from __future__ import annotations

from typing import Literal

import msgspec

from roadworthy.limits.quota import Quota

Source = Literal["memory", "store", "lease", "denial", "on_error"]
"""What decided: this process's own counting; the shared store; units taken from it ahead; a denial of its that still
holds; or, where it did not answer, what the limit declares for that."""


# Made for each request: a struct costs a fifth of a frozen dataclass.
class Decision(msgspec.Struct, frozen=True, gc=False):
    """Whether something may happen, by the strictest quota of a limit.

    `quota` is that one, the `index`-th of the limit's: of those that refuse, the one that does so for longest; if none
    does, the one with the fewest units left. `remaining` units of it could be had at once now, as far as is known.
    Where it is not `admitted`, it will be after `retry_after` seconds, infinity for never; else that is 0. After
    `reset_after` seconds without another unit taken, all of the quota could be had.
    """

    admitted: bool
    limit: str
    quota: Quota
    index: int
    remaining: int
    retry_after: float
    reset_after: float
    source: Source
