"""What Site Search needs and what it promises."""

from __future__ import annotations

from functools import partial

from roadworthy import (
    AlertExample,
    Breaker,
    Bulkhead,
    ContentPolicy,
    Service,
    hours,
    minutes,
    private,
    seconds,
    secret,
    shared,
)

service = Service("sitesearch", version="1.0.0", owner="search", app="sitesearch.app:app")

# What it needs.
pages = service.database(migrations="migrations")
crawling = service.queue(
    "crawling", attempts=5, lease=seconds(15), workers=(1, 10), concurrency=20, target_latency=seconds(30)
)
upkeep = service.queue("upkeep", attempts=3, lease=minutes(5), workers=(1, 1), target_latency=minutes(5))

# What it answers again without asking, until a write says otherwise: see answers.py.
results = service.cache(
    "results", ttl=minutes(5), stale=hours(1), negative_ttl=seconds(30), entries=5_000, compress_over=1024
)
suggestions = service.cache("suggestions", ttl=minutes(5), stale=hours(1), negative_ttl=seconds(30))
sites = service.cache("sites", ttl=minutes(5), stale=hours(1), negative_ttl=seconds(30))
analytics = service.cache("analytics", ttl=minutes(1), stale=minutes(10))

# What searches may take of PostgreSQL: slow ones, which end themselves in 5 seconds, leave connections to all else, and
# while they fail nobody waits for another one. What is remembered is answered all the same.
searching = service.dependency(
    "searching",
    timeout=seconds(6),
    retry=None,
    breaker=Breaker(minimum_calls=10, open_wait=seconds(1), longest_wait=seconds(5)),
    concurrency=Bulkhead(6, waiting=60, patience=seconds(2)),
)

# Who may use the API: a site's own programs, and who runs the service. The pages need no key.
_SITES = "/api/v1/sites"
keys = service.api_keys(
    prefix="sitesearch",
    scopes=("search", "manage", "admin"),
    routes={
        f"{_SITES}/*": None,
        _SITES: "admin",
        f"{_SITES}/{{site}}": "manage",
        f"{_SITES}/{{site}}/analytics": "manage",
        f"{_SITES}/{{site}}/crawls/*": "manage",
        f"{_SITES}/{{site}}/export": "manage",
        f"{_SITES}/{{site}}/search": "search",
        f"{_SITES}/{{site}}/searches": "search",
        f"{_SITES}/{{site}}/suggest": "search",
    },
)
api_limit = service.limit(
    "api",
    "100/minute",
    by="api_key",
    on_error="allow",
    routes=(
        f"GET {_SITES}",
        f"POST {_SITES}",
        f"GET {_SITES}/{{site}}",
        f"PUT {_SITES}/{{site}}",
        f"DELETE {_SITES}/{{site}}",
        f"GET {_SITES}/{{site}}/analytics",
        f"GET {_SITES}/{{site}}/crawls",
        f"POST {_SITES}/{{site}}/crawls",
        f"GET {_SITES}/{{site}}/crawls/{{crawl}}",
        f"DELETE {_SITES}/{{site}}/crawls/{{crawl}}",
        f"GET {_SITES}/{{site}}/crawls/{{crawl}}/refusals",
        f"GET {_SITES}/{{site}}/export",
        f"GET {_SITES}/{{site}}/search",
        f"POST {_SITES}/{{site}}/searches",
        f"GET {_SITES}/{{site}}/suggest",
    ),
)

# What browsers and CDNs may keep of it. What a search is counted by must reach the service, so not for long.
_found = partial(
    shared, browser=minutes(1), edge=minutes(5), stale=minutes(5), stale_if_error=hours(1), missing=seconds(10)
)
service.edge(
    "GET /search",
    _found(vary={"X-Fragment": ("results",)}, query=("site", "q", "page", "since", "exact")),
    tags=("site:{site}",),
)
service.edge(f"GET {_SITES}/{{site}}/search", private())
service.edge(f"GET {_SITES}/{{site}}/suggest", private())
service.edge("GET /documentation/{path:path}", shared(browser=minutes(5), edge=minutes(5)), cached=True)
service.edge("GET /static/{path}", shared(browser=minutes(1), edge=minutes(1)))
service.edge("GET /robots.txt", shared(browser=hours(1), edge=hours(1)))
service.edge("GET /", private())
service.edge("*", secret())

# What its pages may load, and what may be sent to it: nothing is uploaded.
service.browsers(
    content=ContentPolicy(
        default=("none",), script=("self",), style=("self",), img=("self", "data:"), connect=("self",)
    )
)
service.bounds(body=256 * 1024)

# While there are more requests than it can answer, it answers what it can in time: first those that change something.
service.shedding(initial=100)

# What is told of single requests and of errors, where somebody asks: strangers call, so traces begin here.
service.tracing(trust_callers=False)
service.error_reports()

# What it measures.
searches = service.counter(
    "search_queries_total", "Searches served, by whether a page was found.", labels={"has_results": ("yes", "no")}
)
search_seconds = service.histogram(
    "search_query_seconds",
    "Time that PostgreSQL and the highlighter took for one search; none for one that was answered before.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
)
crawls_started = service.counter("crawls_started_total", "Crawls begun.")
crawls_finished = service.counter("crawls_finished_total", "Crawls that ended with at least one page indexed.")
crawls_failed = service.counter("crawls_failed_total", "Crawls that ended without a page.")
crawls_running = service.gauge("crawls_running", "Crawls under way.")
crawl_seconds = service.histogram(
    "crawl_duration_seconds",
    "Time from a crawl's start to its end.",
    buckets=(60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0),
)
page_outcomes = service.counter(
    "crawl_pages_total",
    "Pages that a crawl is done with.",
    labels={"outcome": ("indexed", "unchanged", "refused", "failed")},
)
progress_streams = service.gauge("progress_streams", "Browsers following a crawl over server-sent events.")

# What it costs: examples of prices, to be replaced by those of the bill. A page is about 100 kB through a NAT gateway.
service.prices(cpu_hour=0.04, memory_gib_hour=0.005, disk_gib_month=0.1, monthly_budget=100)
fetched_pages = service.meter("fetched_pages", price=0.0000045)

# What it promises.
service.slo("availability", objective=0.999)
service.slo("search-latency", objective=0.95, under=seconds(0.2), route="GET /search")
service.slo("crawls-succeed", objective=0.99, queue="crawling")
service.slo("searches-find", objective=0.7, metric="search_queries_total", good={"has_results": ("yes",)})
service.alert_when_low(
    "LowSearchVolume",
    searches,
    floor=40,
    summary="People search less than half as much as a week ago",
    runbook="Open the front page and search. If it works, look for a site that dropped its link to it.",
)
service.alert(
    "SearchesWithoutResults",
    expr=(
        'sum(rate(search_queries_total{has_results="no"}[1h])) / sum(rate(search_queries_total[1h])) > 0.5'
        " and sum(rate(search_queries_total[1h])) > 0.01"
    ),
    for_=hours(1),
    severity="business",
    summary="More than half of the searches find nothing",
    runbook="Open a site's Queries page: are people looking for what it lacks, or did its last crawl lose pages?",
    example=AlertExample(
        fires={
            'search_queries_total{has_results="yes"}': "0+40x300",
            'search_queries_total{has_results="no"}': "0+60x300",
        },
        quiet={
            'search_queries_total{has_results="yes"}': "0+60x300",
            'search_queries_total{has_results="no"}': "0+40x300",
        },
        after=seconds(30),
    ),
)
service.alert(
    "CrawlsFailing",
    expr="sum(increase(crawls_failed_total[1h])) > 3",
    for_=minutes(5),
    severity="warning",
    summary="Crawls end without a page",
    runbook="Open the failed crawls' reports: each refusal is listed with its reason. Then check the network's egress.",
    example=AlertExample(
        fires={"crawls_failed_total": "0+4x60"}, quiet={"crawls_failed_total": "9x60"}, after=seconds(30)
    ),
)

# What its dashboard shows first.
service.panel(
    "Searches in an hour",
    expr={
        "now": "sum(increase(search_queries_total[1h]))",
        "a week ago": "sum(increase(search_queries_total[1h] offset 1w))",
    },
    alert="LowSearchVolume",
    may_be_empty="A week ago nobody had searched yet.",
)
service.panel(
    "Searches that find nothing",
    expr='sum(rate(search_queries_total{has_results="no"}[1h])) / sum(rate(search_queries_total[1h]))',
    unit="percentunit",
    alert="SearchesWithoutResults",
)
service.panel("Crawls without a page, in an hour", expr="sum(increase(crawls_failed_total[1h]))", alert="CrawlsFailing")

# The jobs declare themselves on these handles, so they are imported last.
from sitesearch import jobs as jobs  # noqa: E402
from sitesearch.crawl import jobs as crawl_jobs  # noqa: E402, F401
