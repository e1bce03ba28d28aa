"""Traces across the queue: an attempt's trace is one of its own, linked to what enqueued the job.

A job that a recorded request enqueued is recorded, too. One that a job enqueued decides by its own id: where each job
enqueues the next, as in a crawl, all of it would be recorded otherwise, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadworthy.telemetry.tracing import SPAN, Span, Tracing, is_sampled

if TYPE_CHECKING:
    from roadworthy.jobs.engine import ClaimedJob, Outcome

TRACEPARENT = "traceparent"
"""Where a job's context has the span that enqueued it; flagged as sampled where that was a request's."""


def enqueued_by() -> str | None:
    """Return what a job's context is to tell of the span that enqueues it; None where nothing is recorded."""
    span = SPAN.get()
    if span is None:
        return None
    return span.traceparent if span.trace.of_request else f"{span.traceparent[:-2]}00"


def begun(tracing: Tracing, job: ClaimedJob) -> tuple[str, Span | None]:
    """Return the trace id of an attempt, and its span where it is recorded, made the current one."""
    trace_id = tracing.new_id(16)
    link = (job.context or {}).get(TRACEPARENT)
    followed = tracing.records and link is not None and is_sampled(link)
    if not followed and not tracing.samples(trace_id):
        return trace_id, None
    attributes: dict[str, str | int] = {
        "messaging.system": "roadworthy",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": str(job.id),
        "roadworthy.job": job.job,
        "roadworthy.attempt": job.attempt,
    }
    links = () if link is None else (link,)
    span = tracing.root(f"process {job.job}", "consumer", trace_id, links=links, attributes=attributes)
    SPAN.set(span)
    return trace_id, span


def end(span: Span, outcome: Outcome | None, error: BaseException | None) -> None:
    """End an attempt's span with what became of it."""
    span.attributes["roadworthy.outcome"] = "none" if outcome is None else type(outcome).__name__.lower()
    failed = span.attributes["roadworthy.outcome"] in ("retry", "bury")
    span.end(type(error).__name__ if failed and error is not None else None)
