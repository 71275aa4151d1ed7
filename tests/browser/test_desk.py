"""The agent desk and the live page in a real browser, with a SIP phone, Asterisk, and users on WhatsApp."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Page, expect

from ari_app.console.passwords import Passwords
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.console.audit import Actor
from ari_app.store.console.users import Role, UserSettings, UserStore
from ari_app.store.database import Database
from tests.browser.pages import DESKTOP_SIZE, PHONE_SIZE, WIDE_SIZE, Pages, shot, shots
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import PlaceCall, UserPlan

PATIENCE = 20.0
PASSWORD = "correct horse battery"

#: "Reflected at once", ms.
AT_ONCE = 1500

RUNNING = re.compile(r"00:00:\d\d")


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(console=True)


@dataclass
class Office:
    """An agent with a phone and a browser, and a world that calls."""

    stack: Stack
    pages: Pages
    meta: SimulatorClient
    phone: Baresip
    db: "asyncpg.Connection[asyncpg.Record]"
    user: str
    "Another one for each test."

    async def sign_in(self, login: str, path: str = "/desk", *, size: tuple[int, int] = DESKTOP_SIZE) -> Page:
        page = await self.pages.open(f"{self.stack.console_url}/sign-in", size=size)
        await page.get_by_label("Login").fill(login)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/*")
        await page.goto(f"{self.stack.console_url}{path}")
        return page

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        async with asyncio.timeout(PATIENCE):
            while (row := await self.db.fetchrow(query, *arguments)) is None:
                await asyncio.sleep(0.05)
            return row


@pytest.fixture(scope="module")
async def users(stack: Stack) -> None:
    """`ada` is the agent of phone 1001, `boss` an administrator with phone 1003."""
    async with Database(stack.dsn) as database:
        hashed = await Passwords().hash(PASSWORD)
        async with database.connection() as connection:
            agent = await connection.fetchval("UPDATE pbx.agents SET name = 'Ada Lovelace' RETURNING id")
            boss = await connection.fetchval(
                "INSERT INTO pbx.agents (name, endpoint, voip_only) VALUES ('Grace', 'PJSIP/1003', true) RETURNING id"
            )
            await connection.execute("UPDATE pbx.groups SET wrap_up_seconds = 0, join_empty = 'always'")
            await connection.execute(
                "INSERT INTO pbx.wrap_up_codes (group_name, position, code) VALUES ('Agents', 1, 'Order'), "
                "('Agents', 2, 'Complaint')"
            )
        store = UserStore(database)
        settings = UserSettings("Ada Lovelace", Role.AGENT, agent)
        await store.add("ada", settings, hashed, Actor("test"), must_change=False)
        await store.add(
            "boss", UserSettings("Grace", Role.ADMINISTRATOR, boss), hashed, Actor("test"), must_change=False
        )


def phone_of(stack: Stack, folder: Path, user: str) -> contextlib.AbstractAsyncContextManager[Baresip]:
    account = SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)
    return Baresip.start(stack.closure, folder / user, account)


@pytest.fixture
async def office(stack: Stack, users: None, pages: Pages, tmp_path: Path) -> AsyncIterator[Office]:
    db = await asyncpg.connect(stack.dsn)
    try:
        async with (
            phone_of(stack, tmp_path, "1001") as phone,
            SimulatorClient(stack.simulator_url) as meta,
        ):
            await db.execute("UPDATE pbx.agent_states SET available_after = NULL, pause_reason = NULL")
            yield Office(stack, pages, meta, phone, db, f"49151{uuid.uuid4().int % 10**8:08}")
            for left in await meta.calls():
                if left["state"] != "ended":
                    with contextlib.suppress(TimeoutError):
                        await (await meta.call(left["id"])).end()
    finally:
        await db.close()


async def test_a_call_is_seen_on_every_page_and_answered_on_the_phone(office: Office) -> None:
    page = await office.sign_in("ada", "/account")
    status = page.locator("#call-status")
    await expect(status).to_contain_text("free")
    call = await office.meta.place(PlaceCall(from_=office.user, name="Zoë Müller"))
    ringing = await office.phone.ringing(timeout=PATIENCE)
    await expect(status).to_contain_text("Incoming call", timeout=AT_ONCE)
    await expect(status).to_contain_text("Zoë Müller")
    await expect(status).to_contain_text("+49 151")
    await shot(page, "desk-incoming")
    await ringing.answer()
    await expect(status).to_contain_text("In a Call", timeout=AT_ONCE)
    await expect(status.get_by_role("timer")).to_have_text(RUNNING)
    await status.get_by_role("link").click()
    await expect(page.locator("#desk-conversation")).to_contain_text("In a Call")
    await page.get_by_label("What was it about").select_option("Order")
    await page.get_by_label("Note", exact=True).fill("Wants two, and calls back on Monday.")
    await page.get_by_role("button", name="Save note").click()
    await expect(page.locator("#desk-conversation")).to_contain_text("calls back on Monday")
    await page.wait_for_function("() => /00:00:0[2-9]/.test(document.querySelector('#call-status').textContent)")
    await shots(page, "desk-in-call", sizes=(WIDE_SIZE, DESKTOP_SIZE, PHONE_SIZE))
    await call.hang_up()
    await ringing.closed(timeout=PATIENCE)
    await expect(status).to_contain_text("Call Ended", timeout=AT_ONCE)
    await expect(status).to_contain_text(RUNNING)
    await expect(page.locator("#desk-conversation")).to_contain_text(re.compile(r"Call Ended · 00:00:\d\d"))


async def test_a_rejected_call_is_gone_at_once_and_stays_in_the_conversation(office: Office) -> None:
    page = await office.sign_in("ada", f"/desk?user={office.user}")
    status = page.locator("#call-status")
    call = await office.meta.place(PlaceCall(from_=office.user, name="Vera"))
    ringing = await office.phone.ringing(timeout=PATIENCE)
    await expect(page.locator("#desk-call")).to_contain_text("Incoming call", timeout=AT_ONCE)
    await ringing.hang_up()
    await expect(status).not_to_contain_text("Incoming call", timeout=AT_ONCE)
    await expect(page.locator("#desk-conversation")).to_contain_text("Ada Lovelace rejected it")
    await call.hang_up()
    await expect(page.locator("#desk-conversation")).to_contain_text(re.compile("User Abandon|Rejected|Missed"))
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#desk-state")).to_contain_text("logged out")
    await page.get_by_role("button", name="Log in").click()
    await page.locator("#desk-state summary").click()
    await page.get_by_role("button", name="Lunch").click()
    await expect(page.locator("#desk-state")).to_contain_text("Lunch")
    await page.get_by_role("button", name="Take calls").click()
    await expect(page.locator("#desk-state")).to_contain_text("free")


async def test_an_invitation_that_is_accepted_becomes_a_call(office: Office) -> None:
    await office.meta.plan_user(
        UserPlan(number=office.user, name="Zoë", permission="none", on_request="accept", on_request_ms=800)
    )
    page = await office.sign_in("ada")
    await page.get_by_label("WhatsApp number").fill(f"+{office.user}")
    await page.get_by_role("button", name="Invite to Call").first.click()
    talk, status = page.locator("#desk-conversation"), page.locator("#call-status")
    await expect(talk).to_contain_text("Invited to call")
    await expect(talk).to_contain_text("Accepted", timeout=PATIENCE * 1000)
    ringing = await office.phone.ringing(timeout=PATIENCE)
    await expect(status).to_contain_text("Pick up to call", timeout=AT_ONCE)
    await ringing.answer()
    await expect(status).to_contain_text("In a Call", timeout=PATIENCE * 1000)
    await expect(talk).to_contain_text("may be called")
    await shot(page, "desk-outbound")
    await ringing.hang_up()
    await expect(status).to_contain_text("Call Ended", timeout=AT_ONCE)
    await expect(talk).to_contain_text(re.compile(r"Outbound WhatsApp call\s+Answered"))


async def test_what_speaks_against_a_call_is_said_at_once(office: Office) -> None:
    office.pages.expect("status of 422")
    page = await office.sign_in("ada")
    await office.db.execute(
        "INSERT INTO pbx.rates (number, destination, price_per_minute, currency) VALUES ($1, '*', 1, 'USD')",
        office.stack.number.display_number,
    )
    await office.db.execute("UPDATE pbx.billing SET enabled = true")
    try:
        await page.get_by_label("WhatsApp number").fill(f"+{office.user}")
        await page.get_by_role("button", name="Invite to Call").first.click()
        await expect(page.get_by_role("alert")).to_contain_text("Insufficient balance")
        await page.get_by_role("button", name="Call", exact=True).first.click()
        await expect(page.get_by_role("alert")).to_contain_text("Insufficient balance")
        await shot(page, "desk-refused")
    finally:
        await office.db.execute("UPDATE pbx.billing SET enabled = false")
    await page.get_by_label("WhatsApp number").fill("+53 5 2123456")
    await page.get_by_role("button", name="Call", exact=True).first.click()
    await expect(page.get_by_role("alert")).to_contain_text("may not be called")


async def test_a_supervisor_listens_in_from_the_live_page(office: Office, tmp_path: Path) -> None:
    async with phone_of(office.stack, tmp_path, "1003") as own:
        page = await office.sign_in("boss", "/live")
        call = await office.meta.place(PlaceCall(from_=office.user, name="Zoë"))
        await (await office.phone.ringing(timeout=PATIENCE)).answer()
        for what, told in (("Listen in to Zoë", "You listen to"), ("Whisper to Ada Lovelace", "You whisper in")):
            await page.get_by_role("button", name=what).click()
            ringing = await own.ringing(timeout=PATIENCE)
            await expect(page.locator("#live-orders")).to_contain_text("Your phone rings")
            await ringing.answer()
            await expect(page.locator("#live-orders")).to_contain_text(f"{told} the call with Zoë")
            await shot(page, "live-listening")
            await ringing.hang_up()
            await expect(page.locator("#live-orders")).to_be_empty()
            await office.row("SELECT 1 FROM pbx.orders HAVING count(*) = count(*) FILTER (WHERE state = 'done')")
        await call.hang_up()
        await expect(page.locator("#live-calls")).to_contain_text("No call is going on")


async def test_the_live_page_with_twenty_calls(office: Office) -> None:
    page = await office.sign_in("boss", "/live", size=WIDE_SIZE)
    await expect(page.locator("#live-waiting")).to_contain_text("Nobody waits")
    first = await office.meta.place(PlaceCall(from_=office.user, name="Caller 0"))
    ringing = await office.phone.ringing(timeout=PATIENCE)
    await ringing.answer()
    await expect(page.locator("#live-calls")).to_contain_text("Caller 0", timeout=AT_ONCE)
    calls = [
        await office.meta.place(PlaceCall(from_=str(int(office.user) + n), name=f"Caller {n}", record=False))
        for n in range(1, 20)
    ]
    waiting = page.locator("#live-waiting tr")
    await expect(waiting).to_have_count(19, timeout=PATIENCE * 1000)
    await expect(waiting.nth(18).locator(".place")).to_have_text("19")
    await expect(page.locator("#live-agents")).to_contain_text("talking")
    await expect(page.locator("#t-waiting .value")).to_have_text("19")
    await shots(page, "live", sizes=(WIDE_SIZE, DESKTOP_SIZE, PHONE_SIZE))
    await page.set_viewport_size({"width": WIDE_SIZE[0], "height": WIDE_SIZE[1]})
    await waiting.filter(has_text="Caller 7").get_by_role("button", name="Hang up Caller 7").click()
    await page.get_by_role("button", name="Yes, do it").click()
    await expect(waiting).to_have_count(18)
    await calls[6].wait(state="ended", timeout=PATIENCE)
    ended = await office.row("SELECT * FROM pbx.calls WHERE caller_name = 'Caller 7' AND state = 'ended'")
    assert ended["reason"] == "boss hung it up from the console"
    await ringing.hang_up()
    following = await office.phone.ringing(timeout=PATIENCE)
    await expect(page.locator("#live-waiting .badge")).to_contain_text("Ada Lovelace")
    for call in calls[:6] + calls[7:]:
        await call.hang_up()
    await following.closed(timeout=PATIENCE)
    await first.wait(state="ended", timeout=PATIENCE)
    await expect(page.locator("#live-waiting")).to_contain_text("Nobody waits")
