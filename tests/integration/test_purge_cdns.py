"""Purging through the real client, against servers that speak the documented APIs of CDNs strictly."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import edge_servers
from edge_servers import ENVIRONMENT, ZONE, FakeApi, FakeCloudflare, FakeCloudFront, FakeFastly, as_json
from roadworthy.cli.main import main
from roadworthy.edge.cdn import Cdn, cloudflare, cloudfront, fastly
from roadworthy.edge.client import HttpClient
from roadworthy.edge.metrics import CATALOGUE
from roadworthy.edge.pace import Patience
from roadworthy.edge.purger import Purger, opened
from roadworthy.edge.sender import Timing
from roadworthy.errors import PurgeFailed
from roadworthy.telemetry.registry import MetricRegistry

QUICK = Patience(attempts=20, seconds=60, first=0.001, longest=0.01)
SECRETS = [edge_servers.TOKEN, edge_servers.KEY, edge_servers.AWS.secret_key, "aws-session-token"]


def spec(server: FakeApi) -> Cdn:
    match server:
        case FakeCloudflare():
            return cloudflare(zone=ZONE, plan="enterprise", base_url=server.url)
        case FakeFastly():
            return fastly(service=server.SERVICE, base_url=server.url)
        case FakeCloudFront():
            return cloudfront(distribution=server.DISTRIBUTION, base_url=server.url)
    raise TypeError(server)


class Purging:
    """A purger to fake servers, and what it counted."""

    def __init__(self, purger: Purger, metrics: MetricRegistry) -> None:
        self.purger = purger
        self._metrics = metrics

    async def purge(self, **what: object) -> None:
        await self.purger.purge(**what)  # type: ignore[arg-type]
        await asyncio.wait_for(self.purger.settled(), 60)

    def count(self, cdn: str, outcome: str) -> float | None:
        return self._metrics.value("edge_purges_total", {"cdn": cdn, "outcome": outcome})


@asynccontextmanager
async def purging(
    *servers: FakeApi, environment: Mapping[str, str] = ENVIRONMENT, timeout: float = 10
) -> AsyncIterator[Purging]:
    metrics = MetricRegistry(CATALOGUE)
    async with (
        _all(*servers),
        opened(
            [spec(server) for server in servers],
            environment,
            metrics,
            client=HttpClient(timeout=timeout),
            timing=Timing(window=0.01, patience=QUICK),
        ) as purger,
    ):
        yield Purging(purger, metrics)


@asynccontextmanager
async def _all(*servers: FakeApi) -> AsyncIterator[None]:
    if not servers:
        yield
        return
    async with servers[0].running(), _all(*servers[1:]):
        yield


@pytest.fixture(autouse=True)
def _no_secret_is_written(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    written = "".join(capsys.readouterr())
    assert [secret for secret in SECRETS if secret in written] == []


URL = "https://shop.example/news/?page=2"
PREFIX = "https://shop.example/assets/"


async def test_cloudflare_takes_each_kind_in_a_call_of_its_own() -> None:
    server = FakeCloudflare()
    async with purging(server) as edge:
        await edge.purge(urls=[URL], tags=["Site:7", "b"], prefixes=[PREFIX])
        await edge.purge(everything=True)
        assert edge.count("cloudflare", "succeeded") == 5

    assert sorted(server.purged[:3]) == [
        ("files", [URL]),
        ("prefixes", ["shop.example/assets/"]),
        ("tags", ["site:7", "b"]),
    ]
    assert server.purged[3:] == [("purge_everything", True)]


async def test_fastly_takes_keys_together_and_urls_one_by_one_softly() -> None:
    server = FakeFastly()
    async with purging(server) as edge:
        await edge.purge(urls=[URL, "https://shop.example/"], tags=[f"t{number}" for number in range(600)])
        await edge.purge(everything=True)

    assert sorted(server.urls) == ["shop.example/", "shop.example/news/?page=2"]
    assert [len(keys) for keys in sorted(server.keys, key=len)] == [88, 256, 256]
    assert server.everything == 1
    assert server.soft == [True] * 5


async def test_cloudfront_takes_paths_wildcards_and_tags() -> None:
    server = FakeCloudFront()
    async with purging(server) as edge:
        await edge.purge(
            urls=[URL, "https://other.example", "https://shop.example/a*"], tags=["a&b"], prefixes=[PREFIX]
        )
        await edge.purge(everything=True)

    assert sorted(server.invalidations.values()) == [
        ["#a&b"],
        ["/*"],
        ["/assets/*"],
        ["/news/?page=2", "/", "/a%2A"],
    ]


@pytest.mark.parametrize("make", [FakeCloudflare, FakeFastly, FakeCloudFront])
async def test_whatever_befalls_a_call_it_is_made_again(make: type[FakeApi]) -> None:
    server = make()
    server.troubles = [
        as_json(429, {"success": False, "errors": [], "msg": "slow down"}, {"Retry-After": "0"}),
        (502, {}, b"<html>Bad Gateway</html>"),
        "reset",
        "silent",
        "lost answer",
    ]
    async with purging(server, timeout=0.5) as edge:
        await edge.purge(tags=["a"])
        assert edge.count(spec(server).name, "succeeded") == 1
    assert server.troubles == []
    assert len(server.requests) >= 6, "more where this machine is slower than the time-out"


async def test_a_repeated_invalidation_keeps_its_reference_so_that_a_lost_answer_costs_nothing() -> None:
    server = FakeCloudFront(troubles=["lost answer"])
    async with purging(server) as edge:
        await edge.purge(tags=["a", "b"])

    assert len(server.requests) == 2
    assert list(server.invalidations.values()) == [["#a", "#b"]]
    assert server.repeated == 1
    assert server.requests[0].body == server.requests[1].body


async def test_too_many_invalidations_in_progress_are_waited_for() -> None:
    server = FakeCloudFront(in_progress=[f"/{number}" for number in range(3000)])
    async with purging(server) as edge:
        await edge.purger.purge(urls=[URL], prefixes=[PREFIX])
        async with asyncio.timeout(60):
            while len(server.requests) < 3:
                await asyncio.sleep(0.001)
        assert list(server.invalidations.values()) == [["/assets/*"]], "wildcards have a limit of their own"
        server.in_progress.clear()
        await asyncio.wait_for(edge.purger.settled(), 60)
    assert ["/news/?page=2"] in server.invalidations.values()


async def test_one_bad_url_does_not_poison_the_other_99() -> None:
    urls = [f"https://shop.example/{number}" for number in range(99)]
    server = FakeCloudflare(bad={"https://elsewhere.example/"})
    async with purging(server) as edge:
        with pytest.raises(PurgeFailed, match="'cloudflare' has not purged 1 of what it was asked: 400 1016"):
            await asyncio.wait_for(
                edge.purger.purge(urls=[*urls[:50], "https://elsewhere.example/", *urls[50:]], wait=True), 20
            )
        assert edge.count("cloudflare", "succeeded") == 99
        assert edge.count("cloudflare", "refused") == 1

    assert sorted(url for _, part in server.purged for url in part) == sorted(urls)


async def test_one_bad_path_does_not_poison_others_at_cloudfront() -> None:
    server = FakeCloudFront(bad={"/7"})
    async with purging(server) as edge:
        with pytest.raises(PurgeFailed, match="InvalidArgument"):
            await asyncio.wait_for(
                edge.purger.purge(urls=[f"https://shop.example/{number}" for number in range(20)], wait=True), 20
            )
    purged = [path for paths in server.invalidations.values() for path in paths]
    assert sorted(purged) == sorted(f"/{number}" for number in range(20) if number != 7)


@pytest.mark.parametrize("make", [FakeCloudflare, FakeFastly, FakeCloudFront])
async def test_wrong_credentials_are_refused_once_and_loudly(make: type[FakeApi]) -> None:
    server = make()
    wrong = dict.fromkeys(ENVIRONMENT, "wrong")
    async with purging(server, environment=wrong) as edge:
        with pytest.raises(PurgeFailed, match=r"40[13] ") as failed:
            await asyncio.wait_for(edge.purger.purge(tags=["a", "b"], wait=True), 60)
        assert edge.count(spec(server).name, "refused") == 2
    assert len(server.requests) == 1
    assert "wrong" not in str(failed.value)


async def test_success_without_success_is_none() -> None:
    """A gateway's page with 200, and Cloudflare's own 200 that says no."""
    server = FakeCloudflare(
        troubles=[
            (200, {"Content-Type": "text/html"}, b"<html>Sign in to the network</html>"),
            as_json(200, {"success": False, "errors": [{"code": 1134, "message": "Rate limit reached"}]}),
        ]
    )
    async with purging(server) as edge:
        await edge.purge(tags=["a"])
    assert server.purged == [("tags", ["a"])]
    assert len(server.requests) == 3


async def test_one_cdn_that_is_down_does_not_hold_up_another() -> None:
    down, up = FakeFastly(troubles=["reset"] * 50), FakeCloudflare()
    async with purging(down, up) as edge:
        with pytest.raises(PurgeFailed, match="'fastly' has not purged 1"):
            await asyncio.wait_for(edge.purger.purge(tags=["a"], wait=True), 60)
        assert edge.count("fastly", "failed") == 1
        assert edge.count("cloudflare", "succeeded") == 1


async def test_without_credentials_nothing_is_sent_and_that_is_counted() -> None:
    server = FakeCloudflare()
    async with purging(server, environment={}) as edge:
        await edge.purge(tags=["a", "b"])
        assert edge.count("cloudflare", "skipped") == 2
    assert server.requests == []


DECLARATION = """
from roadworthy import Service, cloudflare, fastly
service = Service("shop")
service.purge_with(
    cloudflare(zone={zone!r}, base_url={url!r}),
    fastly(service="SU1Z0isxPaozGVKXdv0eY", base_url={other!r}),
)
plain = Service("plain")
"""


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.chdir(tmp_path)
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield
        sys.modules.pop("shop_to_purge", None)

    async def _run(self, *arguments: str, cloud: FakeCloudflare, other: FakeFastly) -> int:
        async with _all(cloud, other):
            Path("shop_to_purge.py").write_text(DECLARATION.format(zone=ZONE, url=cloud.url, other=other.url))
            return await asyncio.to_thread(main, ["purge", *arguments])

    async def test_it_purges_everywhere_and_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        cloud, other = FakeCloudflare(), FakeFastly()
        code = await self._run(
            *("shop_to_purge:service", "--tag", "a", "--tag", "b", "--url", URL, "--json"), cloud=cloud, other=other
        )
        purges = json.loads(capsys.readouterr().out)["purges"]
        assert code == 0
        assert {(purge["cdn"], purge["kind"], purge["outcome"], purge["count"]) for purge in purges} == {
            ("cloudflare", "tag", "succeeded", 2),
            ("cloudflare", "url", "succeeded", 1),
            ("fastly", "tag", "succeeded", 2),
            ("fastly", "url", "succeeded", 1),
        }
        assert len(cloud.purged) == 2

    async def test_it_exits_with_1_where_a_cdn_refuses(self, capsys: pytest.CaptureFixture[str]) -> None:
        cloud, other = FakeCloudflare(bad={URL}), FakeFastly()
        code = await self._run("shop_to_purge:service", "--url", URL, cloud=cloud, other=other)
        output = capsys.readouterr()
        assert code == 1
        assert "refused" in output.out
        assert "not everything was purged" in output.err
        assert other.urls

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("shop_to_purge:service",), "nothing to purge"),
            (("shop_to_purge:service", "--all", "--tag", "a"), "give it alone"),
            (("shop_to_purge:plain", "--all"), "declares no CDN"),
            (("shop_to_purge:service", "--prefix", PREFIX), "'fastly' has no purge by prefix"),
        ],
    )
    async def test_what_cannot_be_is_told(
        self, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cloud, other = FakeCloudflare(), FakeFastly()
        assert await self._run(*arguments, cloud=cloud, other=other) == 2
        assert message in capsys.readouterr().err
        assert cloud.requests == []

    async def test_missing_credentials_are_named(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FASTLY_API_TOKEN")
        cloud, other = FakeCloudflare(), FakeFastly()
        assert await self._run("shop_to_purge:service", "--all", cloud=cloud, other=other) == 2
        assert "FASTLY_API_TOKEN" in capsys.readouterr().err
        assert cloud.requests == []
