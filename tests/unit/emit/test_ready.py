"""The ready catalogue: it has what was promised, applies where it fits, and keeps clear of what makes alerts lie."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadworthy import Service, minutes
from roadworthy.emit.exporters import Exporters
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.prometheus import rule_groups
from roadworthy.service import ServiceSpec

EVERY = Exporters(node=("node:9100",), postgres=("pg:9187",), redis=("redis:9121",), kube=("kube:8080",))


def everything() -> Service:
    service = Service("shop", owner="sales", app="shop.app:app")
    service.database()
    service.queue("mail")
    service.cache("prices", ttl=minutes(5), tiers=("memory", "shared"))
    service.limit("api", "100/minute")
    service.dependency("geocoder")
    service.shedding()
    service.prices(cpu_hour=0.04, monthly_budget=100.0)
    service.slo("availability", objective=0.999)
    return service


def names(spec: ServiceSpec, exporters: Exporters | None = None) -> set[str]:
    return {alert.name for group in rule_groups(spec, exporters or Exporters()) for alert in group.alerts}


def emitted(to: Path, exporters: Exporters | None = None) -> Path:
    for path, text in monitoring_files(everything().spec, exporters=exporters).items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_text(text)
    return to / "prometheus"


def promtool(*command: str | Path) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "HighJobFailureRate",
        "WorkerQueueBacklog",
        "OldestJobAge",
        "WorkerDown",
        "DeadLettersGrowing",
        "JobsStuckRunning",
        "HighAPILatency",
        "HighAPIErrorRate",
        "HighDatabaseConnections",
        "SlowDatabaseQueries",
        "PostgresDown",
        "Deadlocks",
        "LongTransaction",
        "ReplicaLag",
        "RedisDown",
        "RedisMemory",
        "RedisEvicting",
        "CacheHitRateLow",
        "RateLimitRejectionsHigh",
        "BreakerOpen",
        "HighMemoryUsage",
        "HighCPUUsage",
        "DiskSpaceLow",
        "PodCrashLooping",
        "SlowScrapes",
        "CardinalityCapHit",
        "TargetDown",
        "RuleEvaluationsFail",
        "NotificationsFail",
        "CostBudgetBurn",
        "AvailabilityBudgetBurn",
        "AvailabilityNotMeasured",
    ],
)
def test_each_alert_that_was_promised_is_there(name: str) -> None:
    assert name in names(everything().spec, EVERY)


def test_what_a_service_has_not_is_not_alerted_on() -> None:
    bare = names(Service("shop").spec)
    assert not bare & {"PostgresDown", "RedisDown", "WorkerDown", "HighAPILatency", "CostBudgetBurn"}
    assert {"HighMemoryUsage", "DiskSpaceLow", "TargetDown"} <= bare


def test_only_exporters_that_are_named_get_scrapes_and_alerts() -> None:
    only = {"ExporterDown", "NodeDiskSpaceLow", "NodeMemoryLow", "PostgresExporterBlind", "PodCrashLooping"}
    assert not names(everything().spec) & only
    assert names(everything().spec, Exporters(node=("node:9100",))) & only == {
        "ExporterDown",
        "NodeDiskSpaceLow",
        "NodeMemoryLow",
    }
    written = monitoring_files(everything().spec, exporters=EVERY)["prometheus/prometheus.yml"]
    assert written.count("monitors: shop") == 4
    assert "kube:8080" in written


@pytest.mark.needs("promtool")
def test_what_exporters_see_fires_when_it_should_and_no_sooner(tmp_path: Path) -> None:
    prometheus = emitted(tmp_path, EVERY)
    promtool("test", "rules", prometheus / "tests/shop-exporters.yml")
    promtool("check", "config", prometheus / "prometheus.yml")


_DISK = """
rule_files: [../rules/shop.yml]
evaluation_interval: 1m
tests:
  - name: six hours in which a disk fills
    interval: 1m
    input_series:
      - {series: 'machine_disk_free_bytes{service="shop",disk="data",instance="a"}', values: "38000-30x600"}
      - {series: 'machine_disk_size_bytes{service="shop",disk="data",instance="a"}', values: "100000x600"}
    alert_rule_test:
      - {eval_time: 1h, alertname: DiskSpaceLow}
    promql_expr_test:
      - {expr: 'count(ALERTS{alertname="DiskSpaceLow",alertstate="firing"})', eval_time: 5h}
      - expr: 'count(ALERTS{alertname="DiskSpaceLow",alertstate="firing"})'
        eval_time: 6h30m
        exp_samples: [{labels: '{}', value: 1}]
"""

_LABELS = """
rule_files: [../rules/shop.yml]
evaluation_interval: 30s
tests:
  - name: two that look at one server count its connections once
    interval: 30s
    input_series:
      - {series: 'database_connections{service="shop",database="main",state="idle",instance="a"}', values: "60x60"}
      - {series: 'database_connections{service="shop",database="main",state="idle",instance="b"}', values: "60x60"}
      - {series: 'database_connections_limit{service="shop",database="main",instance="a"}', values: "100x60"}
      - {series: 'database_connections_limit{service="shop",database="main",instance="b"}', values: "100x60"}
    alert_rule_test: [{eval_time: 20m, alertname: HighDatabaseConnections}]
  - name: a Redis without maxmemory is never full, and memory of which nothing is known is not used up
    interval: 30s
    input_series:
      - {series: 'redis_memory_used_bytes{service="shop",server="r"}', values: "100x60"}
      - {series: 'redis_memory_limit_bytes{service="shop",server="r"}', values: "0x60"}
      - {series: 'machine_memory_used_bytes{service="shop"}', values: "0x60"}
      - {series: 'machine_memory_limit_bytes{service="shop"}', values: "0x60"}
    alert_rule_test:
      - {eval_time: 20m, alertname: RedisMemory}
      - {eval_time: 20m, alertname: HighMemoryUsage}
  - name: of two that look, one that does not get through pages nobody
    interval: 30s
    input_series:
      - {series: 'database_up{service="shop",database="main",instance="a"}', values: "0x60"}
      - {series: 'database_up{service="shop",database="main",instance="b"}', values: "1x60"}
    alert_rule_test: [{eval_time: 20m, alertname: PostgresDown}]
"""


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("case", [_DISK, _LABELS], ids=["forecast", "labels"])
def test_nothing_fires_for_want_of_labels_limits_or_history(tmp_path: Path, case: str) -> None:
    prometheus = emitted(tmp_path)
    (prometheus / "tests/own.yml").write_text(case)
    promtool("test", "rules", prometheus / "tests/own.yml")
