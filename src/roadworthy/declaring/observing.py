"""What a service declares of its traces, its error reports and its logs."""

from __future__ import annotations

from roadworthy.declaring.base import Declaring
from roadworthy.telemetry.tracing_spec import ErrorReportsSpec, TracingSpec


class Observing(Declaring):
    """Declares what is told of single requests and jobs."""

    def tracing(self, *, sample: float = 0.01, trust_callers: bool = True, most_spans: int = 500) -> None:
        """Record a share `sample` of requests and jobs as traces, and send them to `OTEL_EXPORTER_OTLP_ENDPOINT`.

        Recorded are requests, jobs, what caches load, database statements and calls of dependencies. Whether a request
        is, its caller's `traceparent` says, and where there is none the trace's id alone. Without `trust_callers`, as
        where strangers call, a trace begins anew with each request. `most_spans` bounds what one request or job may
        record; the rest is left out. Without the variable, nothing is recorded.
        """
        self.declared.add("tracing", TracingSpec(sample, trust_callers, most_spans))

    def error_reports(self, *, sample: float = 1.0, per_minute: int = 60) -> None:
        """Tell the Sentry of `SENTRY_DSN` of each exception that no request handled, and of each job that died of one.

        `sample` is the share that is told, and each process tells of `per_minute` in a minute at most. Secrets are
        masked; local variables, bodies, headers and addresses are never sent. Without the variable, nobody is told.
        """
        self.declared.add("error reports", ErrorReportsSpec(sample, per_minute))
