"""The metrics that every service exports whatever it declares: HTTP, processes, and telemetry itself."""

from __future__ import annotations

from roadworthy.telemetry.spec import LATENCY_BUCKETS, OVERFLOW, Label, MetricSpec

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""The methods that are counted by name."""

OTHER_METHOD = "_OTHER"
"""The method label of every other method, as OpenTelemetry names it."""

UNMATCHED_ROUTE = "__unmatched__"
"""The route label of a request that no route took: a raw path is never a label."""

_METHOD = Label("method", (*METHODS, OTHER_METHOD))
_ROUTE = Label("route", limit=500)

HTTP_REQUESTS = MetricSpec(
    "http_requests_total",
    "counter",
    "Requests answered, by route template and status; 499 is a client that went away first.",
    (_METHOD, _ROUTE, Label("status")),
)
HTTP_REQUESTS_IN_PROGRESS = MetricSpec("http_requests_in_progress", "gauge", "Requests being answered now.")
HTTP_EDGE_TAG_OVERFLOWS = MetricSpec(
    "http_edge_tag_overflows_total",
    "counter",
    "Responses that no CDN may keep, since their tags do not fit into its header.",
    (_ROUTE,),
)


def http_request_duration(buckets: tuple[float, ...] = LATENCY_BUCKETS) -> MetricSpec:
    """Return the histogram of request durations with these upper bounds, in seconds."""
    return MetricSpec(
        "http_request_duration_seconds",
        "histogram",
        "Time from a request's arrival to the last byte of its response.",
        (_METHOD, _ROUTE),
        buckets,
    )


HTTP_REQUEST_DURATION = http_request_duration()

LABEL_OVERFLOW = MetricSpec(
    "telemetry_label_overflow_total",
    "counter",
    f"Updates with a label value outside the declared ones or past the cap, counted as {OVERFLOW}.",
    (Label("metric", limit=1000),),
)
INFORMATION = MetricSpec(
    "roadworthy_info",
    "gauge",
    "Always 1; its labels say which service runs, in which version, on which Roadworthy.",
    (Label("service"), Label("service_version"), Label("version")),
    across="max",
)

PROCESS_METRICS = (
    MetricSpec("process_cpu_seconds_total", "counter", "CPU time of the process, user and system.", across="each"),
    MetricSpec("process_resident_memory_bytes", "gauge", "Resident memory of the process.", across="each"),
    MetricSpec("process_virtual_memory_bytes", "gauge", "Virtual memory of the process.", across="each"),
    MetricSpec("process_start_time_seconds", "gauge", "When the process started, Unix time.", across="each"),
    MetricSpec("process_open_fds", "gauge", "File descriptors that the process holds open.", across="each"),
    MetricSpec("process_max_fds", "gauge", "File descriptors that the process may hold open.", across="each"),
)
"""What the operating system tells of each process; a scrape of several adds a `process` label."""

CATALOGUE: tuple[MetricSpec, ...] = (
    HTTP_REQUESTS,
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS_IN_PROGRESS,
    HTTP_EDGE_TAG_OVERFLOWS,
    LABEL_OVERFLOW,
    INFORMATION,
    *PROCESS_METRICS,
)


def catalogue(request_buckets: tuple[float, ...] = LATENCY_BUCKETS) -> tuple[MetricSpec, ...]:
    """Return CATALOGUE with these upper bounds (seconds) of the HTTP durations, as a service declares them."""
    fitted = http_request_duration(request_buckets)
    return tuple(fitted if spec.name == fitted.name else spec for spec in CATALOGUE)
