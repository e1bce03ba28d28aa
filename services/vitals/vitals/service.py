"""What Vitals needs and what it promises."""

from __future__ import annotations

from roadworthy import AlertExample, ContentPolicy, Service, minutes, seconds, secret, shared

service = Service("vitals", version="1.0.0", owner="health", app="vitals.app:app")

# What it needs.
database = service.database(migrations="migrations")
ingestion = service.queue(
    "ingestion", attempts=5, lease=seconds(10), workers=(1, 2), concurrency=4, target_latency=seconds(5)
)
confidence = service.queue(
    "confidence", attempts=5, lease=seconds(30), workers=(1, 2), concurrency=4, target_latency=seconds(60)
)
upkeep = service.queue("upkeep", attempts=3, lease=minutes(1), workers=(1, 1), target_latency=minutes(5))

aggregator_secret = service.secret(
    "VITALS_SECRET_AGGREGATOR",
    required=False,
    several=True,
    overlap=minutes(10),
    purpose="which the aggregator signs with",
)
operator_key = service.secret("VITALS_OPERATOR_KEY", required=False, purpose="which the operator signs in with")

# What it remembers until the view is refreshed, at most ten seconds later than it could be: see remembered.py.
latest_metrics = service.cache("latest_metrics", ttl=minutes(1))

# What others may keep: nothing but the page's own files. Those whose address has their hash say so themselves.
service.edge("GET /operator/static/{path}", shared(browser=minutes(1), edge=minutes(1)))
service.edge("*", secret())

# What its page may load, and what may be sent to it.
service.browsers(
    content=ContentPolicy(default=("none",), script=("self",), style=("self",), img=("self",), connect=("self",))
)
service.bounds(body=16 * 1024, deadline=seconds(5))
service.bounds("POST /webhooks/{provider}", body=1024 * 1024)

# Who wears what sends something; and what is told of single requests and of errors, where somebody asks.
wearers = service.activity("wearers")
service.tracing()
service.error_reports()

# What it measures.
webhooks = service.counter(
    "webhooks_total",
    "Webhooks that were sent to us, by what became of them.",
    labels={"outcome": ("accepted", "unauthenticated", "unreadable", "too_large", "unavailable", "unknown")},
)
events_processed = service.counter("events_processed_total", "Events whose payload was read.")
events_failed = service.counter("events_failed_total", "Attempts to read events whose payload cannot be read.")
events_unfinished = service.gauge(
    "events_unfinished", "Events kept that were not read yet, or cannot be.", labels={"state": ("pending", "failed")}
)
oldest_pending = service.gauge(
    "events_oldest_pending_seconds", "For how long the event that has waited longest has not been read."
)
ingestion_lag = service.histogram(
    "ingestion_lag_seconds",
    "Time from an event's arrival until its observations were kept.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
observations_kept = service.counter("observations_total", "Observations that payloads held.")
values_refused = service.counter("observations_refused_total", "Values in payloads that were not believed.")
mean_confidence = service.gauge("confidence_mean", "Mean confidence in the sources of all metrics, 0 to 100.")
confidence_lag = service.gauge(
    "confidence_lag_seconds", "For how long the user who has waited longest has had confidences older than her events."
)
latest_metrics_lag = service.gauge(
    "latest_metrics_lag_seconds", "For how long the latest metrics have not shown a change that is there."
)
latest_metrics_refreshes = service.counter(
    "latest_metrics_refreshes_total",
    "Refreshes of the latest metrics that were due.",
    labels={"outcome": ("refreshed", "failed")},
)
latest_metrics_seconds = service.histogram(
    "latest_metrics_refresh_seconds",
    "Time that a refresh of the latest metrics took.",
    buckets=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
)

# What it costs: examples of prices, to be replaced by those of the bill.
service.prices(cpu_hour=0.04, memory_gib_hour=0.005, disk_gib_month=0.1, monthly_budget=100)

# What it promises.
service.slo("availability", objective=0.999)
service.slo("webhook-success", objective=0.999, route="POST /webhooks/{provider}")
service.slo("webhook-latency", objective=0.99, under=seconds(0.05), route="POST /webhooks/{provider}")
service.slo("ingestion-lag", objective=0.99, under=seconds(30), metric="ingestion_lag_seconds")
service.slo("ingestion-success", objective=0.999, queue="ingestion")
service.slo("latest-metrics-fresh", objective=0.99, fresh="latest_metrics_lag_seconds", within=minutes(5))
service.alert_when_drifting(
    mean_confidence,
    runbook="Did a provider stop sending, or begin to send something else? See the confidences by metric, and what was "
    "deployed since the week began.",
)
service.alert(
    "WebhooksNotKept",
    expr='sum(rate(webhooks_total{outcome="unavailable"}[5m])) / sum(rate(webhooks_total[5m])) > 0.01',
    for_=minutes(5),
    severity="critical",
    summary="Webhooks are answered with errors, so that their senders will send them again, or give up",
    runbook="Is a secret set? Is PostgreSQL there, and its disk fast? Then look at the pool's waiting callers.",
    example=AlertExample(
        fires={'webhooks_total{outcome="unavailable"}': "0+5x60", 'webhooks_total{outcome="accepted"}': "0+95x60"},
        quiet={'webhooks_total{outcome="unavailable"}': "0+1x60", 'webhooks_total{outcome="accepted"}': "0+199x60"},
        after=seconds(30),
    ),
)
service.alert(
    "WebhooksUnauthenticated",
    expr='sum(rate(webhooks_total{outcome="unauthenticated"}[15m])) / sum(rate(webhooks_total[15m])) > 0.05',
    for_=minutes(15),
    severity="warning",
    summary="Many webhooks carry no valid signature",
    runbook="Has the provider changed its secret? Keep both in VITALS_SECRET_AGGREGATOR, by a comma, until it is done. "
    "Is the clock right? Otherwise somebody forges them: look at where they come from.",
    example=AlertExample(
        fires={'webhooks_total{outcome="unauthenticated"}': "0+10x60", 'webhooks_total{outcome="accepted"}': "0+90x60"},
        quiet={'webhooks_total{outcome="unauthenticated"}': "0+4x60", 'webhooks_total{outcome="accepted"}': "0+96x60"},
        after=seconds(30),
    ),
)
service.alert(
    "IngestionLagging",
    expr="max(events_oldest_pending_seconds) > 300",
    for_=minutes(5),
    severity="critical",
    summary="Events wait for more than five minutes to be read",
    runbook="Do workers of the queue `ingestion` run (roadworthy jobs)? Is one event tried again and again?",
    example=AlertExample(
        fires={"events_oldest_pending_seconds": "301x200"}, quiet={"events_oldest_pending_seconds": "300x200"}
    ),
)
service.alert(
    "EventsFailing",
    expr='max(events_unfinished{state="failed"}) > 0',
    for_=minutes(15),
    severity="warning",
    summary="Events could not be read",
    runbook="Their reasons are in webhook_events and in the dead letters of normalise_event. Retry them when the "
    "reason is gone; the payloads are kept.",
    example=AlertExample(
        fires={'events_unfinished{state="failed"}': "1x200"}, quiet={'events_unfinished{state="failed"}': "0x200"}
    ),
)
service.alert(
    "ConfidenceLagging",
    expr="max(confidence_lag_seconds) > 900",
    for_=minutes(5),
    severity="warning",
    summary="Confidences are older than what was observed",
    runbook="Are there dead jobs of calculate_confidences? Retry them; until then, the users they name keep their old "
    "confidences, at most until the next nightly calculation. Else: do workers of the queue `confidence` run?",
    example=AlertExample(fires={"confidence_lag_seconds": "901x200"}, quiet={"confidence_lag_seconds": "900x200"}),
)
service.alert(
    "LowConfidence",
    expr="max(confidence_mean) < 40 and max(confidence_mean) > 0",
    for_=minutes(60),
    severity="business",
    summary="The sources cannot be trusted much on the whole",
    runbook="Did a provider stop sending? Confidence falls with the age of what is known.",
    example=AlertExample(fires={"confidence_mean": "39x200"}, quiet={"confidence_mean": "40x200"}),
)
service.slo(
    "latest-metrics-latency", objective=0.99, under=seconds(0.05), route="GET /api/v1/users/{user}/metrics/latest"
)
service.alert(
    "LatestMetricsLag",
    expr="max(latest_metrics_lag_seconds) > 300",
    for_=minutes(5),
    severity="warning",
    summary="The latest metrics lag behind what is known",
    runbook="Open the operator's page: it says when they were refreshed and why that failed. Look for a long refresh, "
    "a transaction that holds a lock on internal.latest_unified_metrics, and dead refresh_latest_metrics jobs.",
    example=AlertExample(
        fires={"latest_metrics_lag_seconds": "301x200"}, quiet={"latest_metrics_lag_seconds": "300x200"}
    ),
)

# What its dashboard shows first.
service.panel(
    "Webhooks by outcome",
    expr="sum by (outcome) (rate(webhooks_total[$__rate_interval]))",
    unit="cps",
    legend="{{outcome}}",
)
service.panel(
    "Webhooks not kept",
    expr='sum(rate(webhooks_total{outcome="unavailable"}[5m])) / sum(rate(webhooks_total[5m]))',
    unit="percentunit",
    alert="WebhooksNotKept",
)
service.panel(
    "Webhooks that nobody has signed",
    expr='sum(rate(webhooks_total{outcome="unauthenticated"}[15m])) / sum(rate(webhooks_total[15m]))',
    unit="percentunit",
    alert="WebhooksUnauthenticated",
)
service.panel("Longest wait of an event", expr="max(events_oldest_pending_seconds)", unit="s", alert="IngestionLagging")
service.panel("Events that cannot be read", expr='max(events_unfinished{state="failed"})', alert="EventsFailing")
service.panel("Confidence in the sources", expr="max(confidence_mean)", alert="LowConfidence")
service.panel(
    "Confidences behind their events", expr="max(confidence_lag_seconds)", unit="s", alert="ConfidenceLagging"
)
service.panel("Latest metrics behind", expr="max(latest_metrics_lag_seconds)", unit="s", alert="LatestMetricsLag")

# The jobs and checks declare themselves on these handles, so they are imported last.
from vitals import health as health  # noqa: E402
from vitals.confidence import jobs as confidence_jobs  # noqa: E402, F401
from vitals.ingestion import jobs as ingestion_jobs  # noqa: E402, F401
from vitals.reading import jobs as reading_jobs  # noqa: E402, F401
from vitals.runs import jobs as run_jobs  # noqa: E402, F401
