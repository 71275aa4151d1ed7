"""A real Chromium for the tests of this folder.

    async def test_it(pages: Pages, stack: Stack) -> None:
        page = await pages.open(f"{stack.simulator_url}/phone")
        await page.get_by_role("button", name="Call").click()
        await shot(page, "phone-ringing")

One browser runs for a module. Each page has a context of its own, and what it complains of fails the test. Where no
browser is to be had, the tests are skipped and say why.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from ari_app.runtime.browser import Browser as Chromium
from ari_app.runtime.browser import ensure_browser
from ari_app.runtime.errors import UnavailableError
from tests.browser.pages import Pages

START_LIMIT_MS = 60_000


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """The browser's program; fetched if the cache is empty (`asterisk-whatsapp fetch --browser` does it beforehand)."""
    try:
        return ensure_browser()
    except UnavailableError as error:
        pytest.skip(f"no browser: {error}")


@pytest.fixture(scope="module")
def browser_arguments() -> tuple[str, ...]:
    """More arguments for this module's browser; override it in the module."""
    return ()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(chromium: Chromium, browser_arguments: tuple[str, ...]) -> AsyncIterator[Browser]:
    """One Chromium with an empty profile for the tests of a module."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium.executable,
            env=dict(chromium.environment),
            args=[*chromium.arguments, *browser_arguments],
            timeout=START_LIMIT_MS,
        )
        try:
            yield running
        finally:
            async with asyncio.timeout(30):
                await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser) -> AsyncIterator[Pages]:
    """Opens pages for one test; see `Pages.open`. At the end none may have complained."""
    opened = Pages(browser)
    try:
        yield opened
    finally:
        await opened.close()
    complaints = opened.unexpected()
    if complaints:
        pytest.fail("the browser complained:\n" + "\n".join(complaints), pytrace=False)


@pytest_asyncio.fixture(loop_scope="session")
async def page(pages: Pages) -> Page:
    """One empty page."""
    return await pages.open()
