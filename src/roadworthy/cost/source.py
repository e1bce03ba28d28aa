"""The request that the calling code answers, as far as what it uses is to be told by route."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

CURRENT_ROUTE: ContextVar[Callable[[], str] | None] = ContextVar("roadworthy_metered_route", default=None)
"""Gives the method and the route template, as in "GET /search"; None outside a request."""
