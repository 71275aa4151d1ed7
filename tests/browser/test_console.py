"""The console in a real browser: set up from nothing, with and without script, by keyboard, in both schemes."""

import io
import math
import struct
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, Page, expect

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.console.users import Role
from tests.browser.pages import DESKTOP_SIZE, PHONE_SIZE, WIDE_SIZE, Pages, Scheme, Size, shot
from tests.integration.console.desk import PASSWORD, Desk, open_desk

#: Text against what is behind it, of everything that is to be seen; and what has no name for a screen reader.
CHECK = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faults = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({visibilityProperty: true}) || element.closest('svg, [disabled]')) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [a, b] = [light(over(rgba(style.color), ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 40)}`);
  }
  for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href]')) {
    const name = field.getAttribute('aria-label') || field.textContent.trim() || field.title
      || field.querySelector('[aria-label]') || [...(field.labels || [])].some((l) => l.textContent.trim())
      || field.getAttribute('aria-labelledby');
    if (!name) faults.push(`no name: ${field.outerHTML.slice(0, 100)}`);
  }
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) faults.push(`wider than the window by ${wide} px`);
  return faults;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(postgres: EmbeddedPostgres, run_folder: Path) -> AsyncIterator[Desk]:
    async with open_desk(postgres, run_folder / "browsed") as running:
        yield running


async def signed_in(
    desk: Desk, pages: Pages, *, size: Size = DESKTOP_SIZE, scheme: Scheme = "light", javascript: bool = True
) -> Page:
    user = await desk.add_user(Role.ADMINISTRATOR, name="Ada Admin")
    page = await pages.open(f"{desk.base}/sign-in?next=/channels", size=size, scheme=scheme, javascript=javascript)
    await page.get_by_label("Login").fill(user.login)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Channel Setting")).to_be_visible()
    return page


async def save(page: Page, button: str, said: str) -> None:
    await page.get_by_role("button", name=button).last.click()
    await expect(page.get_by_role("status").get_by_text(said)).to_be_visible()


async def test_a_number_is_set_up_from_nothing(desk: Desk, pages: Pages) -> None:
    page = await signed_in(desk, pages)
    menu = page.get_by_role("navigation", name="Main")
    await menu.get_by_role("link", name="Agents").click()
    await page.get_by_role("link", name="Add agent").click()
    await page.get_by_label("Endpoint", exact=True).fill("PJSIP/1090")
    await page.get_by_label("Name", exact=True).fill("Margaret")
    await save(page, "Add agent", "Margaret is saved.")

    await menu.get_by_role("link", name="Groups").click()
    await page.get_by_role("link", name="Add group").click()
    await page.get_by_label("Name of the group").fill("Guidance")
    await page.get_by_label("Agent", exact=True).select_option("Margaret (PJSIP/1090)")
    await page.get_by_role("button", name="Add a member").click()
    await page.get_by_label("Agent", exact=True).last.select_option("Ada (PJSIP/1001)")
    await page.get_by_label("Priority").last.fill("2")
    await save(page, "Add group", "Group Guidance is saved.")

    await menu.get_by_role("link", name="Channel Setting").click()
    await page.get_by_role("link", name="Add number").click()
    await page.get_by_label("Number", exact=True).fill("+49 30 555-0190")
    await page.get_by_label("Phone number id at Meta (optional)").fill("490190")
    await page.get_by_label("Name (optional)").fill("Apollo")
    await page.get_by_label("Agent group").select_option("Guidance")
    await save(page, "Add number", "is saved")

    tabs = page.get_by_role("navigation", name="Parts of this page")
    await tabs.get_by_role("link", name="Voice").click()
    card = page.locator("section", has_text="Queue entry prompt")
    file = FilePayload(name="hello.wav", mimeType="audio/wav", buffer=tone())
    await card.get_by_label("Upload a file").set_input_files(files=[file])
    await card.get_by_role("button", name="Upload", exact=True).click()
    await expect(page.get_by_role("status").get_by_text("is saved")).to_be_visible()
    seconds = await page.evaluate(
        "async () => { const a = document.querySelector('audio'); a.preload = 'metadata'; a.load();"
        " await new Promise((ok, no) => { a.onloadedmetadata = ok; a.onerror = no; }); return a.duration; }"
    )
    assert seconds == pytest.approx(0.5, abs=0.15)

    await tabs.get_by_role("link", name="Business hours").click()
    await expect(page.get_by_label("Which hours")).to_be_hidden()
    await page.get_by_role("switch", name="Business hours").check()
    await page.get_by_label("Time zone of new hours").fill("Europe/Berlin")
    await save(page, "Save", "is saved")
    pages.expect("status of 422")
    await page.get_by_label("Saturday, first interval, opens").fill("10:00")
    await page.get_by_label("Saturday, first interval, closes").fill("09:00")
    await page.get_by_role("button", name="Save hours").click()
    await expect(page.get_by_text("ends before it begins")).to_be_visible()
    await page.get_by_label("Saturday, first interval, closes").fill("14:00")
    await save(page, "Save", "are saved")

    await menu.get_by_role("link", name="Channel Setting").click()
    row = page.get_by_role("row", name="+49 30 5550190")
    await row.get_by_role("switch").click()
    await expect(page.get_by_role("status").get_by_text("Voice calling of +49 30 5550190 is")).to_be_visible()
    rows = await desk.fetch("SELECT * FROM pbx.routes WHERE number = '49305550190'")
    assert rows[0]["schedule"] == "Hours of 49305550190"
    assert rows[0]["entry_prompt"] == "prompt:49305550190-entry"
    await menu.get_by_role("link", name="Audit").click()
    await expect(page.get_by_text("Margaret").first).to_be_visible()


async def test_nothing_is_removed_before_the_question_is_answered(desk: Desk, pages: Pages) -> None:
    page = await signed_in(desk, pages)
    await page.goto(f"{desk.base}/hours/new")
    await page.get_by_label("Name", exact=True).fill("Short lived")
    await page.get_by_label("Time zone").fill("UTC")
    await page.get_by_role("button", name="Add hours").click()
    await page.goto(f"{desk.base}/hours/Short%20lived")
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Remove the hours Short lived?")
    await page.get_by_role("button", name="Keep it").click()
    assert await desk.fetch("SELECT FROM pbx.schedules WHERE name = 'Short lived'")
    await page.get_by_role("button", name="Remove").click()
    await page.get_by_role("button", name="Yes, do it").click()
    await expect(page.get_by_role("status").get_by_text("are removed")).to_be_visible()
    assert not await desk.fetch("SELECT FROM pbx.schedules WHERE name = 'Short lived'")


async def test_forms_work_without_script(desk: Desk, pages: Pages) -> None:
    page = await signed_in(desk, pages, javascript=False)
    await page.goto(f"{desk.base}/groups/new")
    await page.get_by_label("Name of the group").fill("Plain")
    await page.get_by_label("Agent", exact=True).select_option("Ada (PJSIP/1001)")
    await page.get_by_role("button", name="Add group").click()
    await expect(page.get_by_role("link", name="Plain")).to_be_visible()
    await page.goto(f"{desk.base}/channels/15550783881/incoming")
    await page.get_by_label("IVR").check()
    await page.get_by_label("Menu", exact=True).select_option("Welcome")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Incoming management is saved.")).to_be_visible()


async def test_everything_can_be_reached_by_keyboard(desk: Desk, pages: Pages) -> None:
    page = await signed_in(desk, pages)
    await page.keyboard.press("Tab")
    focused = page.locator(":focus")
    await expect(focused).to_have_text("To the content")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Add number")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.get_by_label("Your account").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Change password")).to_be_visible()


async def test_light_or_dark_is_remembered(desk: Desk, pages: Pages) -> None:
    page = await signed_in(desk, pages)
    light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_role("button", name="Light or dark").click()
    await page.goto(f"{desk.base}/agents")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


PAGES = (
    *("channels", "channels/15550783881/voice", "groups/Sales", "ivr", "ivr/Welcome", "money", "users", "audit"),
    *("tokens", "webhooks", "webhooks/new", "api/v1/docs"),
)


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP_SIZE), ("dark", WIDE_SIZE), ("light", PHONE_SIZE), ("dark", PHONE_SIZE)]
)
async def test_pages_can_be_read_by_everybody(desk: Desk, pages: Pages, scheme: Scheme, size: Size) -> None:
    """Contrast after WCAG AA (1.4.3), a name for every control (4.1.2), and no scrolling sideways (1.4.10)."""
    page = await signed_in(desk, pages, scheme=scheme, size=size)
    faults = {}
    for path in PAGES:
        await page.goto(f"{desk.base}/{path}")
        if found := await page.evaluate(CHECK):
            faults[path] = found
        await shot(page, f"console-{path.replace('/', '-')}-{scheme}-{size[0]}")
    assert not faults


def tone() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"".join(struct.pack("<h", round(9000 * math.sin(n / 4))) for n in range(4000)))
    return file.getvalue()
