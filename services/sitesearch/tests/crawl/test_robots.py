"""robots.txt: what it allows, and what its absence means."""

from __future__ import annotations

import pytest
from sites import Site, answer, redirect, serving

from roadworthy.security.egress import EgressGuard
from sitesearch.crawl import robots
from sitesearch.crawl.fetch import Fetcher, Limits
from sitesearch.crawl.robots import Robots, RobotsFile

RULES = """
User-agent: *
Disallow: /private/
Allow: /private/open
Crawl-delay: 2
Disallow: /*.pdf$
Sitemap: http://h/sitemap.xml
Sitemap: not an address

User-agent: greedy
Disallow: /
"""


def test_rules_are_followed() -> None:
    rules = Robots(RobotsFile("found", RULES))
    assert rules.allows("http://h/")
    assert rules.allows("http://h/private/open")
    assert not rules.allows("http://h/private/closed")
    assert not rules.allows("http://h/a.pdf")
    assert rules.allows("http://h/a.pdf?x")
    assert rules.delay == 2.0
    assert rules.sitemaps == ["http://h/sitemap.xml"]


def test_a_rule_for_us_goes_before_the_rule_for_all() -> None:
    rules = Robots(RobotsFile("found", "User-agent: *\nDisallow: /\n\nUser-agent: SiteSearch\nDisallow: /a\n"))
    assert rules.allows("http://h/b")
    assert not rules.allows("http://h/a")


def test_no_file_allows_all_and_an_unreachable_one_nothing() -> None:
    assert Robots(RobotsFile("absent")).allows("http://h/")
    assert Robots(RobotsFile("absent")).delay == 0.0
    assert not Robots(RobotsFile("unreachable")).allows("http://h/")


@pytest.mark.parametrize(
    "text", ["\0\ufffd", "Disallow /\n:::\n", "User-agent: *\nCrawl-delay: soon", "<html>no</html>"]
)
def test_nonsense_allows_all(text: str) -> None:
    rules = Robots(RobotsFile("found", text))
    assert rules.allows("http://h/")
    assert rules.delay == 0.0


def test_a_delay_is_bounded() -> None:
    assert Robots(RobotsFile("found", "User-agent: *\nCrawl-delay: 86400")).delay == robots.LONGEST_DELAY


@pytest.mark.parametrize(
    ("routes", "state"),
    [
        ({"/robots.txt": answer("User-agent: *", media_type="text/plain")}, "found"),
        ({"/robots.txt": answer("User-agent: *", media_type="")}, "found"),
        ({"/robots.txt": redirect("/moved"), "/moved": answer("User-agent: *")}, "found"),
        ({}, "absent"),
        ({"/robots.txt": answer(status=403)}, "absent"),
        ({"/robots.txt": redirect("/robots.txt")}, "absent"),
        ({"/robots.txt": answer(status=500)}, "unreachable"),
        ({"/robots.txt": answer(status=503)}, "unreachable"),
        ({"/robots.txt": answer(status=429)}, "unreachable"),
    ],
)
async def test_what_an_answer_means(routes: dict[str, object], state: str) -> None:
    site = Site(routes=routes)  # type: ignore[arg-type]
    guard = EgressGuard(frozenset({("127.0.0.1", None)}))
    async with serving(site), Fetcher.open(guard) as fetcher:
        assert (await robots.ask(fetcher, site.url)).state == state


async def test_a_host_that_does_not_answer_is_unreachable() -> None:
    async with serving(Site()) as gone:
        pass
    guard = EgressGuard(frozenset({("127.0.0.1", None)}))
    async with Fetcher.open(guard, Limits(connect=1, total=2)) as fetcher:
        assert (await robots.ask(fetcher, gone.url)).state == "unreachable"


async def test_no_more_than_half_a_mebibyte_is_read() -> None:
    site = Site(routes={"/robots.txt": answer("User-agent: *\nDisallow: /a\n" + "# x\n" * 300_000)})
    guard = EgressGuard(frozenset({("127.0.0.1", None)}))
    async with serving(site), Fetcher.open(guard) as fetcher:
        file = await robots.ask(fetcher, site.url)
    assert file.state == "found"
    assert len(file.text) == robots.LARGEST
    assert not Robots(file).allows("http://h/a")
