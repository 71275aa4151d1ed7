"""Reports in a real browser: records are filtered and saved, a recording is heard, with script and without."""

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.console.users import Role
from tests.browser.pages import DESKTOP_SIZE, PHONE_SIZE, WIDE_SIZE, Pages, Scheme, Size, shot
from tests.browser.test_console import CHECK
from tests.integration.console.desk import PASSWORD, Desk, open_desk
from tests.integration.console.history import DAYS, History, address, linkedid, write_history


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def history(postgres: EmbeddedPostgres, run_folder: Path) -> AsyncIterator[History]:
    async with open_desk(postgres, run_folder / "reported") as running:
        yield await write_history(running)


async def signed_in(
    desk: Desk, pages: Pages, *, size: Size = DESKTOP_SIZE, scheme: Scheme = "light", javascript: bool = True
) -> Page:
    user = await desk.add_user(Role.REPORTING, name="Rosalind Reader")
    page = await pages.open(f"{desk.base}/sign-in", size=size, scheme=scheme, javascript=javascript)
    await page.get_by_label("Login").fill(user.login)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Call Records")).to_be_visible()
    return page


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no-script"])
async def test_records_are_filtered_saved_and_heard(history: History, pages: Pages, javascript: bool) -> None:
    desk = history.desk
    page = await signed_in(desk, pages, javascript=javascript)
    await page.get_by_label("Channel type").select_option("Voice")
    await page.get_by_label("Status").click()
    await page.get_by_label("Answered", exact=True).check()
    await page.get_by_label("From").fill("2026-03-29")
    await page.get_by_label("To", exact=True).fill("2026-03-29")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_text("20 calls")).to_be_visible()
    await expect(page.locator("#records tbody tr")).to_have_count(20)
    assert "zone=UTC" in page.url
    async with page.expect_download() as saved:
        await page.get_by_role("link", name="CSV").click()
    with (await (await saved.value).path()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["linkedid"] for row in rows} == {linkedid(n) for n in range(120) if n % 12 in (0, 8)}

    await page.get_by_role("link", name="Talk").click()
    await page.get_by_role("link", name="Talk").click()
    await page.locator("#records tbody a").first.click()
    await expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    assert page.url.endswith(address(0))
    await expect(page.get_by_role("img", name="How loud it is")).to_be_visible()
    if not javascript:
        assert await page.locator("audio").get_attribute("src") == f"{address(0)}/recording"
        return
    heard = await page.evaluate(
        "async () => { const a = document.querySelector('audio'); a.muted = true; await a.play();"
        " await new Promise((ok, no) => { a.onended = ok; a.onerror = no; }); return a.currentTime; }"
    )
    assert heard == pytest.approx(2.0, abs=0.1)
    picture = page.locator("[data-wave]")
    box = await picture.bounding_box()
    assert box is not None
    await picture.click(position={"x": box["width"] / 4, "y": 20})
    at = await page.evaluate("document.querySelector('audio').currentTime")
    assert at == pytest.approx(0.5, abs=0.05)
    assert await page.locator(".here.shown").count() == 1


PAGES = {
    "records": f"/reports/records?{DAYS}",
    "record": address(0),
    "record-voicemail": address(1),
    "charts": "/reports/charts?since=2026-03-29&until=2026-03-29&zone=UTC",
    "voicemail": "/reports/voicemail",
    "reconciliation": f"/reports/reconciliation?{DAYS}",
}


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP_SIZE), ("dark", WIDE_SIZE), ("light", PHONE_SIZE), ("dark", PHONE_SIZE)]
)
async def test_reports_can_be_read_by_everybody(history: History, pages: Pages, scheme: Scheme, size: Size) -> None:
    """Contrast, names of controls, no scrolling sideways; and no page is heavy."""
    page = await signed_in(history.desk, pages, scheme=scheme, size=size)
    faults = {}
    for name, path in PAGES.items():
        reply = await page.goto(history.desk.base + path)
        assert reply is not None
        if found := await page.evaluate(CHECK):
            faults[name] = found
        if len(await reply.body()) > 100_000:
            faults[f"{name} weighs"] = [str(len(await reply.body()))]
        await shot(page, f"reports-{name}-{scheme}-{size[0]}", whole=True)
    assert not faults
