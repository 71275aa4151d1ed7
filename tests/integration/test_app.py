"""The application on a real Asterisk and a real PostgreSQL, as callers, agents and readers of records meet
it.

Callers come as the bridge brings them: a Local channel into `whatsapp-in`, whose first half is ours. Agents
are Local channels into a dialplan that answers, rejects, rings, …; the last tests have real SIP phones.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from ari_app.ari import AriClient, Channel, Subscription, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, PlaybackStarted, StasisStart
from ari_app.runtime import sipp
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.sipp import SippPhone
from ari_app.runtime.stack import Stack, StackOptions

AGENTS = """
[test-agents]
exten => answer,1,Ringing()
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Wait(300)
exten => leave,1,Ringing()
 same => n,Answer()
 same => n,Wait(1)
 same => n,Hangup(16)
exten => _leave.,1,Goto(leave,1)
exten => reject,1,Ringing()
 same => n,Wait(0.3)
 same => n,Hangup(21)
exten => busy,1,Busy()
exten => ring,1,Ringing()
 same => n,Wait(300)
exten => silent,1,Wait(300)
"""

#: Longer than anything here takes on a machine that has other things to do.
PATIENCE = 15.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


@dataclass
class Caller:
    """Somebody who calls, with all that Asterisk does meanwhile."""

    channel: Channel
    all_events: Subscription

    async def is_answered(self) -> None:
        await self.channel.wait_for(
            ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up"
        )

    async def hears(self, media: str) -> None:
        await self.all_events.wait_for(
            PlaybackStarted, timeout=PATIENCE, where=lambda event: event.playback.media_uri == media
        )

    async def agent_channel(self, state: str, name: str = "Local/") -> str:
        """The id of the agent's leg, as soon as it is in this state."""
        event = await self.all_events.wait_for(
            ChannelStateChange,
            timeout=PATIENCE,
            where=lambda event: (
                event.channel.state == state and event.channel.dialplan.app_data.startswith("asterisk-whatsapp,agent")
            ),
        )
        return event.channel.id

    async def hang_up(self) -> None:
        await self.channel.hangup(reason_code=16)

    async def is_hung_up(self) -> int:
        """The cause with which the call ended."""
        return (await self.channel.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause


@dataclass
class Office:
    stack: Stack
    ari: AriClient
    database: asyncpg.Connection

    async def has_one_agent(self) -> None:
        await self.database.execute("DELETE FROM pbx.calls")
        await self.database.execute("DELETE FROM pbx.agents WHERE name <> 'Agent 1001'")

    async def agent_is(self, endpoint: str, ring_seconds: int = 3) -> None:
        await self.database.execute("UPDATE pbx.agents SET endpoint = $1, name = 'Agent 1001'", endpoint)
        await self.database.execute("UPDATE pbx.groups SET ring_seconds = $1", ring_seconds)

    @contextlib.asynccontextmanager
    async def caller(
        self, number: str = "", *, context: str = "whatsapp-in", whatsapp_id: str = "wacid.1"
    ) -> AsyncIterator[Caller]:
        number = number or self.stack.number.display_number
        with self.ari.events() as all_events:
            channel = await self.ari.channels.create(
                endpoint=f"Local/{number}@{context}/n",
                channel_id=channel_id(),
                other_channel_id=channel_id(),
                variables={
                    "__WHATSAPP_CALL_ID": whatsapp_id,
                    "__WHATSAPP_FROM": "4915112345678",
                    "__WHATSAPP_NAME": 'Zoë "Z" Müller',
                }
                if context == "whatsapp-in"
                else None,
            )
            with channel:
                try:
                    await channel.wait_for(StasisStart, timeout=PATIENCE)
                    await channel.dial(timeout=60)
                    yield Caller(channel, all_events)
                finally:
                    await channel.hangup()

    async def record(self, state: str = "ended") -> asyncpg.Record:
        """The newest call, as soon as it has this state."""
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.database.fetchrow("SELECT * FROM pbx.calls ORDER BY received_at DESC LIMIT 1")
                if row is not None and row["state"] == state:
                    return row
                await asyncio.sleep(0.05)

    async def offer(self, call: asyncpg.Record) -> asyncpg.Record:
        row = await self.database.fetchrow("SELECT * FROM pbx.offers WHERE call_id = $1", call["id"])
        assert row is not None
        return row

    async def is_empty(self) -> None:
        """Nothing of any call is left in Asterisk."""
        async with asyncio.timeout(PATIENCE):
            while await self.ari.channels.list() or await self.ari.bridges.list():
                await asyncio.sleep(0.05)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute("DELETE FROM pbx.calls")
        async with AriClient(
            stack.asterisk.ari_url,
            "asterisk-whatsapp",
            stack.asterisk.ari_password,
            "tester",
            subscribe_all=True,
        ) as ari:
            office = Office(stack, ari, database)
            yield office
            await office.is_empty()
    finally:
        await database.close()


async def test_a_whatsapp_call_is_joined_with_the_agent_until_the_agent_hangs_up(office: Office) -> None:
    await office.agent_is("Local/leave@test-agents")
    async with office.caller(whatsapp_id="wacid.HBgL") as caller:
        await caller.is_answered()
        await caller.hears("sound:queue-thankyou")
        agent = await caller.agent_channel("Up")
        assert await office.ari.channels.get_variable(agent, "CHANNEL(linkedid)") == caller.channel.id
        assert await office.ari.channels.get_variable(agent, "WHATSAPP_CALL_ID") == "wacid.HBgL"
        call = await office.record("connected")
        assert call["linkedid"] == caller.channel.id
        assert await caller.is_hung_up() == 16
    call = await office.record()
    assert (call["channel_type"], call["status"], call["ended_by"]) == ("WhatsApp Call", "Answered", "agent")
    assert (call["caller_number"], call["caller_name"]) == ("+4915112345678", "Zoë Z Müller")
    assert (call["number"], call["whatsapp_call_id"]) == (office.stack.number.display_number, "wacid.HBgL")
    assert call["received_at"] <= call["queued_at"] < call["connected_at"] < call["ended_at"]
    offer = await office.offer(call)
    assert (offer["outcome"], offer["agent_id"]) == ("answered", call["agent_id"])


async def test_the_caller_hangs_up_while_talking(office: Office) -> None:
    await office.agent_is("Local/answer@test-agents")
    async with office.caller() as caller:
        await caller.agent_channel("Up")
        await office.record("connected")
        await caller.hang_up()
        call = await office.record()
    assert (call["status"], call["ended_by"], call["reason"]) == ("Answered", "user", "the caller hung up")


async def test_an_ordinary_voice_call_goes_the_same_way(office: Office) -> None:
    await office.agent_is("Local/leave@test-agents")
    await office.database.execute("INSERT INTO pbx.routes (number, calling_enabled) VALUES ('900', true)")
    await office.database.execute("INSERT INTO pbx.route_groups VALUES ('900', 1, 'Agents')")
    try:
        async with office.caller("900", context="phones") as caller:
            await caller.agent_channel("Up")
            await caller.is_hung_up()
        call = await office.record()
    finally:
        await office.database.execute("DELETE FROM pbx.routes WHERE number = '900'")
    assert (call["channel_type"], call["number"], call["status"]) == ("Voice", "900", "Answered")
    assert call["whatsapp_call_id"] is None


@pytest.mark.parametrize("moment", ["answered", "prompt", "ringing"])
async def test_the_caller_hangs_up_before_an_agent_answers(office: Office, moment: str) -> None:
    await office.agent_is("Local/ring@test-agents", ring_seconds=60)
    async with office.caller() as caller:
        await caller.is_answered()
        if moment == "prompt":
            await caller.hears("sound:queue-thankyou")
        agent = await caller.agent_channel("Ringing") if moment == "ringing" else None
        await caller.hang_up()
        left_at = time.monotonic()
        if agent is not None:
            await caller.all_events.wait_for(
                ChannelDestroyed, timeout=PATIENCE, where=lambda event: event.channel.id == agent
            )
            assert time.monotonic() - left_at < 1.0
        call = await office.record()
    assert (call["status"], call["ended_by"], call["connected_at"]) == ("User Abandon", "user", None)
    if agent is not None:
        assert call["reason"] == "the caller hung up while Agent 1001 was ringing"
        assert (await office.offer(call))["outcome"] == "cancelled"


@pytest.mark.parametrize(
    ("endpoint", "outcome", "cause", "reason"),
    [
        ("Local/reject@test-agents", "rejected", 21, "Agent 1001 rejected the call (cause 21)"),
        ("Local/busy@test-agents", "rejected", 17, "Agent 1001 is busy (cause 17)"),
        ("Local/ring@test-agents", "missed", 19, "Agent 1001 did not answer in 3 s"),
        ("Local/silent@test-agents", "failed", 18, "Local/silent@test-agents did not ring within 3 s (cause 18)"),
    ],
)
async def test_when_the_agent_cannot_be_had_the_caller_is_told_and_the_record_says_why(
    office: Office, endpoint: str, outcome: str, cause: int, reason: str
) -> None:
    await office.agent_is(endpoint)
    async with office.caller() as caller:
        await caller.hears("sound:vm-nobodyavail")
        assert await caller.is_hung_up() == 16
    call = await office.record()
    assert (call["status"], call["ended_by"], call["reason"]) == ("Missed", "system", reason)
    offer = await office.offer(call)
    assert (offer["outcome"], offer["cause"], offer["reason"]) == (outcome, cause, reason)


@pytest.mark.parametrize("endpoint", ["PJSIP/1002", "PJSIP/unheard-of"])
async def test_an_agent_without_a_phone_is_not_rung_and_the_record_says_that_nobody_was_there(
    office: Office, endpoint: str
) -> None:
    await office.agent_is(endpoint)
    async with office.caller() as caller:
        await caller.hears("sound:vm-nobodyavail")
        assert await caller.is_hung_up() == 16
    call = await office.record()
    assert (call["status"], call["ended_by"], call["reason"]) == ("Missed", "system", "Agents: nobody was there")
    assert await office.database.fetchval("SELECT count(*) FROM pbx.offers") == 0


async def test_a_number_without_a_route_is_recorded_as_failed(office: Office) -> None:
    async with office.caller("4930999") as caller:
        await caller.hears("sound:ss-noservice")
        await caller.is_hung_up()
    call = await office.record()
    assert (call["status"], call["ended_by"], call["reason"]) == (
        "Failed",
        "system",
        "no route for number 4930999",
    )


async def test_a_caller_whom_somebody_sends_elsewhere_goes_on_there(office: Office) -> None:
    await office.agent_is("Local/ring@test-agents", ring_seconds=60)
    async with office.caller() as caller:
        await caller.agent_channel("Ringing")
        (own,) = [
            channel
            for channel in await office.ari.channels.list()
            if channel.data and "whatsapp-in" in channel.data.name and channel.data.name.endswith(";2")
        ]
        await own.continue_in_dialplan(context="test-agents", extension="answer", priority=1)
        call = await office.record()
        assert call["reason"] == "the caller was taken out of the application"
        await asyncio.sleep(0.5)
        assert {channel.id for channel in await office.ari.channels.list()} == {caller.channel.id, own.id}


async def test_postgresql_going_away_does_not_hurt_a_call_and_its_record_comes_later(office: Office) -> None:
    await office.agent_is("Local/answer@test-agents")
    async with office.caller() as caller:
        await office.record("connected")
        await office.database.close()
        await office.stack.postgres.stop()
        try:
            await asyncio.sleep(0.5)
            names = [channel.data.name for channel in await office.ari.channels.list() if channel.data]
            assert len([name for name in names if name.startswith("Local/")]) == 4
            await caller.hang_up()
            await office.is_empty()
        finally:
            await office.stack.postgres.start()
        office.database = await asyncpg.connect(office.stack.dsn)
        call = await office.record()
    assert (call["status"], call["ended_by"]) == ("Answered", "user")
    await office.database.close()


async def test_a_restarted_application_ends_what_a_killed_one_left_and_it_cannot_adopt(office: Office) -> None:
    await office.agent_is("Local/answer@test-agents")
    async with office.caller() as caller:
        await office.record("connected")
        await office.database.execute("UPDATE pbx.calls SET linkedid = 'of another call'")
        os.kill(office.stack.app.pid, signal.SIGKILL)
        await office.stack.app.wait()
        assert len(await office.ari.bridges.list()) == 1
        await office.stack.app.start()
        await caller.is_hung_up()
        await office.is_empty()
    call = await office.record()
    assert (call["status"], call["ended_by"], call["reason"]) == (
        "Answered",
        "system",
        "the application was restarted",
    )


async def test_a_stopped_application_ends_its_calls_and_leaves_with_status_0(office: Office) -> None:
    await office.agent_is("Local/ring@test-agents", ring_seconds=60)
    async with office.caller() as caller:
        await caller.agent_channel("Ringing")
        os.kill(office.stack.app.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                assert await office.stack.app.wait() == 0
            await caller.is_hung_up()
            call = await office.record()
            assert (call["status"], call["reason"]) == ("Failed", "the application was stopped")
            assert (await office.offer(call))["outcome"] == "cancelled"
        finally:
            await office.stack.app.start()


async def test_after_many_calls_at_once_nothing_is_left(office: Office) -> None:
    await office.has_one_agent()
    await office.agent_is("Local/leave@test-agents")
    await office.database.execute("UPDATE pbx.groups SET wrap_up_seconds = 0")
    await office.database.execute(
        "WITH more AS (INSERT INTO pbx.agents (name, endpoint, voip_only) SELECT 'Agent ' || n,"
        " 'Local/leave' || n || '@test-agents', true FROM generate_series(1, 24) n RETURNING id)"
        " INSERT INTO pbx.group_members (group_name, agent_id) SELECT 'Agents', id FROM more"
    )
    descriptors = Path(f"/proc/{office.stack.app.pid}/fd")

    async def one_call(number: int) -> None:
        async with office.caller(whatsapp_id=f"wacid.{number}") as caller:
            if number % 3 == 0:
                await caller.is_answered()
                await caller.hang_up()
            await caller.is_hung_up()

    async def round_of_calls() -> int:
        async with asyncio.TaskGroup() as group:
            for number in range(25):
                group.create_task(one_call(number))
        await office.is_empty()
        await asyncio.sleep(6)  # connections that nobody needs are let go after 5 s
        return len(list(descriptors.iterdir()))

    before, rounds = await round_of_calls(), 1
    after = before + 1
    # A pool may hold a connection more or less; what leaks grows with every round.
    while after > before and rounds < 4:
        after, rounds = await round_of_calls(), rounds + 1
    assert after <= before
    counts = await office.database.fetch("SELECT status, count(*) FROM pbx.calls GROUP BY 1 ORDER BY 1")
    assert {row["status"]: row["count"] for row in counts} == {"Answered": 16 * rounds, "User Abandon": 9 * rounds}
    open_rows = await office.database.fetchval("SELECT count(*) FROM pbx.offers WHERE outcome IS NULL")
    assert open_rows == 0
    await office.has_one_agent()


async def test_a_real_phone_shows_who_calls_and_either_side_can_end_the_call(office: Office, tmp_path: Path) -> None:
    account = phone_account(office)
    await office.agent_is("PJSIP/1001", ring_seconds=20)
    async with Baresip.start(office.stack.closure, tmp_path, account) as phone:
        for ended_by in ("agent", "user"):
            async with office.caller() as caller:
                ringing = await phone.ringing(timeout=PATIENCE)
                assert (ringing.peer_name, ringing.peer_number) == ("Zoë Z Müller", "+4915112345678")
                await ringing.answer()
                await office.record("connected")
                await (ringing.hang_up() if ended_by == "agent" else caller.hang_up())
                await ringing.closed(timeout=PATIENCE)
                await caller.is_hung_up()
            assert (await office.record())["ended_by"] == ended_by


@pytest.mark.parametrize(
    ("user", "status", "phrase", "outcome", "reason"),
    [
        ("1001", 603, "Decline", "rejected", "Agent 1001 rejected the call (cause 21)"),
        ("1001", 486, "Busy Here", "rejected", "Agent 1001 is busy (cause 17)"),
        ("1002", 480, "Temporarily Unavailable", "failed", "PJSIP/1002 is unreachable (cause 20)"),
        ("1003", 500, "Server Internal Error", "failed", "PJSIP/1003 is unreachable (cause 38)"),
    ],
)
async def test_a_phones_refusal_is_told_in_words(
    office: Office, tmp_path: Path, user: str, status: int, phrase: str, outcome: str, reason: str
) -> None:
    """A phone that failed is left alone for a while, so each failure has a phone of its own."""
    await office.agent_is(f"PJSIP/{user}", ring_seconds=20)
    refusal = sipp.refuse(status, phrase, after_ms=0)
    async with (
        SippPhone.start(office.stack.closure, tmp_path, phone_account(office, user), refusal),
        office.caller() as caller,
    ):
        await caller.is_hung_up()
    call = await office.record()
    assert (call["status"], call["reason"]) == ("Missed", reason)
    assert (await office.offer(call))["outcome"] == outcome


async def test_a_caller_who_leaves_stops_a_real_phone_from_ringing_within_a_second(
    office: Office, tmp_path: Path
) -> None:
    await office.agent_is("PJSIP/1001", ring_seconds=60)
    async with (
        SippPhone.start(office.stack.closure, tmp_path, phone_account(office), sipp.never_answer()) as phone,
        office.caller() as caller,
    ):
        await caller.agent_channel("Ringing")
        await caller.hang_up()
        await phone.saw("CANCEL", timeout=1)
    assert (await office.record())["status"] == "User Abandon"


def phone_account(office: Office, user: str = "1001") -> SipAccount:
    port = int(office.stack.asterisk.sip_address.rpartition(":")[2])
    return SipAccount(user, office.stack.asterisk.phones[user].password, port=port)
