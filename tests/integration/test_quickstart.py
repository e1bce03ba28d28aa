"""The README's quick start, run as a reader would run it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from launching import gone, launched, until

ROOT = Path(__file__).parents[2]
QUICKSTART = str(ROOT / "examples/quickstart.py")


async def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    async with launched(tmp_path, "run", QUICKSTART) as run:
        site = await run.site()
        answer = await run.client.post(f"{site}/visits/ada")
        assert (answer.status_code, answer.json()) == (200, {"welcome": "ada"})
        assert answer.headers["x-request-id"]

        async def thanked() -> bool:
            visits: dict[str, bool] = (await run.client.get(f"{site}/visits")).json()
            return visits["ada"]

        await until(thanked, "the job's effect")
        assert (await run.client.get(f"{site}/readyz")).json() == {"status": "pass"}
        assert (await run.client.get(f"{site}/nowhere")).headers["content-type"] == "application/problem+json"

        metrics = (await run.client.get(f"{await run.operations()}/metrics")).text
        assert 'http_requests_total{method="POST",route="/visits/{name}",status="200"} 1.0' in metrics
        assert re.search(r'http_request_duration_seconds_bucket{[^\n]*"/visits/{name}"[^\n]*le="0\.2"', metrics)
        assert 'jobs_enqueued_total{queue="letters",job="thank"} 1.0' in metrics

        processes = run.tree()
        run.process.send_signal(signal.SIGTERM)
        assert await run.ended() == 0, run.lines
        await gone(processes)
