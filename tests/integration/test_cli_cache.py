"""What `roadworthy cache` tells and does, on either store, beside a process of the service with the same in memory."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from redis_server import RedisServer
from roadworthy import Service
from roadworthy.cache.rates import Rate
from roadworthy.cli.cache import stats
from roadworthy.cli.cache.scraping import rates, scraped
from roadworthy.cli.main import main
from roadworthy.runtime.scratch import ScratchServer
from roadworthy.telemetry import exposition

DECLARATION = """
from roadworthy import Service, hours, minutes
service = Service({name!r})
orders = service.database()
prices = service.cache("prices", ttl=minutes(5), stale=hours(1))
people = service.cache("people", ttl=minutes(1))
private = service.cache("private", ttl=minutes(1), tiers=("memory",))

@prices.cached(key="{{item}}", tags=["item:{{item}}"])
async def price(item: str) -> dict[str, float]:
    loaded.append(item)
    return {{"eur": 1.5}}

loaded = []
"""

Json = Callable[..., Any]


@pytest.fixture(params=["postgres", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def shop(
    request: pytest.FixtureRequest, postgres_server: ScratchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The module of a service whose caches are shared through the one store or the other."""
    name = f"shop_{secrets.token_hex(4)}"
    (tmp_path / f"{name}.py").write_text(DECLARATION.format(name=name.replace("_", "-")))
    dsn = asyncio.run(postgres_server.create_database())
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("ROADWORTHY_SERVICE", name)
    monkeypatch.setenv("ROADWORTHY_OPERATIONS_PORT", "1")
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        monkeypatch.setenv("REDIS_URL", server.url)
    else:
        monkeypatch.delenv("REDIS_URL", raising=False)
    yield __import__(name)
    sys.modules.pop(name, None)
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Json:
    """Run `roadworthy cache ... --json` and return its document, its exit code checked."""

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["cache", *arguments, "--json"]) == code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def beside(shop: Any, act: Callable[[], Awaitable[None]]) -> None:
    """Do something in a process of the service."""

    async def run() -> None:
        async with cast("Service", shop.service).running():
            await act()

    asyncio.run(run())


async def told(*arguments: str, code: int = 0) -> None:
    """Run the command while this process serves."""
    assert await asyncio.to_thread(main, ["cache", *arguments]) == code


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


def test_a_value_is_shown_with_its_age_and_tags(shop: Any, say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    async def act() -> None:
        await shop.price("tea")
        await shop.people.set("7", {"name": "Ada", "image": b"\xff"})

    beside(shop, act)
    shown = say("get", "prices", "price:tea")
    assert (shown["state"], shown["tags"], shown["value"]) == ("fresh", ["item:tea"], {"eur": 1.5})
    assert 0 <= shown["age_seconds"] < 300
    assert shown["bytes"] > 32
    assert main(["cache", "get", "people", "7"]) == 0
    printed = capsys.readouterr().out
    assert "state        fresh" in printed
    assert "Ada" in printed
    assert say("get", "prices", "price:coffee", code=1) == {
        "cache": "prices",
        "key": "price:coffee",
        "state": "missing",
    }


def test_keys_are_listed_by_pattern_and_bounded(shop: Any, say: Json) -> None:
    async def act() -> None:
        for item in ("tea", "coffee", "milk"):
            await shop.price(item)
        await shop.people.set("7", 1)

    beside(shop, act)
    assert sorted(say("keys", "prices")["keys"]) == ["price:coffee", "price:milk", "price:tea"]
    assert say("keys", "prices", "price:?ea") == {"cache": "prices", "keys": ["price:tea"], "more": False}
    bounded = say("keys", "prices", "--limit", "2")
    assert (len(bounded["keys"]), bounded["more"]) == (2, True)
    assert say("keys", "prices", "nothing*")["keys"] == []


def test_a_tag_is_invalidated_in_every_process_and_cache(shop: Any, say: Json) -> None:
    async def act() -> None:
        await shop.price("tea")
        await shop.price("milk")
        await shop.people.set("7", 1, tags=["item:tea"])
        await told("invalidate", "item:tea")

        async def loaded_again() -> bool:
            await shop.price("tea")
            return bool(shop.loaded.count("tea") == 2)

        await until(loaded_again)
        assert await shop.people.get("7") is None
        await shop.price("milk")
        assert shop.loaded.count("milk") == 1

    beside(shop, act)
    assert say("invalidate", "item:tea", "--cache", "people") == {"tags": ["item:tea"], "caches": ["people"]}
    assert say("get", "prices", "price:tea")["state"] == "fresh"
    assert say("get", "people", "7", code=1)["invalidated_by"] == "item:tea"


def test_a_key_is_deleted_in_every_process(shop: Any, say: Json) -> None:
    async def act() -> None:
        await shop.price("tea")
        await told("delete", "prices", "price:tea", "price:unknown")

        async def loaded_again() -> bool:
            await shop.price("tea")
            return bool(shop.loaded.count("tea") == 2)

        await until(loaded_again)

    beside(shop, act)
    assert say("delete", "prices", "price:tea") == {"cache": "prices", "keys": ["price:tea"], "overtaken": []}
    assert say("get", "prices", "price:tea", code=1)["state"] == "missing"


def test_a_cache_is_cleared_and_no_other(shop: Any, say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    async def act() -> None:
        await shop.price("tea")
        await shop.people.set("7", 1)

    beside(shop, act)
    assert say("clear", "prices") == {"cache": "prices"}
    assert say("get", "prices", "price:tea", code=1)["state"] == "dead"
    assert main(["cache", "get", "prices", "price:tea"]) == 1
    assert "the cache was cleared" in capsys.readouterr().out
    assert say("get", "people", "7")["value"] == 1


def test_statistics_tell_what_is_in_the_store(
    shop: Any, say: Json, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        for item in ("tea", "coffee", "milk"):
            await shop.price(item)
        await shop.prices.invalidate("item:tea")

    beside(shop, act)
    told = say("stats")
    prices, people, private = told["caches"]
    assert not told["measured"]
    assert {name: prices["store"][name] for name in ("entries", "fresh", "dead", "sampled")} == {
        "entries": 3, "fresh": 2, "dead": 1, "sampled": 3,
    }  # fmt: skip
    assert prices["store"]["bytes"] > 3 * 32
    assert (people["store"]["entries"], private["store"]) == (0, None)
    assert main(["cache", "stats"]) == 0
    printed = capsys.readouterr()
    assert "nothing answers on the operations port" in printed.err
    assert printed.out.splitlines()[0].startswith("CACHE")
    monkeypatch.setattr(stats, "_SAMPLED", 2)
    assert say("stats")["caches"][0]["store"]["sampled"] == 2


def test_the_share_of_hits_is_that_of_the_running_processes(
    shop: Any, say: Json, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act() -> None:
        for _ in range(4):
            await shop.price("tea")
        registry = shop.service.binding("test").metrics
        text = exposition.render(registry.snapshot())
        monkeypatch.setattr(stats, "scraped", lambda *_: text)

    beside(shop, act)
    counted = say("stats")
    assert counted["measured"]
    assert counted["caches"][0]["lookups"] == {"hits": 3, "stale": 0, "misses": 1, "loaded": 1, "hit_ratio": 0.75}
    assert counted["caches"][1]["lookups"]["hit_ratio"] is None
    assert main(["cache", "stats"]) == 0
    assert "75.0 %" in capsys.readouterr().out
    monkeypatch.setattr(stats, "scraped", lambda *_: 'roadworthy_info{service="other"} 1.0\n')
    assert main(["cache", "stats"]) == 0
    assert "another service answers" in capsys.readouterr().err


def test_mistakes_are_named_with_what_there_is(
    shop: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, says in (
        (("get", "price", "x"), "did you mean 'prices'?"),
        (("clear", "nothing"), "it has: prices, people, private"),
        (("keys", "private"), "in the memory of each process alone"),
        (("invalidate", ""), "a tag is empty"),
        (("get", "prices", ""), "is no text"),
    ):
        assert main(["cache", *arguments]) == 2
        assert says in capsys.readouterr().err
    for arguments in ((), ("invalidate",), ("keys", "prices", "--limit", "0")):
        with pytest.raises(SystemExit) as raised:
            main(["cache", *arguments])
        assert raised.value.code == 2


def test_a_store_that_is_away_is_said(
    shop: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["cache", "clear", "prices"]) == 2
    told = capsys.readouterr().err
    assert "the Redis of REDIS_URL, which the caches share, does not do it" in told
    monkeypatch.delenv("REDIS_URL")
    assert main(["cache", "clear", "prices"]) == 2
    assert "roadworthy migrate" in capsys.readouterr().err
    monkeypatch.delenv("DATABASE_URL")
    assert main(["cache", "clear", "prices"]) == 2
    assert "neither REDIS_URL nor DATABASE_URL is set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("declares", "says"),
    [("", "declares no cache"), ("service.cache('x', ttl=minutes(1))", "share no cache: REDIS_URL is not set")],
)
def test_a_service_without_a_shared_cache_is_told_what_to_do(
    declares: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"bare_{secrets.token_hex(4)}.py"
    file.write_text(f"from roadworthy import Service, minutes\nservice = Service('bare')\n{declares}\n")
    assert main(["cache", "stats", "--service", str(file)]) == 2
    assert says in capsys.readouterr().err


def test_a_rate_counts_misses_where_the_value_was_looked_for_last() -> None:
    info = 'roadworthy_info{service="shop",version="1"} 1.0\n'
    line = 'cache_lookups_total{{cache="prices",tier="{}",outcome="{}"}} {}\n'
    memory = info + line.format("memory", "hit", 6.0) + line.format("memory", "miss", 2.0)
    assert rates(memory, "shop") == {"prices": Rate(6, 0, 2, 0)}
    both = memory + line.format("shared", "hit", 1.0) + line.format("shared", "error", 1.0)
    assert rates(both, "shop") == {"prices": Rate(7, 0, 1, 0)}
    assert rates(both, "other") is None
    assert rates("", "shop") is None


def test_nothing_is_scraped_where_nothing_answers() -> None:
    assert scraped("127.0.0.1", 1) is None
