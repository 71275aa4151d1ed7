"""Supervisors listen in, whisper, barge in and hang up: who hears whom, by the tones in what each phone heard."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from ari_app.ari import AriClient
from ari_app.media.measure import tone_spans
from ari_app.media.wav import read_wav, sine
from ari_app.runtime.phone_call import PhoneCall
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions

PATIENCE = 20.0
AGENT_HZ, CALLER_HZ, BOSS_HZ = 440, 1000, 600
NUMBER = "901"

#: In so long something is heard if it is heard at all, s; and so much of it is not an accident, s.
LISTENING = 2.0
HEARD = 1.0

#: Share of the power that one of two tones has at least.
MIXED = 0.2


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False)


@dataclass
class Floor:
    """A caller and an agent who talk, and a supervisor with a phone."""

    stack: Stack
    ari: AriClient
    database: asyncpg.Connection
    boss: Baresip
    boss_id: uuid.UUID
    made: PhoneCall
    taken: PhoneCall
    call: uuid.UUID

    async def order(self, kind: str) -> uuid.UUID:
        order: uuid.UUID = await self.database.fetchval(
            "INSERT INTO pbx.orders (kind, call_id, agent_id, requested_by) VALUES ($1, $2, $3, 'Grace') RETURNING id",
            *(kind, self.call, None if kind == "hangup" else self.boss_id),
        )
        return order

    async def is_(self, order: uuid.UUID, state: str) -> asyncpg.Record:
        return await self.row("SELECT * FROM pbx.orders WHERE id = $1 AND state = $2", order, state)

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        async with asyncio.timeout(PATIENCE):
            while (row := await self.database.fetchrow(query, *arguments)) is None:
                await asyncio.sleep(0.05)
            return row

    async def joined(self, kind: str) -> tuple[uuid.UUID, PhoneCall]:
        """The supervisor's phone rings, is picked up, and is in the call for a while."""
        order = await self.order(kind)
        ringing = await self.boss.ringing(timeout=PATIENCE)
        await self.is_(order, "taken")
        await ringing.answer()
        await self.is_(order, "active")
        await asyncio.sleep(LISTENING)
        return order, ringing

    async def is_given_back(self, channels: int, bridges: int) -> None:
        """Asterisk has these, and no more."""
        async with asyncio.timeout(PATIENCE):
            while len(await self.ari.channels.list()) != channels or len(await self.ari.bridges.list()) != bridges:
                await asyncio.sleep(0.05)


def seconds(call: PhoneCall, hertz: float) -> float:
    """How long a phone heard this tone in a call that is over, alone or beside one other."""
    parts = [read_wav(part.path) for part in call.recordings]
    spans = [span for part in parts for span in tone_spans(part, hertz, min_purity=MIXED, min_s=0.2)]
    return sum(end - start for start, end in spans)


@pytest.fixture
async def floor(stack: Stack, tmp_path: Path) -> AsyncIterator[Floor]:
    def phone(user: str, hertz: int) -> contextlib.AbstractAsyncContextManager[Baresip]:
        account = SipAccount(user, stack.asterisk.phones[user].password, port=stack.asterisk.sip_port)
        return Baresip.start(stack.closure, tmp_path / user, account, microphone=sine(hertz, 90, 48000, -20))

    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute("DELETE FROM pbx.calls")
        await database.execute(
            "INSERT INTO pbx.routes (number, calling_enabled, entry_prompt, recording) VALUES ($1, true, 'sound:beep', "
            "false) ON CONFLICT DO NOTHING",
            NUMBER,
        )
        await database.execute(
            "INSERT INTO pbx.route_groups (number, position, group_name) "
            "SELECT $1, 1, group_name FROM pbx.route_groups LIMIT 1 ON CONFLICT DO NOTHING",
            NUMBER,
        )
        await database.execute("UPDATE pbx.groups SET wrap_up_seconds = 0")
        boss_id = await database.fetchval(
            "INSERT INTO pbx.agents (name, endpoint, voip_only) VALUES ('Grace', 'PJSIP/1003', true) "
            "ON CONFLICT (endpoint) DO UPDATE SET name = excluded.name, voip_only = true RETURNING id"
        )
        asterisk = stack.asterisk
        async with (
            AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "tester") as ari,
            phone("1001", AGENT_HZ) as agent,
            phone("1002", CALLER_HZ) as caller,
            phone("1003", BOSS_HZ) as boss,
        ):
            made = await caller.dial(NUMBER)
            taken = await agent.ringing(timeout=PATIENCE)
            await taken.answer()
            floor = Floor(stack, ari, database, boss, boss_id, made, taken, uuid.uuid4())
            floor.call = (await floor.row("SELECT id FROM pbx.calls WHERE state = 'connected'"))["id"]
            yield floor
            if made.close_reason is None:
                await made.hang_up()
                await made.closed(timeout=PATIENCE)
            await floor.is_given_back(0, 0)
        assert await database.fetchval("SELECT count(*) FROM cdr.cdr WHERE channel LIKE 'Snoop/%'") == 0
    finally:
        await database.close()


async def test_who_listens_hears_both_and_is_heard_by_nobody(floor: Floor) -> None:
    order, listening = await floor.joined("listen")
    assert "Listen" in listening.peer_name
    await listening.hang_up()
    await listening.closed()
    await floor.is_(order, "done")
    await floor.is_given_back(2, 1)
    assert floor.made.close_reason is None
    await floor.made.hang_up()
    await floor.taken.closed(timeout=PATIENCE)
    await floor.made.closed()
    assert seconds(listening, AGENT_HZ) > HEARD
    assert seconds(listening, CALLER_HZ) > HEARD
    assert seconds(floor.made, BOSS_HZ) == 0
    assert seconds(floor.taken, BOSS_HZ) == 0
    assert await floor.database.fetchval("SELECT count(*) FROM cdr.cdr WHERE channel LIKE 'PJSIP/1003%'") == 0


async def test_a_whisper_is_heard_by_the_agent_alone(floor: Floor) -> None:
    order, whispering = await floor.joined("whisper")
    await floor.made.hang_up()
    await whispering.closed(timeout=PATIENCE)
    await floor.is_(order, "done")
    await floor.taken.closed()
    await floor.made.closed()
    assert seconds(whispering, AGENT_HZ) > HEARD
    assert seconds(whispering, CALLER_HZ) > HEARD
    assert seconds(floor.taken, BOSS_HZ) > HEARD
    assert seconds(floor.made, BOSS_HZ) == 0


async def test_who_barges_in_is_heard_by_both(floor: Floor) -> None:
    order, barged = await floor.joined("barge")
    await barged.hang_up()
    await barged.closed()
    await floor.is_(order, "done")
    await floor.is_given_back(2, 1)
    await floor.taken.hang_up()
    await floor.made.closed(timeout=PATIENCE)
    await floor.taken.closed()
    assert seconds(barged, AGENT_HZ) > HEARD
    assert seconds(barged, CALLER_HZ) > HEARD
    assert seconds(floor.taken, BOSS_HZ) > HEARD
    assert seconds(floor.made, BOSS_HZ) > HEARD
    ended = await floor.row("SELECT * FROM pbx.calls WHERE state = 'ended'")
    assert (ended["status"], ended["ended_by"]) == ("Answered", "agent")


async def test_a_call_is_hung_up_from_outside_and_the_record_says_by_whom(floor: Floor) -> None:
    order = await floor.order("hangup")
    await floor.is_(order, "done")
    await floor.made.closed(timeout=PATIENCE)
    await floor.taken.closed(timeout=PATIENCE)
    ended = await floor.row("SELECT * FROM pbx.calls WHERE state = 'ended'")
    assert (ended["status"], ended["ended_by"]) == ("Answered", "system")
    assert ended["reason"] == "Grace hung it up from the console"


async def test_a_phone_stops_ringing_when_the_call_is_over_and_a_rejection_is_told(floor: Floor) -> None:
    rejected = await floor.order("listen")
    ringing = await floor.boss.ringing(timeout=PATIENCE)
    await ringing.hang_up()
    failed = await floor.is_(rejected, "failed")
    assert failed["reason"] == "Grace did not take the call on PJSIP/1003"
    assert floor.made.close_reason is None
    late = await floor.order("listen")
    ringing = await floor.boss.ringing(timeout=PATIENCE)
    await floor.made.hang_up()
    await ringing.closed(timeout=PATIENCE)
    assert "the call was over" in (await floor.is_(late, "failed"))["reason"]


async def test_the_states_of_phones_are_kept_for_people(floor: Floor) -> None:
    talking = await floor.row("SELECT state FROM pbx.device_states WHERE endpoint = 'PJSIP/1001' AND state = 'INUSE'")
    assert talking["state"] == "INUSE"
    await floor.made.hang_up()
    await floor.row("SELECT 1 FROM pbx.device_states WHERE endpoint = 'PJSIP/1001' AND state = 'NOT_INUSE'")
