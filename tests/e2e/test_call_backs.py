"""Users who have allowed nothing are invited, and agents are called back; and calls that commands order."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ari_app.runtime.stack import Stack
from tests.e2e.calling import PATIENCE, Office, office_of, talking, tone
from whatsapp_bridge.simulator.consent_models import Answer, Grant
from whatsapp_bridge.simulator.models import Behaviour


@pytest.fixture
async def office(stack: Stack, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_of(stack, tmp_path) as office:
        yield office


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
