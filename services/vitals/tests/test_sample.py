"""The samples that a new installation is sent are accepted, and fill it."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import httpx
import pytest
from events import SECRET, encoded, post

from roadworthy import Service, testing
from vitals import sample
from vitals.payloads.metrics import METRICS
from vitals.payloads.normalise import normalise
from vitals.service import database

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("hour", [0, 5, 12, 23])
def test_every_sample_is_believed_whole(hour: int) -> None:
    found = [normalise(encoded(payload)) for payload in sample.payloads(2, 5, random.Random(1), NOW.replace(hour=hour))]
    assert [one.reason for one in found if one.refusals] == []
    assert all(one.observations for one in found)
    read = {observation.metric for one in found for observation in one.observations}
    assert len(read) > len(METRICS) / 2


async def test_samples_fill_the_service(client: httpx.AsyncClient, running: Service) -> None:
    for payload in sample.payloads(2, 3, random.Random(1), datetime.now(UTC)):
        assert (await post(client, encoded(payload))).status_code == 202
    await testing.drain(running)
    assert await database.fetchval("SELECT count(*) FROM webhook_events WHERE state <> 'processed'") == 0
    assert await database.fetchval("SELECT count(DISTINCT source) FROM observations") == 4


def test_the_command_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("VITALS_SECRET_AGGREGATOR", raising=False)
    assert sample.main([]) == 2
    assert "VITALS_SECRET_AGGREGATOR" in capsys.readouterr().err
    monkeypatch.setenv("VITALS_SECRET_AGGREGATOR", SECRET)
    assert sample.main(["--url", "http://127.0.0.1:9/webhooks/aggregator"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
