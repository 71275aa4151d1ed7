"""From a WhatsApp user's key press to the right phone, and to a customer's SIP system."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import yaml

from ari_app.media.child import output
from ari_app.media.measure import find_speech
from ari_app.media.wav import read_wav
from ari_app.runtime import sipp
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.stack import Stack
from ari_app.store.records import finished_record
from tests.integration.callers import PATIENCE, SipSystem
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone

PROMPT = "sound:demo-congrats"


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


@pytest.mark.usefixtures("speech")
async def test_a_text_of_the_configuration_is_what_the_caller_hears(stack: Stack, meta: SimulatorClient) -> None:
    async def config(verb: str, given: bytes = b"") -> bytes:
        main = "import sys; from ari_app.runtime.cli import main; sys.exit(main())"
        arguments = ("config", verb, *(("-",) if given else ()), "--config", str(stack.config))
        return await output([sys.executable, "-c", main, *arguments], given, timeout=60, limit=1_000_000)

    exported = await config("export")
    changed = yaml.safe_load(exported)
    changed["prompts"] = {"welcome": {"text": "Good morning. You have reached the weasel department."}}
    changed["numbers"][stack.number.display_number]["entry_prompt"] = "prompt:welcome"
    await config("import", yaml.safe_dump(changed).encode())
    try:
        (file,) = (stack.folder / "prompts").iterdir()
        spoken = read_wav(file)
        caller = await meta.place(PlaceCall(name="Ada"))
        await caller.wait(packets_in=int((spoken.duration_s + 1.5) * 50), timeout=PATIENCE)
        facts = await caller.end()
    finally:
        await config("import", exported)
    assert spoken.duration_s > 2.0
    assert find_speech(spoken, read_wav(Path(facts["recording"]["path"]))).found


async def test_a_pressed_digit_leads_to_the_phone_of_the_right_group(
    stack: Stack, meta: SimulatorClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await database.execute(
        f"""
        WITH agent AS (INSERT INTO pbx.agents (name, endpoint, voip_only) VALUES ('Bea', 'PJSIP/1002', true)
                       RETURNING id),
             team AS (INSERT INTO pbx.groups (name) VALUES ('Support'))
        INSERT INTO pbx.group_members (group_name, agent_id) SELECT 'Support', id FROM agent;
        INSERT INTO pbx.menus (name, prompt) VALUES ('Main', '{PROMPT}');
        INSERT INTO pbx.menu_options VALUES ('Main', '1', 'group:Agents'), ('Main', '2', 'group:Support');
        UPDATE pbx.routes SET incoming = 'ivr', menu = 'Main';
        """
    )
    port = int(stack.asterisk.sip_address.rpartition(":")[2])
    account = SipAccount("1002", stack.asterisk.phones["1002"].password, port=port)
    async with Baresip.start(stack.closure, tmp_path, account) as phone:
        caller = await meta.place(PlaceCall(name="Ada", play=Sound(tone=Tone(hz=1000, dbfs=-20))))
        await caller.wait(packets_in=150, timeout=20)
        await caller.press("2")
        call = await phone.ringing()
        assert (call.peer_name, call.peer_number) == ("Ada", "+16315553602")
        await call.answer()
        async with asyncio.timeout(PATIENCE):
            while not await database.fetchval(
                "SELECT connected_at FROM pbx.calls WHERE whatsapp_call_id = $1", caller.id
            ):
                await asyncio.sleep(0.05)
        await call.hang_up()
        await caller.wait(state="ended", timeout=10)
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"], record["agent"]) == ("Answered", "agent", "Bea")
    path = await database.fetchval("SELECT path FROM pbx.calls WHERE whatsapp_call_id = $1", caller.id)
    assert path == ["menu:Main", "digits:2", "group:Support"]


async def test_a_customers_sip_system_takes_the_calls_of_a_number(
    stack: Stack, meta: SimulatorClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    with PortBlock() as ports:
        port = ports.take()
        number = stack.number.display_number
        await database.execute("UPDATE pbx.routes SET incoming = 'agent_group', menu = NULL, handled_by_sip = true")
        await database.execute(
            "INSERT INTO pbx.sip_targets (number, host, port, incoming, voip_only) "
            "VALUES ($1, '127.0.0.1', $2, 'agent_group', true)",
            number,
            port,
        )
        async with SipSystem.start(stack, tmp_path / "pbx", port, sipp.answer()) as system:
            caller = await meta.place(PlaceCall(name="Ada", play=Sound(tone=Tone(hz=1000, dbfs=-20))))
            await system.saw("ACK")
            await caller.end()
            await system.saw("BYE")
            invite = system.invite()
    assert f"X-WhatsApp-Call-Id: {caller.id}" in invite
    assert f"X-WhatsApp-Number-Id: {stack.number.phone_number_id}" in invite
    assert 'From: "Ada" <sip:+16315553602@' in invite
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"]) == ("Answered", "user")
    assert record["reason"] == f"the caller hung up, who talked to SIP target 127.0.0.1:{port}"
