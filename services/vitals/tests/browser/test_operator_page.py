"""The operator's page in a real Chromium, on the service as `roadworthy run` starts it."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from events import SECRET
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from launching import launched, until
from roadworthy.runtime.lifecycle import published
from vitals import sample
from vitals.webhooks.providers import PROVIDERS

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(480)]

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHROMIUM += ["--disable-component-update", "--disable-sync"]
KEY = "f3a9c07d5be1428896d1e0a7c4b2356f"
FAILING = """
WITH event AS (
    INSERT INTO webhook_events (provider, event_id, kind, reference, event_at, body)
    SELECT 'aggregator', gen_random_uuid()::text, 'body', 'sample-1', now(), '{}' FROM generate_series(1, 3)
    RETURNING id
)
INSERT INTO roadworthy.jobs (run_at, enqueued_at, state, priority, attempts, queue, job, unique_key, arguments)
SELECT now(), now(), 1, 0, 1, 'ingestion', 'normalise_event', id::text, json_build_object('event', id) FROM event
"""
GRACE = "user_id = (SELECT id FROM users WHERE reference = 'sample-2')"


class Site:
    """The running service, and a connection to its database."""

    def __init__(self, url: str, operations: str, connection: asyncpg.Connection) -> None:
        self.url = url
        self.operations = operations
        self.connection = connection

    async def count(self, what: str) -> int:
        number: int = await self.connection.fetchval(f"SELECT count(*) FROM {what}")  # noqa: S608
        return number

    async def bury(self) -> None:
        """Have three jobs fail for good."""
        await self.connection.execute(FAILING)

        async def dead() -> bool:
            return await self.count("roadworthy.dead_jobs") >= 3

        await until(dead, "three dead jobs")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The service with a few people's data."""
    directory = tmp_path_factory.mktemp("service")
    environ = {"VITALS_OPERATOR_KEY": KEY, "VITALS_SECRET_AGGREGATOR": SECRET}
    async with launched(directory, "run", "vitals.service:service", environ=environ) as service:
        url = await service.site()
        provider = PROVIDERS["aggregator"]
        with provider.secret.opened(environ):
            for payload in sample.payloads(3, 3, random.Random(1), datetime.now(UTC)):
                body = json.dumps(payload).encode()
                problem = await asyncio.to_thread(sample.send, f"{url}/webhooks/aggregator", body, provider)
                assert problem is None, problem
        dsn = published(directory / "data")
        connection = await asyncpg.connect(dsn)
        found = Site(url, await service.operations(), connection)

        async def refreshed() -> bool:
            return await found.count("internal.latest_unified_metrics WHERE confidence > 0") > 20

        await until(refreshed, "the latest metrics")
        yield found
        await connection.close()


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser, site: Site) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(base_url=site.url)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """The page after signing in, on which no script may complain."""
    complaints: list[str] = []
    page = await context.new_page()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await sign_in(page)
    yield page
    assert complaints == []


async def sign_in(page: Page) -> None:
    await page.goto("/operator")
    await page.get_by_label("Operator’s key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="How all goes")).to_be_visible()


async def test_it_shows_how_all_goes_to_who_has_the_key(page: Page, site: Site) -> None:
    await expect(page.get_by_role("region", name="Health", exact=True)).to_contain_text(
        "Mean confidence", timeout=40_000
    )
    await expect(page.get_by_role("img", name=re.compile(r"excellent \d+ %"))).to_be_visible()
    await page.get_by_text("By metric").click()
    await expect(page.get_by_role("rowheader", name="Resting heart rate")).to_be_visible()
    upkeep = page.get_by_role("row", name=re.compile("^upkeep"))
    await expect(upkeep.get_by_role("cell").first).to_have_text("1", timeout=20_000)
    async with httpx.AsyncClient() as stranger:
        assert "Mean confidence" not in (await stranger.get(f"{site.url}/operator")).text


async def test_the_health_report_tells_all_to_the_operations_port_and_nothing_to_strangers(site: Site) -> None:
    async with httpx.AsyncClient() as client:
        assert set((await client.get(f"{site.url}/health")).json()) == {"status"}
        report = (await client.get(f"{site.operations}/health")).json()
    assert {
        "database:responseTime",
        "process:worker-ingestion-1",
        "ingestion:ready",
        "ingestion:dead",
        "confidence:mean",
        "webhooks:success",
        "latest_metrics:lag",
    } <= set(report["checks"])
    assert report["checks"]["webhooks:success"][0]["observedValue"] == 100


async def test_it_refreshes_by_itself_and_keeps_what_is_open(page: Page, site: Site) -> None:
    await page.get_by_text("By metric").click()
    await site.connection.execute("UPDATE users SET name = 'Grace Hopper' WHERE reference = 'sample-2'")
    await site.connection.execute(f"UPDATE confidences SET reliability = 0, freshness = 0 WHERE {GRACE}")  # noqa: S608
    await site.connection.execute("UPDATE internal.latest_refresh SET refreshed_at = now() - interval '1 minute'")
    await expect(page.get_by_role("region", name="Low quality")).to_contain_text("Grace Hopper", timeout=40_000)
    await expect(page.get_by_role("rowheader", name="Resting heart rate")).to_be_visible()


async def test_failed_jobs_are_tried_again_with_a_click(page: Page, site: Site) -> None:
    await site.bury()
    failed = page.get_by_role("region", name="Failed jobs")
    await expect(failed).to_contain_text("Payload", timeout=15_000)
    await expect(failed).to_contain_text("type is missing")
    await failed.get_by_text("One by one").click()
    await failed.get_by_role("button", name=re.compile(r"^Retry job \d+")).first.click()
    await expect(page.locator("[data-said]")).to_have_text("1 job tried again.")
    await failed.get_by_role("button", name=re.compile(r"^Retry all Normalise event")).focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-said]")).to_have_text(re.compile(r"^[23] jobs tried again."))
    audited = await site.connection.fetchval("SELECT count(*) FROM roadworthy.job_audit WHERE who = 'operator''s page'")
    assert audited == 2


async def test_everything_is_calculated_anew_and_its_progress_seen(page: Page, site: Site) -> None:
    runs = page.get_by_role("region", name="Over everything")
    await runs.get_by_role("button", name="Recalculate all").click()
    await expect(page.locator("[data-said]")).to_contain_text("Begun")
    await expect(runs).to_contain_text("3 of 3", timeout=20_000)
    await expect(runs.get_by_text("Finished").first).to_be_visible()
    assert await site.count(f"confidences WHERE {GRACE} AND reliability > 0") > 0


async def test_it_says_when_the_service_is_out_of_reach(context: BrowserContext) -> None:
    page = await context.new_page()
    await sign_in(page)
    await page.route("**/operator", lambda route: route.abort("internetdisconnected"))
    looked_at_again = "document.dispatchEvent(new Event('visibilitychange'))"
    await page.evaluate(looked_at_again)
    await expect(page.locator("[data-refreshed]")).to_have_text("Out of reach; trying again", timeout=15_000)
    await page.unroute("**/operator")
    await page.evaluate(looked_at_again)
    await expect(page.locator("[data-refreshed]")).to_have_text("Refreshes by itself", timeout=20_000)


async def test_it_works_without_javascript(browser: Browser, site: Site) -> None:
    context = await browser.new_context(java_script_enabled=False, base_url=site.url)
    page = await context.new_page()
    await sign_in(page)
    await page.get_by_role("button", name="Backfill").click()
    await expect(page.locator("[data-said]")).to_contain_text("Begun")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Operator’s key")).to_be_visible()
    await context.close()


async def test_it_neither_scrolls_sideways_nor_shuts_anyone_out(browser: Browser, site: Site) -> None:
    await site.bury()
    for width, scheme in ((320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")):
        context = await browser.new_context(
            viewport={"width": width, "height": 700}, color_scheme=scheme, bypass_csp=True, base_url=site.url
        )
        page = await context.new_page()
        await page.goto("/operator")
        for step in (None, sign_in) if width == 320 else (sign_in,):
            if step is not None:
                await step(page)
                for summary in await page.locator("summary").all():
                    await summary.click()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            found = await Axe().run(page)
            serious = [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
            assert serious == [], found.generate_report()
        await context.close()
