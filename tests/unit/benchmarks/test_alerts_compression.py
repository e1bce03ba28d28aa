"""Time compressed: durations become shorter, and nothing else changes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadworthy.emit.alertmanager import Mail, Receivers
from roadworthy.emit.monitoring import monitoring_files
from sitesearch.service import service

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.alerts.compression import compressed, expression  # noqa: E402

_FILES = {
    path: text
    for path, text in monitoring_files(
        service.spec, receivers=Receivers(mail=Mail("a@example.org", "b@example.org", "mail:25"))
    ).items()
    if path.endswith(".yml") and "/tests/" not in path
}
_DURATION = re.compile(r"\d+(?:ms|[smhdwy])")
_OBEYED = {"for", "interval", "evaluation_interval", "scrape_interval", "scrape_timeout"}
_OBEYED |= {"keep_firing_for", "group_wait", "group_interval", "repeat_interval"}


def without_durations(value: Any) -> Any:
    """Return a document whose durations that are obeyed are all alike."""
    if isinstance(value, list):
        return [without_durations(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, one in value.items():
        if key in _OBEYED:
            assert _DURATION.fullmatch(one)
            kept[key] = "a duration"
        elif key == "expr":
            kept[key] = re.sub(r"(\[|:|offset )" + _DURATION.pattern, r"\1a duration", one)
        else:
            kept[key] = without_durations(one)
    return kept


@pytest.mark.parametrize("path", sorted(_FILES))
def test_nothing_but_durations_changes(path: str) -> None:
    before, after = yaml.safe_load(_FILES[path]), yaml.safe_load(compressed(_FILES[path], 30))
    assert without_durations(after) == without_durations(before)
    assert compressed(_FILES[path], 1) == _FILES[path]
    if "rules/sitesearch" in path:
        assert json.dumps(after) != json.dumps(before)


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("rate(a[5m])", "rate(a[10s])"),
        ('rate(a{b="c"}[5m])', 'rate(a{b="c"}[10s])'),
        ('rate(a{b=~"[5m]"}[1h30m])', 'rate(a{b=~"[5m]"}[3m])'),
        ("max_over_time(rate(a[5m])[1h:1m])", "max_over_time(rate(a[10s])[2m:2s])"),
        ("max_over_time(a[1h:])", "max_over_time(a[2m:])"),
        ("a offset 1w > 300", "a offset 336m > 300"),
        ("a offset -1m", "a offset -2s"),
        ("service_slo:events:rate5m * 30 > 5", "service_slo:events:rate5m * 30 > 5"),
        ("rate(a[1ms])", "rate(a[1ms])"),
    ],
)
def test_ranges_steps_and_offsets_are_divided(text: str, shorter: str) -> None:
    assert expression(text, 30) == shorter


def test_a_scrape_may_take_as_long_as_before_but_no_longer_than_the_interval() -> None:
    text = "global:\n  scrape_interval: 30s\n  scrape_timeout: 10s\n"
    assert compressed(text, 2) == "global:\n  scrape_interval: 15s\n  scrape_timeout: 10s\n"
    assert compressed(text, 30) == "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
