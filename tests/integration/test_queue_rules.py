"""When callers wait, for whom, what they hear meanwhile, and when they are sent on, on a real Asterisk."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from ari_app.ari.events import ChannelDestroyed, PlaybackStarted
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.office import AGENTS, PATIENCE, Office, office_of

OTHER_NUMBER = "15550783882"


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    async with office_of(stack) as office:
        await office.group(join_empty="logged_in", leave_empty="logged_in", no_agent="hangup:sound:vm-goodbye")
        await office.database.execute("UPDATE pbx.routes SET groups_together = false, waiting_prompt = NULL")
        yield office


async def all_agents(office: Office, state: str) -> None:
    """Set what `pbx.agent_states` says of them."""
    await office.database.execute(f"UPDATE pbx.agent_states SET {state}")


async def test_after_the_longest_wait_the_caller_is_sent_on(office: Office) -> None:
    await office.group(join_empty="always", leave_empty="never", max_wait_seconds=5)
    async with office.caller():
        call = await office.record()
    assert call["path"] == ["group:Agents", "hangup:sound:vm-goodbye"]
    assert (call["status"], call["reason"]) == ("Missed", "Agents: the longest wait was over")
    waited = (call["ended_at"] - call["queued_at"]).total_seconds()
    assert 5.0 < waited < 9.0


@pytest.mark.parametrize(
    ("rule", "agents_are", "joins"),
    [
        ("always", "logged_in = false", True),
        ("logged_in", "logged_in = false", False),
        ("logged_in", "pause_reason = 'lunch'", True),
        ("available", "pause_reason = 'lunch'", False),
    ],
)
async def test_who_may_join_where_nobody_is(office: Office, rule: str, agents_are: str, joins: bool) -> None:
    await office.agents("Local/answer1@test-agents")
    await all_agents(office, agents_are)
    await office.group(join_empty=rule, leave_empty="never")
    async with office.caller() as caller:
        if joins:
            await office.record(state="queued")
            await caller.hangup(reason_code=16)
        call = await office.record()
    assert call["status"] == ("User Abandon" if joins else "Missed")
    assert ("nobody was there" in call["reason"]) is not joins


@pytest.mark.parametrize(
    ("rule", "change", "leaves"),
    [
        ("logged_in", "logged_in = false, pause_reason = NULL", True),
        ("available", "pause_reason = 'coffee'", True),
        ("never", "logged_in = false, pause_reason = NULL", False),
    ],
)
async def test_when_the_last_agent_goes_those_who_wait_are_sent_on(
    office: Office, rule: str, change: str, leaves: bool
) -> None:
    await office.agents("Local/ring1@test-agents")
    await office.group(join_empty="always", leave_empty=rule, ring_seconds=3)
    wrap_up = "available_after = now() + interval '1 hour'"
    await all_agents(office, wrap_up if rule == "available" else "pause_reason = 'lunch'")
    async with office.caller() as caller:
        await office.record(state="queued")
        await all_agents(office, change)
        if not leaves:
            await asyncio.sleep(0.5)
            assert (await office.record(state="queued"))["ended_at"] is None
            await caller.hangup(reason_code=16)
        call = await office.record()
    assert ("nobody was there" in call["reason"]) is leaves


async def test_the_waiting_prompt_comes_at_its_interval_and_the_wait_is_estimated(office: Office) -> None:
    await office.agents("Local/answer1@test-agents")
    async with office.caller("wacid.first"):
        await office.record("wacid.first", "connected")
    await all_agents(office, "pause_reason = 'lunch'")
    await office.group(announce_wait=True, waiting_interval_seconds=10)
    await office.database.execute("UPDATE pbx.routes SET waiting_prompt = 'sound:vm-goodbye'")
    try:
        with office.ari.events(PlaybackStarted) as events:
            async with office.caller("wacid.second"):
                joined = (await office.record("wacid.second", "queued"), time.monotonic())[1]
                heard: list[str] = []
                async with asyncio.timeout(PATIENCE):
                    async for event in events:
                        assert isinstance(event, PlaybackStarted)
                        heard.append(event.playback.media_uri)
                        if heard[-1] == "sound:vm-goodbye":
                            break
                assert 9.0 < time.monotonic() - joined < 19.0  # the estimate is spoken first
        assert [sound for sound in heard if sound != "sound:beep"][:3] == [
            "sound:queue-holdtime",
            "number:1",
            "sound:queue-minute",
        ]
    finally:
        await office.group(announce_wait=False, waiting_interval_seconds=45)


async def test_groups_together_are_asked_at_once(office: Office) -> None:
    await office.agents("Local/ring1@test-agents")
    await office.group("Second", ring_seconds=3)
    await office.agents("Local/ring2@test-agents", group="Second")
    await office.database.execute("UPDATE pbx.groups SET strategy = 'ring_all', ring_seconds = 30")
    await office.database.execute(
        "INSERT INTO pbx.route_groups SELECT number, 2, 'Second' FROM pbx.routes WHERE number = $1",
        office.stack.number.display_number,
    )
    await office.database.execute("UPDATE pbx.routes SET groups_together = true")
    async with office.caller():
        async with asyncio.timeout(PATIENCE):
            while len(offers := await office.offers()) < 2:
                await asyncio.sleep(0.02)
        assert (await office.record(state="ringing"))["path"] == ["group:Agents"]
    assert {(offer["name"], offer["group_name"]) for offer in offers} == {
        ("Agent ring1", "Agents"),
        ("Agent ring2", "Second"),
    }
    assert abs((offers[0]["started_at"] - offers[1]["started_at"]).total_seconds()) < 0.3


async def test_in_a_storm_calls_of_the_more_important_number_are_served_first(office: Office) -> None:
    await office.agents("Local/short1@test-agents", "Local/short2@test-agents")
    await office.database.execute("UPDATE pbx.group_members SET priority = 1")
    await office.database.execute(
        "INSERT INTO pbx.routes (number, priority, entry_prompt, recording, calling_enabled) "
        "VALUES ($1, 1, 'sound:beep', false, true) "
        "ON CONFLICT DO NOTHING",
        OTHER_NUMBER,
    )
    await office.database.execute(
        "INSERT INTO pbx.route_groups VALUES ($1, 1, 'Agents') ON CONFLICT DO NOTHING", OTHER_NUMBER
    )

    async def one_call(index: int, number: str) -> None:
        async with office.caller(f"wacid.{index}", number) as caller:
            await caller.wait_for(ChannelDestroyed, timeout=60)

    async with asyncio.TaskGroup() as group:
        for index in range(14):
            group.create_task(one_call(index, OTHER_NUMBER if index % 2 else ""))
    await office.is_empty()
    rows = await office.database.fetch("SELECT number, queued_at, connected_at, status FROM pbx.calls")
    assert {row["status"] for row in rows} == {"Answered"}
    assert len(rows) == 14
    overtaken = await office.database.fetchval(
        """SELECT count(*) FROM pbx.calls a JOIN pbx.calls b ON a.number = $1 AND b.number <> $1
            WHERE b.connected_at > a.queued_at + interval '0.7 s'
              AND b.connected_at < a.connected_at - interval '0.7 s'""",
        OTHER_NUMBER,
    )
    assert overtaken == 0, "somebody of the other number was served while a more important caller waited"
