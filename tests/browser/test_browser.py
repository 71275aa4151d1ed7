"""The browser and its fixture: pages are shown, and what goes wrong in them is not overlooked."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.browser.pages import PHONE_SIZE, Pages, shots

PAGE = "<!doctype html><meta charset=utf-8><title>Hello</title><link rel=icon href=data:,><h1>Grüß Gott</h1>"


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """A server with a good page, a bad script, and an address that fails."""

    async def good(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def bad(_: web.Request) -> web.Response:
        script = "<script>console.error('I am unwell'); fetch('/broken'); nobody.there();</script>"
        return web.Response(text=PAGE + script, content_type="text/html")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.add_routes([web.get("/", good), web.get("/bad", bad), web.get("/broken", broken)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_page_is_shown_and_pictured_in_both_schemes(pages: Pages, site: str) -> None:
    page = await pages.open(site)
    assert await page.inner_text("h1") == "Grüß Gott"
    made = await shots(page, "fixture-hello", sizes=[PHONE_SIZE])
    assert [path.name for path in made] == ["fixture-hello-light-390.png", "fixture-hello-dark-390.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


async def test_what_goes_wrong_in_a_page_is_noticed(pages: Pages, site: str) -> None:
    page = await pages.open()
    async with page.expect_response("**/broken"):
        await page.goto(f"{site}/bad")
    await page.wait_for_load_state("networkidle")
    said = "\n".join(pages.unexpected())
    assert "I am unwell" in said
    assert "uncaught: nobody is not defined" in said
    assert "status 500" in said
    for part in ("I am unwell", "nobody is not defined", "status 500", "status of 500"):
        pages.expect(part)
    assert pages.unexpected() == []


async def test_a_page_without_scripts(pages: Pages, site: str) -> None:
    page = await pages.open(f"{site}/bad", javascript=False)
    assert await page.title() == "Hello"
