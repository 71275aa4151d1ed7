"""Hold and transfers from the agent's own phone: who hears whom, and what the record and the recording say."""

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from ari_app.ari import AriClient
from ari_app.media.measure import tone_spans
from ari_app.media.wav import Sound, read_wav, sine
from ari_app.runtime.phone_call import PhoneCall
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions

PATIENCE = 20.0
AGENT_HZ, CALLER_HZ, THIRD_HZ, FOURTH_HZ = 440, 1000, 600, 750
NUMBER = "901"

WHATSAPP_CALLER = """
[phones]
exten => whatsapp,1,Set(WHATSAPP_CALL_ID=wacid.transfer)
 same => n,Goto(whatsapp-in,15550783881,1)
[outside]
exten => 1003,1,Dial(PJSIP/1003)
"""


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=WHATSAPP_CALLER)


@dataclass
class Floor:
    """An agent, a caller and two colleagues, each with a phone."""

    stack: Stack
    ari: AriClient
    database: asyncpg.Connection
    agent: Baresip
    caller: Baresip
    third: Baresip
    fourth: Baresip

    async def connect(self, number: str = NUMBER) -> tuple[PhoneCall, PhoneCall]:
        made = await self.caller.dial(number)
        taken = await self.agent.ringing(timeout=PATIENCE)
        await taken.answer()
        await self.row("SELECT * FROM pbx.calls WHERE state = 'connected'")
        return made, taken

    async def refer(self, phone: Baresip, call: PhoneCall, target: str) -> None:
        """Press the transfer key in this call."""
        await phone.command("callfind", call.id)
        user, _, headers = target.partition("?")
        address = f"sip:{user}@127.0.0.1:{self.stack.asterisk.sip_port}"
        await phone.command("transfer", f"{address}?{headers}" if headers else address)

    async def attend(self, phone: Baresip, taken: PhoneCall, colleague: Baresip) -> PhoneCall:
        """Somebody calls a colleague, talks, and connects both calls; the colleague's call."""
        extension = colleague.account.user
        asked = await phone.dial(extension)
        ringing = await colleague.ringing(timeout=PATIENCE)
        await ringing.answer()
        await asked.established()
        channels = [c for c in await self.ari.channels.list() if c.data and c.data.dialplan.exten == extension]
        second = next(c for c in channels if c.data and c.data.name.startswith(f"PJSIP/{phone.account.user}"))
        ours, theirs = [await second.get_variable(f"CHANNEL(pjsip,{tag})") for tag in ("local_tag", "remote_tag")]
        replaces = f"{asked.id}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}"  # RFC 3891; baresip has no key for it
        await self.refer(phone, taken, f"{extension}?Replaces={replaces}")
        await taken.closed()
        return ringing

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        async with asyncio.timeout(PATIENCE):
            while (row := await self.database.fetchrow(query, *arguments)) is None:
                await asyncio.sleep(0.05)
            return row

    async def ended(self) -> asyncpg.Record:
        return await self.row("SELECT * FROM pbx.calls WHERE state = 'ended'")

    async def heard(self) -> Sound:
        """What the caller heard, by the recording."""
        row = await self.row("SELECT * FROM pbx.recordings WHERE seconds IS NOT NULL")
        with wave.open(str(self.stack.folder / "calls" / row["file"])) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2) / 32768
        return Sound(samples[:, 1], 16000)

    async def is_empty(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.ari.channels.list() or await self.ari.bridges.list():
                await asyncio.sleep(0.05)


@pytest.fixture
async def floor(stack: Stack, tmp_path: Path) -> AsyncIterator[Floor]:
    def phone(user: str, hertz: int) -> contextlib.AbstractAsyncContextManager[Baresip]:
        account = SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)
        return Baresip.start(stack.closure, tmp_path / user, account, microphone=sine(hertz, 90, 48000, -20))

    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute("DELETE FROM pbx.calls")
        await database.execute("DELETE FROM pbx.routes WHERE number = $1", NUMBER)
        await database.execute(
            "INSERT INTO pbx.routes (number, calling_enabled, entry_prompt) VALUES ($1, true, 'sound:beep')",
            NUMBER,
        )
        await database.execute(
            "INSERT INTO pbx.route_groups (number, position, group_name) "
            "SELECT $1, 1, group_name FROM pbx.route_groups LIMIT 1",
            NUMBER,
        )
        await database.execute("UPDATE pbx.groups SET wrap_up_seconds = 0")
        asterisk = stack.asterisk
        async with (
            AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "tester") as ari,
            phone("1001", AGENT_HZ) as agent,
            phone("1002", CALLER_HZ) as caller,
            phone("1003", THIRD_HZ) as third,
            phone("1004", FOURTH_HZ) as fourth,
        ):
            floor = Floor(stack, ari, database, agent, caller, third, fourth)
            yield floor
            await floor.is_empty()
    finally:
        await database.close()


async def test_a_blind_transfer_connects_the_caller_with_the_colleague_and_frees_the_agent(floor: Floor) -> None:
    made, taken = await floor.connect()
    await asyncio.sleep(1)
    await floor.refer(floor.agent, taken, "1003")
    ringing = await floor.third.ringing(timeout=PATIENCE)
    assert ringing.peer_number == "1002"
    await floor.row("SELECT * FROM pbx.agent_states WHERE call_id IS NULL")
    await taken.closed()
    await ringing.answer()
    await asyncio.sleep(2)
    assert made.close_reason is None
    await ringing.hang_up()
    await made.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["status"], call["ended_by"], call["reason"]) == ("Answered", "agent", "extension 1003 hung up")
    assert call["path"][-1] == "transfer:1003"
    heard = await floor.heard()
    agents, thirds = (tone_spans(heard, hertz, min_s=0.2) for hertz in (AGENT_HZ, THIRD_HZ))
    assert agents
    assert sum(end - start for start, end in thirds) > 1.2
    assert agents[-1][1] <= thirds[0][0]
    assert await floor.database.fetchval("SELECT count(*) FROM pbx.calls") == 1


async def test_a_caller_may_hang_up_while_the_colleague_rings(floor: Floor) -> None:
    made, taken = await floor.connect()
    await floor.refer(floor.agent, taken, "1003")
    ringing = await floor.third.ringing(timeout=PATIENCE)
    await made.hang_up()
    await ringing.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["status"], call["ended_by"]) == ("Answered", "user")


async def test_an_attended_transfer_connects_the_callers(floor: Floor) -> None:
    made, taken = await floor.connect()
    ringing = await floor.attend(floor.agent, taken, floor.third)
    await asyncio.sleep(2)
    assert (made.close_reason, ringing.close_reason) == (None, None)
    await made.hang_up()
    await made.closed()
    await ringing.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["status"], call["ended_by"], call["path"][-1]) == ("Answered", "user", "transfer:1003")
    for listener, hertz in ((made, THIRD_HZ), (ringing, CALLER_HZ)):
        heard = [span for part in listener.recordings for span in tone_spans(read_wav(part.path), hertz, min_s=0.2)]
        assert sum(end - start for start, end in heard) > 1.2


async def test_the_recording_goes_on_after_attended_transfers(floor: Floor) -> None:
    """Two in a row: without our doing, each would leave silence in about half of the tries."""
    made, taken = await floor.connect()
    second = await floor.attend(floor.agent, taken, floor.third)
    await asyncio.sleep(2)
    await floor.attend(floor.third, second, floor.fourth)
    await asyncio.sleep(2)
    await made.hang_up()
    heard = await floor.heard()
    for hertz in (THIRD_HZ, FOURTH_HZ):
        assert sum(end - start for start, end in tone_spans(heard, hertz, min_s=0.2)) > 1.2


async def test_after_a_transfer_to_a_phone_that_refuses_the_caller_waits_again_and_agents_ring(
    floor: Floor,
) -> None:
    made, taken = await floor.connect()
    await floor.third.do_not_disturb(True)
    await floor.refer(floor.agent, taken, "1003")
    again = await floor.agent.ringing(timeout=PATIENCE)
    assert made.close_reason is None
    await again.answer()
    await floor.row("SELECT * FROM pbx.calls WHERE state = 'connected'")
    await asyncio.sleep(1)
    await again.hang_up()
    await made.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["status"], call["ended_by"], call["reason"]) == ("Answered", "agent", "Agent 1001 hung up")
    assert call["path"] == ["group:Agents", "transfer:1003", "back from transfer", "group:Agents"]
    offers = await floor.database.fetch("SELECT outcome, started_at FROM pbx.offers ORDER BY started_at")
    assert [offer["outcome"] for offer in offers] == ["answered", "answered"]
    assert call["queued_at"] < offers[0]["started_at"]  # the place of before
    assert call["connected_at"] < offers[1]["started_at"]


async def test_a_caller_who_hangs_up_while_waiting_again_has_talked_all_the_same(floor: Floor) -> None:
    made, taken = await floor.connect()
    await floor.third.do_not_disturb(True)
    await floor.refer(floor.agent, taken, "1003")
    again = await floor.agent.ringing(timeout=PATIENCE)
    await made.hang_up()
    await again.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["status"], call["ended_by"]) == ("Answered", "user")
    assert call["reason"] == "the caller hung up while Agent 1001 was ringing"


async def test_a_whatsapp_call_is_transferred_within_the_house(floor: Floor) -> None:
    made, taken = await floor.connect("whatsapp")
    await floor.refer(floor.agent, taken, "1003")
    ringing = await floor.third.ringing(timeout=PATIENCE)
    await ringing.answer()
    await ringing.hang_up()
    await made.closed(timeout=PATIENCE)
    assert (await floor.ended())["reason"] == "extension 1003 hung up"


async def test_a_whatsapp_call_is_not_transferred_to_where_a_telephone_network_may_be(floor: Floor) -> None:
    made, taken = await floor.connect("whatsapp")
    (agents,) = [c for c in await floor.ari.channels.list() if c.data and c.data.name.startswith("PJSIP/1001")]
    await agents.set_variable("TRANSFER_CONTEXT", "outside")
    await floor.refer(floor.agent, taken, "1003")
    await made.closed(timeout=PATIENCE)
    call = await floor.ended()
    assert (call["channel_type"], call["status"], call["ended_by"]) == ("WhatsApp Call", "Answered", "system")
    assert call["reason"] == "the PSTN guard keeps WhatsApp calls from extension 1003 of context outside"
