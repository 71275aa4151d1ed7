"""A person with a browser calls the PBX: Chromium's WebRTC meets ours, Asterisk and a SIP phone behind it."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import expect

from ari_app.media.measure import dominant_tone, level_dbfs, tone_spans
from ari_app.media.wav import read_wav, sine
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.runtime.standing_agent import standing_agent
from ari_app.store.records import finished_record
from tests.browser.browser_phone import BrowserPhone, microphone_arguments
from tests.browser.pages import DESKTOP_SIZE, Pages, shot
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient

AGENT_TONE_HZ, BROWSER_TONE_HZ = 600, 1000
TONE_DBFS = -20


#: 8 and a number: that WhatsApp user.
DIALPLAN = """
[phones](+)
exten => _8X.,1,Dial(WebSocket/whatsapp/c(opus)nf(json)v(to=${EXTEN:1}),30)
 same => n,Hangup(${HANGUPCAUSE})
"""


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(extra_dialplan=DIALPLAN)


@pytest.fixture(scope="module")
def browser_arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return microphone_arguments(tmp_path_factory.mktemp("microphone"), BROWSER_TONE_HZ, TONE_DBFS)


@pytest.fixture
async def meta(stack: Stack) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient(stack.simulator_url) as client:
        yield client
        await client.reset()


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def agent(stack: Stack, tmp_path: Path) -> AsyncIterator[Baresip]:
    port = int(stack.asterisk.sip_address.rpartition(":")[2])
    account = SipAccount("1001", stack.asterisk.phones["1001"].password, port=port)
    microphone = sine(AGENT_TONE_HZ, 20, 48_000, TONE_DBFS)
    async with Baresip.start(stack.closure, tmp_path / "1001", account, microphone=microphone) as phone:
        yield phone


async def running_call(meta: SimulatorClient) -> PhoneCall:
    """The one call that is on at Meta's side."""
    live = [call for call in await meta.calls() if call["state"] != "ended"]
    assert len(live) == 1
    return await meta.call(live[0]["id"])


async def nothing_is_left(stack: Stack, meta: SimulatorClient) -> None:
    """No call at Meta's side, no channel in Asterisk, within 10 s."""
    async with asyncio.timeout(10):
        while (await meta.status())["live_calls"] or "0 active channels" not in await stack.asterisk.cli(
            "core show channels"
        ):
            await asyncio.sleep(0.1)


async def test_both_hear_each_other_and_digits_arrive(
    stack: Stack, meta: SimulatorClient, agent: Baresip, pages: Pages
) -> None:
    phone = await BrowserPhone.open(pages, stack.phone_url)
    await shot(phone.page, "phone-idle")
    await phone.call()
    taken = await agent.ringing()
    assert (taken.peer_name, taken.peer_number) == ("Ada Example", "+16315553602")
    await phone.shows("In call")  # our queue answers at once and plays its prompt
    await taken.answer()
    heard = await phone.hear(2.0)
    caller = await running_call(meta)
    while not tone_spans(heard, AGENT_TONE_HZ):  # the prompt was still being played
        heard = await phone.hear(2.0)
    heard = await phone.hear(2.0)
    tone = dominant_tone(heard)
    assert tone.frequency_hz == pytest.approx(AGENT_TONE_HZ, abs=5)
    assert tone.level_dbfs == pytest.approx(TONE_DBFS, abs=3)

    await phone.press("Keypad")
    for key in "15#":
        await phone.page.get_by_role("button", name=key, exact=True).click()
    await phone.page.keyboard.press("7")
    await taken.heard_digits("15#7")
    await expect(phone.page.get_by_label("Digits sent")).to_have_text("15#7")
    await shot(phone.page, "phone-keypad")
    await taken.press("42")  # nobody is to be disturbed by digits from the PBX
    await phone.press("Keypad")
    await expect(phone.clock).to_have_text(re.compile(r"00:00:(0[3-9]|[1-5]\d)"))
    await shot(phone.page, "phone-in-call")

    facts = await caller.read()
    assert facts["dtls"] == {"state": "connected", "role": "server", "profile": None, "failure": None}
    assert facts["media"]["packets_in"] > 100
    await phone.press("End")
    await taken.closed()
    await phone.shows("You hung up")
    await shot(phone.page, "phone-ended")
    agent_heard = read_wav(taken.recording.path)
    spans = tone_spans(agent_heard, BROWSER_TONE_HZ)
    assert dominant_tone(agent_heard).frequency_hz == pytest.approx(BROWSER_TONE_HZ, abs=5)
    assert level_dbfs(agent_heard) == pytest.approx(TONE_DBFS, abs=3)
    assert sum(end - begin for begin, end in spans) > 3
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"], record["agent"]) == ("Answered", "user", "Agent 1001")
    await nothing_is_left(stack, meta)


async def test_the_agent_hangs_up_and_the_phone_says_so(
    stack: Stack, meta: SimulatorClient, agent: Baresip, pages: Pages
) -> None:
    phone = await BrowserPhone.open(pages, stack.phone_url, size=DESKTOP_SIZE, scheme="dark")
    await phone.call()
    taken = await agent.ringing()
    await taken.answer()
    await phone.shows("In call")
    await phone.press("Mute")
    await expect(phone.page.get_by_role("button", name="Unmute")).to_have_attribute("aria-pressed", "true")
    await expect(phone.page.locator("#level-out")).to_have_js_property("value", 0)
    await shot(phone.page, "phone-in-call-dark-1280")
    await phone.hear(1.5)
    await taken.hang_up()
    await phone.shows("Call ended · The business hung up")
    await taken.closed()
    agent_heard = read_wav(taken.recording.path)
    assert tone_spans(agent_heard, BROWSER_TONE_HZ)
    assert level_dbfs(agent_heard.part(agent_heard.duration_s - 1)) < -60, "muted"
    await nothing_is_left(stack, meta)


async def test_an_agent_calls_the_browser(stack: Stack, meta: SimulatorClient, agent: Baresip, pages: Pages) -> None:
    phone = await BrowserPhone.open(pages, stack.phone_url)
    call = await agent.dial("816315553602")
    await phone.shows("WhatsApp voice call")
    await shot(phone.page, "phone-incoming")
    await phone.press("Accept")
    await call.established()
    heard = await phone.hear(1.5)
    assert dominant_tone(heard).frequency_hz == pytest.approx(AGENT_TONE_HZ, abs=5)
    await phone.press("End")
    await call.closed()
    agent_heard = read_wav(call.recording.path)
    assert sum(end - begin for begin, end in tone_spans(agent_heard, BROWSER_TONE_HZ)) > 1
    await nothing_is_left(stack, meta)


@pytest.fixture
async def menu(stack: Stack, database: asyncpg.Connection) -> AsyncIterator[None]:
    """Callers hear an IVR, whose 2 leads to the agents."""
    await database.execute(
        """
        INSERT INTO pbx.menus (name, prompt) VALUES ('Main', 'sound:demo-congrats');
        INSERT INTO pbx.menu_options VALUES ('Main', '2', 'group:Agents');
        UPDATE pbx.routes SET incoming = 'ivr', menu = 'Main';
        """
    )
    yield
    await database.execute("UPDATE pbx.routes SET incoming = 'agent_group', menu = NULL")
    await database.execute("DELETE FROM pbx.menu_options; DELETE FROM pbx.menus")


async def until(database: asyncpg.Connection, condition: str, call_id: str) -> None:
    """Wait until the call's row is so."""
    async with asyncio.timeout(15):
        while not await database.fetchval(f"SELECT {condition} FROM pbx.calls WHERE whatsapp_call_id = $1", call_id):
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("menu")
async def test_a_digit_leads_to_the_agent_who_answers_by_himself(
    stack: Stack, meta: SimulatorClient, database: asyncpg.Connection, pages: Pages
) -> None:
    async with standing_agent(stack):
        phone = await BrowserPhone.open(pages, stack.phone_url)
        await phone.call()
        await phone.shows("In call")
        caller = await running_call(meta)
        menu, connected = ("path = ARRAY['menu:Main']", "connected_at IS NOT NULL")
        await until(database, menu, caller.id)  # digits are taken when the entry prompt is over
        assert level_dbfs(await phone.hear(1.0)) > -40
        await phone.page.keyboard.press("2")
        await until(database, connected, caller.id)
        await phone.press("End")
        record = await finished_record(stack.dsn, caller.id)
        assert (record["status"], record["agent"]) == ("Answered", "Agent 1001")
        path = await database.fetchval("SELECT path FROM pbx.calls WHERE whatsapp_call_id = $1", caller.id)
        assert path == ["menu:Main", "digits:2", "group:Agents"]


async def test_a_page_that_is_closed_has_hung_up(
    stack: Stack, meta: SimulatorClient, agent: Baresip, pages: Pages
) -> None:
    phone = await BrowserPhone.open(pages, stack.phone_url)
    await phone.call()
    taken = await agent.ringing()
    await taken.answer()
    caller = await running_call(meta)
    await phone.page.close()
    await taken.closed(timeout=5)
    facts = await caller.wait(closed=True, timeout=5)
    assert facts["ended_by"] == "user"
    await nothing_is_left(stack, meta)
