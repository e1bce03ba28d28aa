"""Sends signed sample webhooks, so that a new installation has something to show: `python -m vitals.sample`."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from vitals.webhooks.providers import PROVIDERS, Provider

_DEVICES = {
    "WITHINGS": ("Body+", ("body",)),
    "GARMIN": ("Forerunner 265", ("daily", "sleep", "activity")),
    "OURA": ("Ring 4", ("daily", "sleep")),
    "MANUAL": (None, ("body",)),
}


def main(arguments: list[str] | None = None) -> int:
    """Send the samples; return 0 when all were accepted, 1 when one was not, 2 without a secret."""
    parser = argparse.ArgumentParser(prog="python -m vitals.sample", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000/webhooks/aggregator", help="where to send them")
    parser.add_argument("--users", type=int, default=5, help="how many people (default: 5)")
    parser.add_argument("--days", type=int, default=14, help="how many days of data each (default: 14)")
    parser.add_argument("--seed", type=int, default=1, help="other numbers, other data")
    options = parser.parse_args(arguments)
    provider = PROVIDERS["aggregator"]
    with provider.secret.opened(os.environ):
        if not provider.secret.is_set:
            print("Set VITALS_SECRET_AGGREGATOR to the secret that the service runs with.", file=sys.stderr)  # noqa: T201
            return 2
        return _send_all(options, provider)


def _send_all(options: argparse.Namespace, provider: Provider) -> int:
    """Send the samples; return 0 when all were accepted, 1 when one was not."""
    sent = 0
    for payload in payloads(options.users, options.days, random.Random(options.seed), datetime.now(UTC)):  # nosec B311  # sample data
        problem = send(options.url, json.dumps(payload).encode(), provider)
        if problem is not None:
            print(problem, file=sys.stderr)  # noqa: T201
            return 1
        sent += 1
    print(f"{sent} webhooks accepted")  # noqa: T201
    return 0


def send(url: str, body: bytes, provider: Provider) -> str | None:
    """Send one payload, signed now; return what went wrong, None if nothing did."""
    headers = {
        "content-type": "application/json",
        **provider.format.sign(body, provider.keys[:1], now=time.time()),
    }
    request = urllib.request.Request(url, body, headers)  # noqa: S310 (the address is the caller's own)
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 (as above)  # nosec B310
            return None
    except urllib.error.HTTPError as error:
        return f"{url} answered {error.code}: {error.read().decode(errors='replace')}"
    except OSError as error:
        return f"{url} cannot be reached: {error}"


def payloads(users: int, days: int, draw: random.Random, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield payloads of so many people, for each of the last days, oldest first."""
    for day in range(days - 1, -1, -1):
        # Each day's payloads come the morning after; the last day's are of now.
        morning = (now - timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        created = min(morning + timedelta(hours=31), now)
        for user in range(1, users + 1):
            for source, (device, kinds) in _DEVICES.items():
                for kind in kinds:
                    yield payload(f"sample-{user}", source, kind, morning, created, draw, device)


def payload(
    reference: str,
    source: str,
    kind: str,
    morning: datetime,
    created: datetime,
    draw: random.Random,
    device: str | None = None,
) -> dict[str, Any]:
    """Return one payload about the day that began in the `morning`, created by the provider then."""
    return {
        "event_id": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        "type": kind,
        "created_at": created.isoformat(),
        "user": {"reference": reference, "source": source},
        "data": [_RECORDS[kind](morning, min(morning + timedelta(days=1), created), draw) | _device(device)],
    }


def _device(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"device_data": {"name": name, "manufacturer": ""}}


def _metadata(start: datetime, end: datetime) -> dict[str, str]:
    return {"start_time": start.isoformat(), "end_time": max(start, end).isoformat()}


def _daily(morning: datetime, end: datetime, draw: random.Random) -> dict[str, Any]:
    steps = round(draw.gauss(9000, 2000))
    return {
        "metadata": _metadata(morning, end),
        "distance_data": {"steps": max(0, steps), "distance_meters": max(0, steps) * 0.75, "floors_climbed": 9},
        "calories_data": {"net_activity_calories": round(draw.gauss(500, 90)), "BMR_calories": 1650},
        "heart_rate_data": {
            "summary": {"resting_hr_bpm": round(draw.gauss(56, 2)), "avg_hrv_rmssd": draw.gauss(62, 6)}
        },
        "oxygen_data": {"avg_saturation_percentage": 96.5, "vo2max_ml_per_min_per_kg": draw.gauss(46, 0.5)},
    }


def _sleep(morning: datetime, end: datetime, draw: random.Random) -> dict[str, Any]:
    asleep = draw.gauss(26_500, 2500)
    return {
        "metadata": _metadata(morning - timedelta(hours=1), min(end, morning + timedelta(hours=7))),
        "sleep_durations_data": {
            "sleep_efficiency": min(0.99, draw.gauss(0.89, 0.03)),
            "asleep": {
                "duration_asleep_state_seconds": asleep,
                "duration_deep_sleep_state_seconds": asleep * 0.2,
                "duration_REM_sleep_state_seconds": asleep * 0.23,
            },
        },
        "heart_rate_data": {"summary": {"resting_hr_bpm": round(draw.gauss(54, 2))}},
        "respiration_data": {"breaths_data": {"avg_breaths_per_min": draw.gauss(14.5, 0.5)}},
    }


def _activity(morning: datetime, end: datetime, draw: random.Random) -> dict[str, Any]:
    begin = min(end, morning + timedelta(hours=6))
    length = draw.gauss(2700, 500)
    return {
        "metadata": _metadata(begin, min(end, begin + timedelta(seconds=length))),
        "distance_data": {"summary": {"distance_meters": length * 2.8}},
        "calories_data": {"net_activity_calories": length * 0.16},
        "active_durations_data": {"activity_seconds": length},
        "heart_rate_data": {"summary": {"avg_hr_bpm": draw.gauss(148, 5), "max_hr_bpm": draw.gauss(172, 4)}},
    }


def _body(morning: datetime, end: datetime, draw: random.Random) -> dict[str, Any]:
    at = min(end, morning + timedelta(hours=7)).isoformat()
    measured = {"measurement_time": at, "weight_kg": draw.gauss(72, 0.4), "bodyfat_percentage": draw.gauss(19, 0.4)}
    return {"metadata": _metadata(morning, end), "measurements_data": {"measurements": [measured]}}


_RECORDS = {"activity": _activity, "body": _body, "daily": _daily, "sleep": _sleep}

if __name__ == "__main__":
    sys.exit(main())
