"""What a service costs, as Prometheus works it out from the emitted rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadworthy import Service
from roadworthy.emit.cost import SOURCE, TOTAL
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.prometheus import rule_groups


def priced() -> Service:
    service = Service("shop", owner="sales", app="shop.app:app")
    service.database()
    service.queue("mail")
    service.prices(cpu_hour=1.0, memory_gib_hour=0.5, disk_gib_month=730.0, monthly_budget=100.0, currency="EUR")
    service.meter("pages", price=0.01)
    service.meter("tokens", price=0.001)
    return service


def holds(service: Service, tmp_path: Path, test: str | None = None) -> None:
    for path, text in monitoring_files(service.spec).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    file = tmp_path / "prometheus/tests/shop-cost.yml"
    if test is not None:
        file.write_text(test)
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


_SERIES = """
rule_files: [../rules/shop-cost.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: 'process_cpu_seconds_total{service="shop",process="web-1"}', values: "0+9x300"}
      - {series: 'process_cpu_seconds_total{service="shop",process="web-2"}', values: "0+6x300"}
      - {series: 'process_cpu_seconds_total{service="shop",process="worker-mail-1"}', values: "0+3x300"}
      - {series: 'process_cpu_seconds_total{service="shop",process="supervisor"}', values: "0+3x300"}
      - {series: 'process_resident_memory_bytes{service="shop",process="supervisor"}', values: "1073741824x300"}
      - {series: 'database_size_bytes{service="shop",database="main",instance="a"}', values: "1073741824x300"}
      - {series: 'database_size_bytes{service="shop",database="main",instance="b"}', values: "1073741824x300"}
      - {series: 'http_request_duration_seconds_sum{service="shop",method="GET",route="/a"}', values: "0+30x300"}
      - {series: 'http_request_duration_seconds_sum{service="shop",method="GET",route="/b"}', values: "0+10x300"}
      - {series: 'job_duration_seconds_sum{service="shop",queue="mail",job="send"}', values: "0+5x300"}
      - {series: 'metered_units_total{service="shop",meter="pages",kind="route",name="GET /a"}', values: "0+1x300"}
      - {series: 'metered_units_total{service="shop",meter="tokens",kind="job",name="send"}', values: "0+10x300"}
      - {series: 'metered_units_total{service="shop",meter="tokens",kind="other"}', values: "0+1x300"}
    promql_expr_test:
EXPECTED
"""


@pytest.mark.needs("promtool")
def test_what_processes_use_is_spread_over_routes_and_jobs_and_the_parts_make_the_whole(tmp_path: Path) -> None:
    # In an hour: 0.5 processors of web, 0.1 of workers, 0.1 of the supervisor; 1 GiB of memory, 1 GiB of disk.
    expected = {
        f'round(sum({SOURCE}{{kind="route",name="GET /a"}}), 0.001)': 0.375 + 1.2,
        f'round(sum({SOURCE}{{kind="route",name="GET /b"}}), 0.001)': 0.125,
        f'round(sum({SOURCE}{{kind="job",name="send"}}), 0.001)': 0.1 + 1.2,
        f'round(sum({SOURCE}{{kind="other"}}), 0.001)': 0.12,
        f'round(sum({SOURCE}{{kind="shared"}}), 0.001)': 0.1 + 0.5 + 1.0,
        f"round(sum({TOTAL}), 0.001)": 4.72,
        f"round(sum({SOURCE}) - sum({TOTAL}), 0.001)": 0.0,
    }
    cases = "".join(
        f"      - {{expr: '{expression}', eval_time: 2h, exp_samples: [{{labels: '{{}}', value: {value:.12g}}}]}}\n"
        for expression, value in expected.items()
    )
    holds(priced(), tmp_path, _SERIES.replace("EXPECTED", cases))


@pytest.mark.needs("promtool")
def test_without_any_traffic_nobody_is_charged_and_nothing_is_divided_by_zero(tmp_path: Path) -> None:
    test = """
rule_files: [../rules/shop-cost.yml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: 'process_cpu_seconds_total{service="shop",process="web-1"}', values: "0+30x300"}
      - {series: 'http_request_duration_seconds_sum{service="shop",method="GET",route="/a"}', values: "7x300"}
    promql_expr_test:
      - {expr: 'count(SOURCE{kind="route"})', eval_time: 2h}
      - {expr: 'round(sum(SOURCE{kind="shared"}), 0.001)', eval_time: 2h, exp_samples: [{labels: '{}', value: 1}]}
""".replace("SOURCE", SOURCE)
    holds(priced(), tmp_path, test)


@pytest.mark.needs("promtool")
def test_a_month_that_is_going_to_cost_too_much_is_told_of_after_six_hours(tmp_path: Path) -> None:
    holds(priced(), tmp_path)


def test_without_a_budget_there_is_no_alert_and_without_prices_nothing_is_recorded() -> None:
    service = Service("shop")
    service.prices(cpu_hour=1.0)
    (cost,) = (group for group in rule_groups(service.spec) if group.name == "shop-cost")
    assert cost.recording
    assert cost.alerts == ()
    assert [group.name for group in rule_groups(Service("shop").spec)] == ["shop"]
