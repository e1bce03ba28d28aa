"""`roadworthy cache` beside a whole `roadworthy run`: one cache in two web processes, looked into from a third."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx

from launching import Launched, launched, until

DECLARATION = """
import os
import time

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from roadworthy import Service, minutes, seconds

service = Service("shop", app="cached_shop:app")
database = service.database()
prices = service.cache("prices", ttl=minutes(5), store_timeout=seconds(5))


@prices.cached(key="{item}", tags=["item:{item}"])
async def price(item: str) -> int:
    return time.monotonic_ns()


async def show(request):
    return JSONResponse({"price": await price(request.path_params["item"]), "process": os.getpid()})


app = service.install(Starlette(routes=[Route("/{item}", show)]))
"""


async def shown(run: Launched) -> tuple[set[int], set[int]]:
    """The prices of tea and the processes that told them, on ten connections."""
    answers = []
    for _ in range(10):
        async with httpx.AsyncClient() as visitor:
            answers.append((await visitor.get(f"{await run.site()}/tea")).json())
    return {answer["price"] for answer in answers}, {answer["process"] for answer in answers}


async def command(run: Launched, directory: Path, *arguments: str) -> Any:
    """Run `roadworthy cache ... --json` as another process would be, and return its document."""
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environ |= {
        "ROADWORTHY_DATA_DIR": str(directory / "data"),
        "ROADWORTHY_SERVICE": "cached_shop",
        "ROADWORTHY_OPERATIONS_PORT": (await run.operations()).rpartition(":")[2],
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "roadworthy", "cache", *arguments, "--json"),
        cwd=directory,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(output)


async def test_what_two_processes_share_is_seen_and_ended_from_a_third(tmp_path: Path) -> None:
    (tmp_path / "cached_shop.py").write_text(DECLARATION)
    async with launched(tmp_path, "run", "cached_shop", "--web", "2") as run:
        await run.site()
        await until(lambda: run.is_ready_again("web-2", 0), "the second web process")
        processes: set[int] = set()
        prices: set[int] = set()

        async def both_asked() -> bool:
            told, by = await shown(run)
            prices.update(told)
            processes.update(by)
            return len(processes) == 2

        await until(both_asked, "an answer of each process")
        assert len(prices) == 1

        (cache,) = (await command(run, tmp_path, "stats"))["caches"]
        assert (cache["store"]["entries"], cache["store"]["fresh"]) == (1, 1)
        assert cache["lookups"]["loaded"] == 1
        told = round(cache["lookups"]["hit_ratio"], 4)
        assert 0.5 < told < 1

        async def reported() -> bool:
            (reading,) = (await run.health())["checks"]["prices:hitRatio"]
            return bool(reading["observedValue"] == told)

        # A report is remembered for a moment, and the last one may be of before.
        await until(reported, "the hit ratio of all processes")

        assert (await command(run, tmp_path, "invalidate", "item:tea"))["caches"] == ["prices"]

        async def loaded_anew() -> bool:
            told, _ = await shown(run)
            return len(told) == 1 and told != prices

        await until(loaded_anew, "a new price, the same everywhere")
