"""The search page in a real Chromium: a site is indexed by one click, and searched as a person would."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from launching import launched

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(480)]

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHROMIUM += ["--disable-component-update", "--disable-sync"]
PLANTS = ("apple", "birch", "cedar", "daisy", "elder", "fennel", "garlic", "hazel", "iris", "jasmine", "kale", "laurel")
PLANTS += ("maple", "nettle", "olive", "poppy", "quince", "rosemary", "sage", "thyme")


def write_documents(directory: Path) -> None:
    """Twenty documents on plants, all of which speak of watering."""
    links = "".join(f"- [{plant.title()}]({plant}.md)\n" for plant in PLANTS)
    (directory / "index.md").write_text(f"# The plant book\n\nEvery plant of the garden.\n\n{links}")
    for plant in PLANTS:
        (directory / f"{plant}.md").write_text(
            f"# Growing {plant}\n\nThe {plant} wants watering in summer.\n\n## Pruning\n\n"
            f"Prune the {plant} in `garden.prune_{plant}` when the frost has gone.\n"
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> AsyncIterator[str]:
    """The service with a site that was indexed by a click on the front page."""
    documents = tmp_path_factory.mktemp("documents")
    write_documents(documents)
    environ = {"SITESEARCH_ALLOW_HOSTS": "127.0.0.1", "SITESEARCH_DOCUMENTATION": str(documents)}
    directory = tmp_path_factory.mktemp("service")
    async with launched(directory, "run", "sitesearch.service:service", environ=environ) as service:
        url = await service.site()
        page = await browser.new_page()
        await page.goto(url)
        await page.get_by_role("button", name="Index Roadworthy’s documentation").click()
        await expect(page.get_by_text("Finished")).to_be_visible(timeout=60_000)
        await page.goto(f"{url}/search?site=roadworthy-documentation&q=watring")
        for _ in range(60):
            if await page.locator("mark").count():
                break
            await page.wait_for_timeout(500)
            await page.reload()
        await page.close()
        yield url


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, address: str) -> AsyncIterator[Page]:
    """The site's search page, on which no script may complain."""
    complaints: list[str] = []
    page = await browser.new_page(base_url=address)
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto("/search?site=roadworthy-documentation")
    yield page
    await page.close()
    assert complaints == []


def field(page: Page):  # type: ignore[no-untyped-def]
    return page.get_by_role("searchbox")


async def test_results_come_as_one_types_with_their_words_marked(page: Page) -> None:
    await expect(field(page)).to_be_focused()
    await field(page).press_sequentially("frost haz", delay=30)
    await expect(page.locator(".result h2").first).to_have_text("Growing hazel")
    await expect(page.locator(".result mark").first).to_be_visible()
    assert {"hazel", "frost"} <= {text.lower() for text in await page.locator("mark").all_inner_texts()}
    assert re.search(r"[?&]q=frost\+haz$", page.url)
    await expect(page.get_by_role("status")).to_contain_text("1 page")


async def test_typing_asks_once_it_pauses_and_is_one_step_back(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/search?" in request.url else None)
    await field(page).press_sequentially("watering", delay=20)
    await expect(page.locator(".result")).to_have_count(10)
    assert len(asked) == 1
    await field(page).press_sequentially(" sage", delay=20)
    await expect(page.locator(".result")).to_have_count(1)
    await page.go_back()
    await expect(page.locator(".result")).to_have_count(0)
    await expect(field(page)).to_have_value("")


async def test_corrections_filters_and_pages(page: Page) -> None:
    await field(page).fill("watring")
    await field(page).press("Enter")
    await expect(page.get_by_text("Showing results for watering")).to_be_visible()
    await page.get_by_role("link", name="Next").click()
    await expect(page.get_by_role("link", name="Page 2")).to_have_attribute("aria-current", "page")
    await expect(page.locator(".result")).to_have_count(10)
    first = await page.locator(".result h2").first.inner_text()
    await page.go_back()
    await expect(page.locator(".result h2").first).not_to_have_text(first)
    await page.get_by_role("navigation", name="Filter by date").get_by_role("link", name="Past week").click()
    await expect(page.locator('.filters [aria-current="true"]')).to_contain_text("Past week 20")
    assert "since=week" in page.url
    await page.get_by_role("link", name="Any time").click()
    await page.get_by_role("link", name="Search instead for").click()
    await expect(page.get_by_role("status")).to_contain_text("Nothing found")


async def test_everything_is_within_reach_of_the_keyboard(page: Page) -> None:
    await field(page).fill("watering")
    await field(page).press("Enter")
    await expect(page.locator(".result")).to_have_count(10)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".result h2 a").nth(1)).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    await expect(field(page)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("/")
    await expect(field(page)).to_be_focused()
    await page.keyboard.press("ArrowDown")
    target = await page.locator(".result h2 a").first.get_attribute("href")
    await page.keyboard.press("Enter")
    await page.wait_for_url(target or "")


async def test_it_works_without_javascript(browser: Browser, address: str) -> None:
    context = await browser.new_context(java_script_enabled=False, base_url=address)
    page = await context.new_page()
    await page.goto("/search?site=roadworthy-documentation")
    await field(page).fill("prune_maple")
    await field(page).press("Enter")
    await expect(page.locator(".result h2").first).to_have_text("Growing maple")
    await context.close()


PATHS = (
    "/",
    "/search?site=roadworthy-documentation",
    "/search?site=roadworthy-documentation&q=watring",
    "/search?site=roadworthy-documentation&q=xqzzyx",
    "/sites/new",
    "/sites/roadworthy-documentation",
    "/sites/roadworthy-documentation/edit",
    "/sites/roadworthy-documentation/queries",
    "/sites/roadworthy-documentation/keys",
    "/documentation/site-search",
)


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_scrolls_sideways_or_shuts_anyone_out(browser: Browser, address: str, path: str) -> None:
    for width, scheme in ((320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")):
        context = await browser.new_context(
            viewport={"width": width, "height": 700}, color_scheme=scheme, bypass_csp=True
        )
        page = await context.new_page()
        await page.goto(address + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        found = await Axe().run(page)
        serious = [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
        assert serious == [], found.generate_report()
        await context.close()


async def test_an_owner_issues_a_key_that_fits_on_a_telephone_and_revokes_it(browser: Browser, address: str) -> None:
    context = await browser.new_context(viewport={"width": 320, "height": 700}, base_url=address, bypass_csp=True)
    page = await context.new_page()
    await page.goto("/sites/roadworthy-documentation")
    await page.get_by_role("link", name="Keys", exact=True).click()
    await page.get_by_label("What it is for").fill("a shop with quite a long name, as names of shops are")
    await page.get_by_role("button", name="Issue").click()
    secret = await page.get_by_role("status").locator("code").first.inner_text()
    assert re.fullmatch(r"sitesearch_\w{8}_\w{30}", secret)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    found = await Axe().run(page)
    assert [each["id"] for each in found.response["violations"] if each["impact"] in ("serious", "critical")] == []
    await page.get_by_role("link", name="Keys", exact=True).click()
    await expect(page.get_by_role("status")).to_have_count(0)
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("No program has a key yet")).to_be_visible()
    await context.close()
