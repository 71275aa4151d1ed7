"""An agent calls WhatsApp users from a SIP phone: real Asterisk, phone, bridge and application, and a strict Meta."""

import asyncio
import contextlib
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ari_app.media.measure import dominant_tone, find_speech
from ari_app.media.speech import sentence
from ari_app.media.wav import Sound as Heard
from ari_app.media.wav import read_wav, sine
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack, StackOptions
from whatsapp_bridge.simulator.client import PhoneCall as UsersCall
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.consent_models import Answer, Grant
from whatsapp_bridge.simulator.models import Behaviour, PlaceCall, UserPlan
from whatsapp_bridge.simulator.phone import Sound, Tone

PATIENCE = 20.0
"Longer than anything here takes on a busy machine, s."

#: Twenty desks whose phones are Local channels: they dial at the same moment.
DESKS = """
[desks]
exten => _dX.,1,Answer()
 same => n,Wait(60)
"""


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(extra_dialplan=DESKS)


@dataclass
class Office:
    """An agent with a phone, users at Meta, and what is written of both."""

    stack: Stack
    db: "asyncpg.Connection[asyncpg.Record]"
    meta: SimulatorClient
    consent: ConsentClient
    phone: Baresip
    folder: Path
    user: str
    "Another one for each test: what a user allowed stays."

    async def plan(self, **plan: Any) -> None:
        """What the user does; 300 ms to the answer."""
        await self.meta.plan_user(
            UserPlan(number=self.user, **{"name": "Ada", "answer_ms": 300, "on_request": "ignore", **plan})
        )

    async def users_call(self) -> UsersCall:
        """The call on the user's phone, as soon as there is one."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for call in await self.meta.calls():
                    if call["user"] == self.user:
                        return await self.meta.call(call["id"])
                await asyncio.sleep(0.02)

    async def record(self, state: str = "ended", **wanted: object) -> dict[str, Any]:
        """The newest call with this user, as soon as it is so."""
        query = "SELECT * FROM pbx.calls WHERE caller_number = $1 ORDER BY received_at DESC LIMIT 1"
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.db.fetchrow(query, f"+{self.user}")
                if row is not None and row["state"] == state and all(row[k] == v for k, v in wanted.items()):
                    return dict(row)
                await asyncio.sleep(0.02)

    async def value(self, query: str, *arguments: object, wanted: object) -> None:
        """Wait until a query has this value."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.db.fetchval(query, *arguments)) != wanted:
                await asyncio.sleep(0.02)
        assert found == wanted

    async def dial_and_listen(self, number: str) -> Heard:
        """What the phone plays until Asterisk hangs up."""
        call = await self.phone.dial(number)
        await call.closed(timeout=PATIENCE)
        return read_wav(max(self.folder.glob("heard-*.wav"), key=lambda path: path.stat().st_mtime))

    async def dial_and_leave(self, number: str) -> None:
        """Hang up as soon as somebody speaks."""
        call = await self.phone.dial(number)
        await call.established(timeout=PATIENCE)
        await call.hang_up()

    def says(self, heard: Heard, *words: str) -> bool:
        sounds = self.stack.closure.asterisk_data / "sounds/en"
        return all(find_speech(sentence(sounds, (word,)), heard).found for word in words)


@contextlib.asynccontextmanager
async def office_of(stack: Stack, folder: Path) -> AsyncIterator[Office]:
    account = SipAccount("1001", stack.asterisk.phones["1001"].password, port=stack.asterisk.sip_port)
    db = await asyncpg.connect(stack.dsn)
    try:
        async with (
            Baresip.start(stack.closure, folder, account) as phone,
            SimulatorClient(stack.simulator_url) as meta,
        ):
            user = f"49151{uuid.uuid4().int % 10**8:08}"
            yield Office(stack, db, meta, ConsentClient(meta), phone, folder, user)
            for left in await meta.calls():
                if left["state"] != "ended":
                    await (await meta.call(left["id"])).end()
    finally:
        await db.execute("UPDATE pbx.agent_states SET available_after = NULL")
        await db.close()


@pytest.fixture
async def office(stack: Stack, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_of(stack, tmp_path) as office:
        yield office


def tone(hz: int) -> Sound:
    return Sound(tone=Tone(hz=hz, dbfs=-20))


async def talking(office: Office) -> UsersCall:
    """Both are connected."""
    users = await office.users_call()
    await users.wait(state="connected", timeout=PATIENCE)
    await office.record("connected")
    return users


async def test_an_agent_calls_a_user_and_they_talk(office: Office) -> None:
    await office.plan(play=tone(1000), answer_ms=600)
    await office.phone.say(sine(700, 1, 48_000, -20), repeat=True)
    call = await office.phone.dial(f"8{office.user}")
    await office.phone.wait_for("CALL_RINGING", call=call, timeout=PATIENCE)
    ringing = await office.record("ringing")
    assert ringing["direction"] == "outbound"
    users = await talking(office)
    agent = await office.db.fetchrow("SELECT * FROM pbx.agent_states")
    assert agent is not None
    assert agent["call_id"] == ringing["id"], "no call of a queue is offered now"
    await users.wait(packets_in=60, timeout=PATIENCE)
    await call.hang_up()
    facts = await users.wait(closed=True, timeout=PATIENCE)
    assert facts["ended_by"] == "business"
    assert not facts["early_media"]
    assert dominant_tone(read_wav(Path(facts["recording"]["path"]))).frequency_hz == pytest.approx(700, abs=5)
    row = await office.record(status="Answered")
    assert (row["number"], row["channel_type"], row["ended_by"], row["reason"]) == (
        office.stack.number.display_number,
        "WhatsApp Call",
        "agent",
        "Agent 1001 hung up",
    )
    assert row["whatsapp_call_id"] == users.id
    assert row["agent_id"] == agent["agent_id"]
    await office.value("SELECT call_id IS NULL AND available_after > now() FROM pbx.agent_states", wanted=True)
    await call.closed(timeout=PATIENCE)
    assert dominant_tone(read_wav(call.recording.path)).frequency_hz == pytest.approx(1000, abs=5)
    await office.value("SELECT seconds > 0.5 FROM pbx.recordings WHERE call_id = $1", row["id"], wanted=True)
    cdr = await office.db.fetch(
        "SELECT channel_type, whatsapp_call_id FROM cdr.cdr WHERE linkedid = $1", row["linkedid"]
    )
    assert ("WhatsApp Call", users.id) in [tuple(line) for line in cdr]
    await office.value(
        "SELECT concat_ws(', ', direction, status, agent, user_number, ended_by, meta_call_id, talk_seconds <= 20)"
        "  FROM reports.call_records WHERE linkedid = $1",
        row["linkedid"],
        wanted=f"outbound, Answered, Agent 1001, {office.user}, agent, {users.id}, t",
    )


@pytest.mark.parametrize(
    ("plan", "status", "ended_by"),
    [
        ({"answer": "reject"}, "Declined", "user"),
        ({"answer": "ignore", "behaviour": Behaviour(ring_s=1)}, "No Answer", "system"),
        ({"callable": False}, "Failed", "system"),
    ],
)
async def test_a_user_does_not_take_the_call(office: Office, plan: dict[str, Any], status: str, ended_by: str) -> None:
    await office.plan(**plan)
    call = await office.phone.dial(f"8{office.user}")
    await call.closed(timeout=PATIENCE)
    row = await office.record(status=status)
    assert (row["ended_by"], row["connected_at"], row["refusal"]) == (ended_by, None, None)
    if status == "Failed":
        assert "138001" in row["reason"]
    await office.value("SELECT call_id IS NULL FROM pbx.agent_states", wanted=True)
    await office.value(
        "SELECT concat_ws(', ', status, agent, user_number, answered_at IS NULL)"
        "  FROM reports.call_records WHERE linkedid = $1",
        row["linkedid"],
        wanted=f"{status}, Agent 1001, {office.user}, t",
    )


async def test_a_user_hangs_up(office: Office) -> None:
    await office.plan()
    call = await office.phone.dial(f"8{office.user}")
    users = await talking(office)
    await users.hang_up()
    await call.closed(timeout=PATIENCE)
    row = await office.record(status="Answered")
    assert (row["ended_by"], row["reason"]) == ("user", "the user hung up")


async def test_an_agent_who_hangs_up_while_it_rings_stops_the_users_phone(office: Office) -> None:
    await office.plan(answer="ignore")
    call = await office.phone.dial(f"8{office.user}")
    await office.phone.wait_for("CALL_RINGING", call=call, timeout=PATIENCE)
    users = await office.users_call()
    await call.hang_up()
    facts = await users.wait(state="ended", timeout=5)
    assert facts["ended_by"] == "business"
    row = await office.record(status="Cancelled")
    assert (row["ended_by"], row["reason"]) == ("agent", "the agent hung up while the user's phone was ringing")


async def test_invited_accepted_called_back(office: Office) -> None:
    """The user has allowed nothing: the agent hears so, and is rung when the user accepts; then they talk."""
    await office.plan(permission=False, play=tone(900))
    heard = await office.dial_and_listen(f"8{office.user}")
    assert office.says(heard, "im-sorry", "vm-msgforwarded")
    refused = await office.record(status="Failed")
    assert refused["refusal"] == "invited"
    assert "an invitation was sent" in refused["reason"]
    await office.value("SELECT state FROM whatsapp.permission_requests WHERE user_key = $1", office.user, wanted="sent")

    await office.consent.answer(Answer(user=office.user, response="accept"))
    call = await office.phone.ringing(timeout=PATIENCE)
    assert call.peer_number.removeprefix("+") == office.user
    await call.answer()
    users = await talking(office)
    await users.wait(packets_in=30, timeout=PATIENCE)
    await call.hang_up()
    row = await office.record(status="Answered")
    assert row["id"] != refused["id"]
    query = "SELECT state FROM pbx.call_requests WHERE call_id = $1 AND origin = 'permission'"
    await office.value(query, row["id"], wanted="done")
    await office.value("SELECT count(*) FROM whatsapp.permission_requests WHERE user_key = $1", office.user, wanted=1)


async def test_an_invitation_that_is_declined_rings_nobody(office: Office) -> None:
    await office.plan(permission=False)
    await office.dial_and_leave(f"8{office.user}")
    await office.value("SELECT state FROM whatsapp.permission_requests WHERE user_key = $1", office.user, wanted="sent")
    await office.consent.answer(Answer(user=office.user, response="decline"))
    query = "SELECT state FROM whatsapp.permission_requests WHERE user_key = $1"
    await office.value(query, office.user, wanted="declined")
    assert await office.db.fetchval("SELECT count(*) FROM pbx.call_requests WHERE user_key = $1", office.user) == 0
    await office.dial_and_leave(f"8{office.user}")
    row = await office.record(refusal="request_limit")
    assert "takes no further invitation" in row["reason"]


async def test_an_agent_who_does_not_want_it_is_not_called_back(office: Office) -> None:
    await office.plan(permission=False)
    try:
        assert office.says(await office.dial_and_listen("*66"), "de-activated")
        await office.dial_and_leave(f"8{office.user}")
        query = "SELECT state FROM whatsapp.permission_requests WHERE user_key = $1"
        await office.value(query, office.user, wanted="sent")
        await office.consent.answer(Answer(user=office.user, response="accept"))
        await office.value(query, office.user, wanted="accepted")
        assert await office.db.fetchval("SELECT count(*) FROM pbx.call_requests WHERE user_key = $1", office.user) == 0
    finally:
        assert office.says(await office.dial_and_listen("*65"), "activated")
    assert await office.db.fetchval("SELECT call_back FROM pbx.agents")


async def test_an_expired_permission_is_none(office: Office) -> None:
    await office.plan(permission=False)
    await office.consent.grant(Grant(user=office.user, status="temporary", seconds=1.0))
    await asyncio.sleep(1.1)  # what this test is about
    await office.dial_and_leave(f"8{office.user}")
    await office.record(status="Failed", refusal="invited")


async def test_outside_the_hours_nobody_is_called_back_and_it_expires(office: Office) -> None:
    await office.db.execute("INSERT INTO pbx.schedules VALUES ('Never', 'UTC') ON CONFLICT DO NOTHING")
    await office.db.execute("UPDATE pbx.routes SET schedule = 'Never'")
    try:
        request = await office.db.fetchval(
            "INSERT INTO pbx.call_requests (agent_id, number, user_key, origin, requested_by, not_after) "
            "SELECT id, $1, $2, 'permission', 'test', now() + interval '1 second' FROM pbx.agents RETURNING id",
            office.stack.number.display_number,
            office.user,
        )
        await asyncio.sleep(1.1)  # what this test is about
        await office.db.execute("SELECT pg_notify('pbx_wanted', 'call_request:')")
        await office.value("SELECT state FROM pbx.call_requests WHERE id = $1", request, wanted="expired")
        assert not [call for call in office.phone.calls if call.direction == "incoming"], "no phone rang"
    finally:
        await office.db.execute("UPDATE pbx.routes SET schedule = NULL")


@pytest.mark.parametrize(("hours", "shown"), [("148.5", "Ada · 6d 4h"), (None, "Ada")])
async def test_an_agent_sees_how_long_a_caller_may_still_be_called(
    office: Office, hours: str | None, shown: str
) -> None:
    await office.db.execute("UPDATE pbx.routes SET permission_prompt = true, entry_prompt = 'sound:beep'")
    await office.db.execute(
        "INSERT INTO whatsapp.permissions (phone_number_id, user_key, status, expires_at) "
        "VALUES ($1, $2, CASE WHEN $3::text IS NULL THEN 'none' ELSE 'temporary' END, now() + $3::text::interval)",
        office.stack.number.phone_number_id,
        office.user,
        None if hours is None else f"{hours} hours",
    )
    try:
        users = await office.meta.place(PlaceCall(from_=office.user, name="Ada"))
        call = await office.phone.ringing(timeout=PATIENCE)
        assert call.peer_name == shown
        await users.hang_up()
    finally:
        await office.db.execute("UPDATE pbx.routes SET permission_prompt = false")
    assert (await office.record())["caller_name"] == "Ada"


@dataclass
class Command:
    """`asterisk-whatsapp <name> --config …` in a process of its own."""

    stack: Stack

    async def run(self, name: str, *arguments: str) -> tuple[int, str]:
        """Exit status, and what it said."""
        process = await asyncio.create_subprocess_exec(
            *(
                str(Path(sys.executable).with_name("asterisk-whatsapp")),
                name,
                "--config",
                str(self.stack.config),
                *arguments,
            ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
        return process.returncode or 0, output.decode().strip()


async def test_a_command_lets_an_agent_call(office: Office) -> None:
    await office.plan(behaviour=Behaviour(hangup_after_ms=500))
    command = asyncio.create_task(Command(office.stack).run("call", "--agent", "1001", "--to", office.user, "--wait"))
    call = await office.phone.ringing(timeout=PATIENCE)
    assert call.peer_number.removeprefix("+") == office.user
    await call.answer()
    status, said = await command
    assert (status, said.splitlines()[-1]) == (0, "Answered: the user hung up.")
    assert (await office.record())["status"] == "Answered"


async def test_a_command_tells_why_a_call_does_not_come_about(office: Office) -> None:
    command = Command(office.stack)
    assert await command.run("call", "--agent", "1001", "--to", "+5352345678") == (
        3,
        "Refused (customer_country): customers in CU may not be called (+5352345678).",
    )
    assert await command.run("call", "--agent", "nobody", "--to", office.user) == (
        1,
        "asterisk-whatsapp: There is no agent nobody: give an extension, an endpoint or a name.",
    )
    waiting = asyncio.create_task(command.run("call", "--agent", "1001", "--to", office.user, "--wait"))
    await (await office.phone.ringing(timeout=PATIENCE)).reject()
    status, said = await waiting
    assert (status, said.splitlines()[-1]) == (3, "Failed: Agent 1001 is busy or rejected the call (cause 17).")


async def test_a_command_invites_a_user(office: Office) -> None:
    await office.plan(permission=False, on_request="accept", on_request_ms=0)
    command = Command(office.stack)
    status, said = await command.run("invite", "--to", office.user)
    assert (status, said) == (0, f"Invited: +{office.user} has not allowed calls; an invitation was sent.")
    query = "SELECT state FROM whatsapp.permission_requests WHERE user_key = $1 AND agent_id IS NULL"
    await office.value(query, office.user, wanted="accepted")
    assert await office.db.fetchval("SELECT count(*) FROM pbx.call_requests WHERE user_key = $1", office.user) == 0
    status, said = await command.run("invite", "--to", office.user)
    assert status == 3
    assert said.startswith(f"+{office.user} allows calls already (")
