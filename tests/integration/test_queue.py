"""Groups of agents on a real Asterisk: who is rung, what phones show, and a storm of callers."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from ari_app.ari.events import (
    ChannelDestroyed,
    ChannelEnteredBridge,
    PlaybackFinished,
    PlaybackStarted,
)
from ari_app.runtime import sipp
from ari_app.runtime.sipp import SippPhone
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.agents import AgentStore
from ari_app.store.database import Database
from tests.integration.office import AGENTS, PATIENCE, Office, office_of


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    async with office_of(stack) as office:
        yield office


async def test_when_one_agent_rejects_the_next_one_rings_at_once_and_the_first_is_not_asked_again(
    office: Office,
) -> None:
    await office.agents("Local/reject1@test-agents", "Local/answer2@test-agents")
    async with office.caller():
        call = await office.record(state="connected")
    first, second = await office.offers()
    assert [(o["name"], o["outcome"], o["group_name"]) for o in (first, second)] == [
        ("Agent reject1", "rejected", "Agents"),
        ("Agent answer2", "answered", "Agents"),
    ]
    assert second["started_at"] - first["ended_at"] <= timedelta(milliseconds=300)
    assert call["agent_id"] == second["agent_id"]
    assert (await office.record())["status"] == "Answered"


async def test_an_agent_who_does_not_answer_has_missed_the_call_and_after_so_many_misses_a_pause(
    office: Office,
) -> None:
    await office.agents("Local/ring1@test-agents", "Local/answer2@test-agents")
    await office.group(auto_pause_misses=1)
    async with office.caller():
        await office.record(state="connected")
    assert [(o["name"], o["outcome"]) for o in await office.offers()] == [
        ("Agent ring1", "missed"),
        ("Agent answer2", "answered"),
    ]
    pause = await office.database.fetchval("SELECT pause_reason FROM pbx.agent_states WHERE pause_reason IS NOT NULL")
    assert pause == "missed 1 calls in a row"


async def test_when_all_refuse_the_caller_goes_where_the_group_says_and_then_to_the_next_group(
    office: Office,
) -> None:
    await office.agents("Local/reject1@test-agents")
    await office.group("Second")
    await office.agents("Local/answer2@test-agents", group="Second")
    await office.database.execute("INSERT INTO pbx.route_groups SELECT number, 2, 'Second' FROM pbx.routes")
    async with office.caller():
        await office.record(state="connected")
    assert [(o["outcome"], o["group_name"]) for o in await office.offers()] == [
        ("rejected", "Agents"),
        ("answered", "Second"),
    ]
    assert (await office.record())["path"] == ["group:Agents", "group:Second"]


async def test_a_waiting_caller_leaves_by_the_exit_digit(office: Office) -> None:
    await office.agents("Local/ring1@test-agents")
    await office.group(ring_seconds=60, exit_digit="1", exit_to="hangup:sound:vm-goodbye")
    async with office.caller() as caller:
        await office.record(state="ringing")
        await caller.send_dtmf("1")
        call = await office.record()
    assert call["path"] == ["group:Agents", "digit:1", "hangup:sound:vm-goodbye"]
    assert [o["outcome"] for o in await office.offers()] == ["cancelled"]


async def test_of_many_phones_that_ring_the_slower_ones_show_no_missed_call(office: Office, tmp_path: Path) -> None:
    """Cause 26: answered elsewhere. On the CANCEL it is RFC 3326's "Call completed elsewhere", SIP;cause=200."""
    await office.agents("PJSIP/1001", "PJSIP/1002")
    await office.database.execute("UPDATE pbx.group_members SET priority = 1")
    await office.group(strategy="ring_all", ring_seconds=20)
    async with (
        SippPhone.start(office.stack.closure, tmp_path / "1", office.account("1001"), sipp.answer(after_ms=700)) as one,
        SippPhone.start(office.stack.closure, tmp_path / "2", office.account("1002"), sipp.never_answer()) as two,
    ):
        with office.ari.events(ChannelDestroyed) as events:
            async with office.caller():
                await two.saw("INVITE")
                await one.saw("ACK")
                await two.saw("Reason cause=200", timeout=2)  # SIP;cause=200;text="Call completed elsewhere"
                await two.saw("CANCEL", timeout=2)
                await office.record(state="connected")
                event = await events.wait_for(
                    ChannelDestroyed,
                    timeout=PATIENCE,
                    where=lambda event: event.channel.name.startswith("PJSIP/1002"),
                )
    assert event.cause == 26
    assert {o["name"]: o["outcome"] for o in await office.offers()} == {
        "Agent 1001": "answered",
        "Agent 1002": "cancelled",
    }


async def test_the_caller_hears_the_position_and_the_agent_a_whisper_before_they_are_joined(office: Office) -> None:
    await office.agents("Local/answer1@test-agents")
    await office.group(announce_position=True, whisper="sound:vm-goodbye")
    try:
        with office.ari.events(PlaybackStarted, PlaybackFinished, ChannelEnteredBridge) as events:
            async with office.caller() as caller:
                await office.record(state="connected")
                heard: list[str] = []
                async with asyncio.timeout(PATIENCE):
                    async for event in events:
                        if isinstance(event, PlaybackStarted):
                            heard.append(event.playback.media_uri)
                        elif isinstance(event, PlaybackFinished):
                            heard.append("end of " + event.playback.media_uri)
                        elif isinstance(event, ChannelEnteredBridge) and event.bridge.name.startswith(
                            "asterisk-whatsapp:"
                        ):
                            break
                assert caller.id
    finally:
        await office.group(announce_position=False)
    assert {"sound:queue-youarenext", "sound:vm-goodbye", "end of sound:vm-goodbye"} <= set(heard)
    assert len([what for what in heard if what.startswith("end of ")]) == len(heard) // 2, "something plays on"


async def test_a_whatsapp_call_is_not_offered_to_an_agent_who_may_be_on_the_telephone_network(
    office: Office,
) -> None:
    await office.agents("Local/answer1@test-agents")
    await office.database.execute("UPDATE pbx.agents SET voip_only = false")
    async with office.caller() as caller:
        await caller.wait_for(ChannelDestroyed, timeout=PATIENCE)
    call = await office.record()
    assert call["status"] == "Missed"
    assert "the PSTN guard keeps WhatsApp calls from agent Agent answer1" in call["reason"]
    assert not await office.offers()


@pytest.mark.timeout(180)
async def test_in_a_storm_nobody_is_offered_two_calls_and_order_is_kept(office: Office) -> None:
    await office.agents(*(f"Local/short{n}@test-agents" for n in range(5)))
    await office.database.execute("UPDATE pbx.group_members SET priority = 1")
    await office.group(strategy="longest_idle")

    async def one_call(number: int) -> None:
        async with office.caller(f"wacid.{number}") as caller:
            await caller.wait_for(ChannelDestroyed, timeout=90)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(one_call(number))
    await office.is_empty()
    statuses = await office.database.fetch("SELECT status, count(*) FROM pbx.calls GROUP BY 1")
    assert {row["status"]: row["count"] for row in statuses} == {"Answered": 30}
    doubled = await office.database.fetchval(
        """
        SELECT count(*) FROM pbx.offers a JOIN pbx.calls ca ON ca.id = a.call_id
                   JOIN pbx.offers b ON b.agent_id = a.agent_id AND b.id <> a.id
            WHERE b.started_at > a.started_at
              AND b.started_at + interval '0.3 s'
                  < CASE a.outcome WHEN 'answered' THEN ca.ended_at ELSE a.ended_at END"""
    )
    assert doubled == 0
    late = await office.database.fetchval(
        """SELECT count(*) FROM pbx.calls a JOIN pbx.calls b ON b.queued_at > a.queued_at + interval '0.5 s'
            WHERE b.connected_at < a.connected_at - interval '0.5 s'"""
    )
    assert late == 0, "somebody who came later was served first"
    assert time.monotonic() - begun < 60


async def test_two_applications_cannot_reserve_the_same_agent(database: str) -> None:
    async with Database(database) as one, Database(database) as two, one.connection() as connection:
        agents = [
            row["id"]
            for row in await connection.fetch(
                "INSERT INTO pbx.agents (name, endpoint) SELECT 'A' || n, 'PJSIP/' || n"
                " FROM generate_series(1, 40) n RETURNING id"
            )
        ]
        stores = [AgentStore(one), AgentStore(two)]
        for _ in range(5):
            calls = [uuid.uuid4(), uuid.uuid4()]
            got = await asyncio.gather(
                *(
                    store.reserve([(agent, call) for agent in agents[:: 1 - 2 * index]])
                    for index, (store, call) in enumerate(zip(stores, calls, strict=True))
                )
            )
            assert not got[0] & got[1]
            rows = await connection.fetch("SELECT agent_id, call_id FROM pbx.agent_states WHERE call_id IS NOT NULL")
            assert {row["agent_id"]: row["call_id"] for row in rows} == (
                dict.fromkeys(got[0], calls[0]) | dict.fromkeys(got[1], calls[1])
            )
            await stores[0].clear_ended()
