"""Traces: what a request or a job did, as spans that lie in one another.

Whether a trace is recorded is decided once, where it begins. Of one that is not, there is nothing: `SPAN` is None, and
whoever would record a part of it finds that out by one look. So the common case costs a comparison of two texts.

Spans go, as they end, to a queue that never waits; see `outbox`. A part that begins after its request or job has ended
is left out, and so is what exceeds the bound of a trace: their number stands in the root's attributes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from roadworthy.telemetry.logging import CONTEXT
from roadworthy.telemetry.sampling import bound, is_below
from roadworthy.telemetry.tracing_spec import TracingSpec

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool
Attributes = Mapping[str, Value]

_SECOND = 1_000_000_000
_LEFT_OUT = "roadworthy.spans_left_out"

SPAN: ContextVar[Span | None] = ContextVar("roadworthy_span", default=None)
"""The span that the calling code is part of, None where nothing is recorded."""

PASSED: ContextVar[str | None] = ContextVar("roadworthy_passed_traceparent", default=None)
"""A caller's `traceparent` that is passed on as it came: the trace is sampled, but not recorded here."""


class Trace:
    """What the spans of one request or job in this process have in common."""

    __slots__ = ("clock", "ended", "id", "keep", "left", "left_out", "new_id", "of_request", "state")

    def __init__(self, id: str, tracing: Tracing, state: str | None, *, of_request: bool) -> None:
        """Begun by `Tracing.root`. `state` is the caller's `tracestate`."""
        self.id = id
        self.clock = tracing.clock
        self.keep = tracing.keep
        self.new_id = tracing.new_id
        self.left = tracing.spec.most_spans
        self.left_out = 0
        self.ended: int | None = None
        self.state = state
        self.of_request = of_request

    def admits(self, began: int) -> bool:
        """Take a place for a span that began at a moment, in nanoseconds of Unix time; False where there is none."""
        if self.left > 0 and (self.ended is None or began <= self.ended):
            self.left -= 1
            return True
        self.left_out += 1
        return False


class Span:
    """One part of a trace. Times are nanoseconds of Unix time, ids hexadecimal; `links` are traceparents."""

    __slots__ = ("attributes", "began", "ended", "error", "id", "is_root", "kind", "links", "name", "parent", "trace")

    def __init__(
        self,
        trace: Trace,
        name: str,
        kind: Kind,
        began: int,
        parent: str | None,
        attributes: Attributes | None = None,
        links: tuple[str, ...] = (),
        *,
        is_root: bool = False,
    ) -> None:
        """Begin a span of `trace`; `parent` is the id of the one that it lies in."""
        self.trace = trace
        self.id = trace.new_id(8)
        self.name = name
        self.kind: Kind = kind
        self.began = began
        self.ended: int | None = None
        self.parent = parent
        self.attributes: dict[str, Value] = dict(attributes or {})
        self.links = links
        self.error: str | None = None
        self.is_root = is_root

    @property
    def traceparent(self) -> str:
        """What tells another service of this span, by W3C Trace Context."""
        return f"00-{self.trace.id}-{self.id}-01"

    def child(self, name: str, kind: Kind = "internal", attributes: Attributes | None = None) -> Span | None:
        """Begin a span within this one; None where the trace takes no more."""
        trace = self.trace
        now = trace.clock()
        return Span(trace, name, kind, now, self.id, attributes) if trace.admits(now) else None

    def record(
        self, name: str, kind: Kind, seconds: float, attributes: Attributes | None = None, error: str | None = None
    ) -> None:
        """Record a span within this one that took so long and has ended just now."""
        trace = self.trace
        now = trace.clock()
        began = now - int(seconds * _SECOND)
        if trace.admits(began):
            span = Span(trace, name, kind, began, self.id, attributes)
            span.error, span.ended = error, now
            trace.keep(span)

    def end(self, error: str | None = None) -> None:
        """End it, with what went wrong in a word; later calls do nothing."""
        if self.ended is not None:
            return
        trace = self.trace
        self.ended = trace.clock()
        self.error = error
        if self.is_root:
            trace.ended = self.ended
            if trace.left_out:
                self.attributes[_LEFT_OUT] = trace.left_out
        trace.keep(self)


class Tracing:
    """The traces of one process: decides which are recorded, and begins them."""

    def __init__(
        self,
        spec: TracingSpec,
        keep: Callable[[Span], object] | None,
        *,
        clock: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = random.randbytes,
    ) -> None:
        """Trace as `spec` says; `keep` takes the spans that ended, and with None nothing is recorded.

        `clock` is nanoseconds of Unix time; `random_bytes` makes ids, which are unique but no secret.
        """
        self.spec = spec
        self.records = keep is not None
        self.keep: Callable[[Span], object] = keep or (lambda _: None)
        self.clock = clock
        self._random_bytes = random_bytes
        self._limit = bound(spec.sample) if keep is not None else ""

    def new_id(self, size: int) -> str:
        """Return a new id of `size` bytes, which by W3C Trace Context may not be all zeros."""
        return self._random_bytes(size).hex()

    def samples(self, trace_id: str) -> bool:
        """Return whether a trace that begins here is recorded."""
        return is_below(trace_id, self._limit)

    def root(
        self,
        name: str,
        kind: Kind,
        trace_id: str,
        *,
        parent: str | None = None,
        state: str | None = None,
        links: tuple[str, ...] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Begin the outermost span of a sampled trace in this process; end it. `parent` is a caller's span id."""
        trace = Trace(trace_id, self, state, of_request=kind == "server")
        return Span(trace, name, kind, self.clock(), parent, attributes, links, is_root=True)


@contextmanager
def span(name: str, kind: Kind = "internal", attributes: Attributes | None = None) -> Iterator[Span | None]:
    """Have what runs within a `with` be a span of the trace that is recorded; None, and no more, where none is.

    `name` says what is done, out of few: what differs from call to call belongs into the `attributes`. An exception
    that comes out of it marks the span as failed, by its class.
    """
    parent = SPAN.get()
    child = None if parent is None else parent.child(name, kind, attributes)
    if child is None:
        yield None
        return
    token = SPAN.set(child)
    try:
        yield child
    except BaseException as error:
        child.end(type(error).__name__)
        raise
    finally:
        child.end()
        SPAN.reset(token)


def current_trace() -> str | None:
    """Return the id of the trace that is recorded here, 32 hexadecimal digits; None where none is."""
    found = SPAN.get()
    return None if found is None else found.trace.id


def trace_headers() -> dict[str, str]:
    """Return the headers by which a call to another service goes on with the current trace; none outside one.

    They are `traceparent` and, where the caller sent one, `tracestate`, by W3C Trace Context.
    """
    found = SPAN.get()
    if found is not None:
        headers = {"traceparent": found.traceparent}
        if found.trace.state is not None:
            headers["tracestate"] = found.trace.state
        return headers
    if (passed := PASSED.get()) is not None:
        return {"traceparent": passed}
    trace_id = CONTEXT.get({}).get("trace_id")
    if trace_id is None:
        return {}
    return {"traceparent": f"00-{trace_id}-{random.randbytes(8).hex()}-00"}  # nosec B311  # unique, no secret


def is_sampled(traceparent: str) -> bool:
    """Return whether a valid `traceparent` says that its trace is sampled."""
    return traceparent[54] in "13579bdf"
