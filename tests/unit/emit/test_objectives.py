"""Objectives of every kind, as rules that Prometheus's own tool tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadworthy import Service, hours, minutes, seconds
from roadworthy.check.declaration import check
from roadworthy.emit.indicator import indicator
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.objectives import burn_alerts, recording_rules
from roadworthy.objectives.spec import ObjectiveSpec


def library() -> Service:
    service = Service("library", owner="readers")
    lending = service.queue("lending")

    @lending.job()
    async def remind(reader: int) -> None: ...

    service.counter("lookups_total", "Lookups.", labels={"found": ("yes", "nearly", "no"), "by": ("title", "author")})
    service.gauge("shelves_counted_timestamp_seconds", "When the shelves were last counted.", labels={"floor": None})
    service.gauge("index_lag_seconds", "How old the index is.")
    service.slo("reminders-succeed", objective=0.99, queue="lending", job="remind")
    service.slo("lending-succeeds", objective=0.999, queue="lending")
    service.slo("lending-starts", objective=0.95, queue="lending", under=seconds(45))
    service.slo("counted", objective=0.99, fresh="shelves_counted_timestamp_seconds", within=hours(1))
    service.slo("index-fresh", objective=0.99, fresh="index_lag_seconds", within=minutes(5), minimum_events=1)
    service.slo("lookups-find", objective=0.7, metric="lookups_total", good={"found": ("yes", "nearly")})
    service.slo("titles-find", objective=0.9, metric="lookups_total", good={"found": ("yes",), "by": ("title",)})
    return service


NAMES = [objective.name for objective in library().spec.objectives]


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", ["reminders-succeed", "lending-starts", "counted", "index-fresh", "lookups-find"])
def test_each_alert_of_a_kind_of_objective_fires_when_it_should_and_no_sooner(tmp_path: Path, name: str) -> None:
    for path, text in monitoring_files(library().spec).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    rules, tests = (tmp_path / f"prometheus/{kind}/library-{name}.yml" for kind in ("rules", "tests"))
    assert all(f"{fired} fires" in tests.read_text() for fired in ("BudgetBurn", "BudgetSpent", "NotMeasured"))
    for command in (["check", "rules", "--lint-fatal", rules], ["test", "rules", tests]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_objectives_of_every_kind_pass_the_check() -> None:
    assert check(library().spec, app=None) == ()


def test_only_what_succeeded_or_died_is_an_event_of_a_promise_on_jobs() -> None:
    counted = indicator(ObjectiveSpec("sent", 0.9, queue="mail", job="send"), "shop", "5m")
    assert 'outcome=~"succeeded|dead"' in counted.total
    assert counted.bad == (
        'sum(rate(jobs_finished_total{service="shop",queue="mail",job="send",outcome="dead"}[5m])) or vector(0)'
    )


def test_good_values_are_matched_as_they_are_written() -> None:
    one = indicator(ObjectiveSpec("good", 0.9, metric="a_total", good={"b": ("x.y",)}), "shop", "1h")
    assert '{service="shop",b="x.y"}' in one.bad
    several = indicator(ObjectiveSpec("good", 0.9, metric="a_total", good={"b": ("x.y", "z")}), "shop", "1h")
    assert '{service="shop",b=~"x\\\\.y|z"}' in several.bad


@pytest.mark.parametrize("objective", library().spec.objectives, ids=NAMES)
def test_a_budget_is_counted_over_sums_that_are_divided_once(objective: ObjectiveSpec) -> None:
    *_, events, budget = recording_rules(objective, "library")
    assert str(events["expr"]).startswith("sum_over_time(service_slo:events:rate5m{")
    assert "avg" not in str(budget["expr"])
    assert str(budget["expr"]).count("sum_over_time") == 1


@pytest.mark.parametrize("objective", library().spec.objectives, ids=NAMES)
def test_each_objective_tells_when_its_budget_is_spent_and_when_it_is_not_measured(objective: ObjectiveSpec) -> None:
    alerts = list(burn_alerts(objective, library().spec))
    assert alerts[-2].name.endswith("BudgetSpent")
    assert alerts[-1].name.endswith("NotMeasured")
    assert {alert.severity for alert in alerts[-2:]} == {"warning"}
