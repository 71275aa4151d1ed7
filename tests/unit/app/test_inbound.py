"""An incoming call from the caller's and the agent's point of view, with a PBX that does what the test
says.
"""

import asyncio
import itertools
import logging

import pytest

from ari_app.calls.call import Call, ChannelType, State
from ari_app.calls.ending import EndedBy, Status
from ari_app.calls.offer import Outcome
from ari_app.flows import journal

from .conftest import NUMBER, House, group


def summary(call: Call) -> tuple[Status, EndedBy, str]:
    assert call.state is State.ENDED
    assert call.ending is not None
    return call.ending.status, call.ending.ended_by, call.ending.reason


async def nothing_is_left(house: House) -> None:
    assert house.pbx.alive == set()
    assert house.pbx.bridges == set()
    async with asyncio.timeout(2):
        while house.agents.reserved or house.queue.waiting:
            await asyncio.sleep(0.01)
    assert house.client.subscriptions == house.own_subscriptions


async def test_a_call_is_answered_joined_and_ended_by_the_agent(house: House) -> None:
    serving = asyncio.create_task(house.serve())
    await joined(house)
    (agent,) = house.pbx.agents
    await house.pbx.hang_up(agent, 16)
    call = await serving
    assert summary(call) == (Status.ANSWERED, EndedBy.AGENT, "Agent 1001 hung up")
    assert house.pbx.causes["caller"] == 16
    assert house.pbx.prompts == ["sound:entry"]
    assert house.offer.outcome is Outcome.ANSWERED
    states = [state for state, _ in itertools.groupby(c.state for c in house.store.calls)]
    assert states == ["received", "queued", "ringing", "connected", "ended"]
    assert call.path == ("group:Agents",)
    await nothing_is_left(house)


async def test_a_call_is_ended_by_the_caller(house: House) -> None:
    serving = asyncio.create_task(house.serve())
    await joined(house)
    (agent,) = house.pbx.agents
    await house.pbx.hang_up("caller", 16)
    assert summary(await serving) == (Status.ANSWERED, EndedBy.USER, "the caller hung up")
    assert house.pbx.causes[agent] == 16
    await nothing_is_left(house)


async def joined(house: House) -> None:
    async with asyncio.timeout(5):
        while not (house.store.calls and house.store.calls[-1].state is State.CONNECTED):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("agent_does", "outcome", "reason"),
    [
        ("rejects", Outcome.REJECTED, "Agent 1001 rejected the call (cause 21)"),
        ("is busy", Outcome.REJECTED, "Agent 1001 is busy (cause 17)"),
        ("is unregistered", Outcome.FAILED, "PJSIP/1001 is unreachable (cause 20)"),
        ("rings", Outcome.MISSED, "Agent 1001 did not answer in 1 s"),
        ("is silent", Outcome.FAILED, "PJSIP/1001 did not ring within 1 s (cause 18)"),
        ("hangs up at once", Outcome.FAILED, "Agent 1001 hung up before the call was joined"),
    ],
)
async def test_a_caller_whom_nobody_takes_is_told_so_and_the_record_says_why(
    house: House, agent_does: str, outcome: Outcome, reason: str
) -> None:
    house.pbx.agent_does = agent_does
    house.groups.groups["Agents"] = group(ring_seconds=1)
    call = await house.serve()
    assert summary(call) == (Status.MISSED, EndedBy.SYSTEM, reason)
    assert house.pbx.prompts == ["sound:entry", "sound:nobody"]
    assert (house.offer.outcome, house.offer.reason) == (outcome, reason)
    await nothing_is_left(house)


@pytest.mark.parametrize("agent_does", ["answers", "rings", "rejects", "is unregistered"])
@pytest.mark.parametrize("leave_at", range(1, 15))
async def test_a_caller_may_hang_up_at_any_moment(house: House, agent_does: str, leave_at: int) -> None:
    """Before the n-th request is answered, for every n: nothing rings on, nothing is left, the record is
    right.
    """
    house.pbx.agent_does = agent_does
    house.pbx.leave_at = leave_at
    house.groups.groups["Agents"] = group(ring_seconds=1)
    serving = asyncio.create_task(house.serve())
    if agent_does == "answers":
        await asyncio.wait([serving], timeout=0.3)
        await house.pbx.hang_up("caller", 16)
    async with asyncio.timeout(10):
        call = await serving
    outcomes = {offer.outcome for offer in house.store.offers.values()}
    status, ended_by, reason = summary(call)
    if call.connected_at is not None:
        assert status is Status.ANSWERED
    elif outcomes & {Outcome.REJECTED, Outcome.MISSED, Outcome.FAILED}:
        assert status in {Status.MISSED, Status.USER_ABANDON}
    else:
        assert status is Status.USER_ABANDON
    assert None not in outcomes
    if status is not Status.MISSED:
        assert ended_by is EndedBy.USER
    if status is Status.USER_ABANDON:
        assert reason.startswith("the caller hung up")
    await nothing_is_left(house)


async def test_while_ringing_the_agents_phone_stops_at_once_and_the_offer_is_cancelled(
    house: House,
) -> None:
    house.pbx.agent_does = "rings"
    serving = asyncio.create_task(house.serve())
    async with asyncio.timeout(5):
        while not house.pbx.agents:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    begun = asyncio.get_running_loop().time()
    await house.pbx.hang_up("caller", 16)
    call = await serving
    assert asyncio.get_running_loop().time() - begun < 1.0
    assert summary(call) == (
        Status.USER_ABANDON,
        EndedBy.USER,
        "the caller hung up while Agent 1001 was ringing",
    )
    assert house.offer.outcome is Outcome.CANCELLED
    await nothing_is_left(house)


async def test_a_number_without_a_route_gets_a_polite_prompt(house: House) -> None:
    call = await house.serve("voice", "999")
    assert summary(call) == (Status.FAILED, EndedBy.SYSTEM, "no route for number 999")
    assert house.pbx.prompts == ["sound:ss-noservice"]
    await nothing_is_left(house)


async def test_a_whatsapp_call_is_recorded_as_one(house: House) -> None:
    variables = {
        "CHANNEL(linkedid)": "linked.9",
        "WHATSAPP_FROM": "4915112345678",
        "WHATSAPP_NAME": 'Zoë "Z" \u202eevil',
    }

    async def variable(request: object) -> tuple[int, object]:
        name = request.query["variable"]  # type: ignore[attr-defined]
        return 200, {"value": variables[name]}

    house.ari.handle("GET", "/channels/caller/variable", variable)
    house.pbx.agent_does = "rejects"
    call = await house.serve("whatsapp", "wacid.ABC==")
    assert (call.channel_type, call.number, call.linkedid) == (ChannelType.WHATSAPP, NUMBER, "linked.9")
    assert call.whatsapp_call_id == "wacid.ABC=="
    assert (call.caller.number, call.caller.name) == ("+4915112345678", "Zoë Z evil")
    (create,) = [request for request in house.ari.requests if request.path == "/channels/create"]
    assert create.query["originator"] == "caller"
    told = {
        request.query["variable"]: request.query["value"]
        for request in house.ari.requests
        if (request.method, request.path) == ("POST", "/channels/caller/variable")
    }
    assert told == {"CALLERID(num)": "+4915112345678", "CALLERID(name)": "Zoë Z evil"}


async def test_when_postgresql_goes_away_the_call_goes_on_and_is_recorded_later(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal, "LAST_WRITE_PAUSE", 0.05)
    serving = asyncio.create_task(house.serve())
    await joined(house)
    house.store.calls.clear()
    house.store.away = True
    await house.pbx.hang_up("caller", 16)
    await asyncio.sleep(0.3)
    assert house.pbx.alive == set()
    assert house.store.calls == []
    house.store.away = False
    call = await serving
    assert summary(house.store.calls[-1]) == (Status.ANSWERED, EndedBy.USER, "the caller hung up")
    assert str(call.id) in caplog.text


async def test_without_postgresql_a_caller_is_told_that_it_does_not_work(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LAST_WRITE_PAUSE", 0.05)
    house.store.away = True
    serving = asyncio.create_task(house.serve())
    await asyncio.sleep(0.3)
    assert house.pbx.prompts == ["sound:sorry-youre-having-problems"]
    house.store.away = False
    assert summary(await serving) == (Status.FAILED, EndedBy.SYSTEM, "the routes could not be read")


async def test_asterisk_not_answering_ends_the_call_and_says_so(house: House) -> None:
    house.ari.answer("POST", "/channels/caller/answer", status=500, message="Internal error")
    status, ended_by, reason = summary(await house.serve())
    assert (status, ended_by) == (Status.FAILED, EndedBy.SYSTEM)
    assert "Internal error" in reason
    await nothing_is_left(house)


async def test_a_fault_of_ours_ends_that_call_only_and_is_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(number: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(house.store, "find", broken)
    with caplog.at_level(logging.ERROR):
        call = await house.serve()
    assert summary(call) == (Status.FAILED, EndedBy.SYSTEM, "internal error (ZeroDivisionError)")
    assert str(call.id) in caplog.text
    await nothing_is_left(house)


@pytest.mark.parametrize("wait", [0.0, 0.02, 0.1, 0.3])
async def test_stopping_the_application_ends_the_call_at_any_moment(house: House, wait: float) -> None:
    serving = asyncio.create_task(house.serve())
    await asyncio.sleep(wait)
    serving.cancel()
    await asyncio.wait([serving])
    if house.visit is None:
        return
    assert summary(house.visit.call)[2] == "the application was stopped"
    assert "caller" not in house.pbx.alive
    assert house.client.subscriptions == house.own_subscriptions


async def test_a_caller_who_is_transferred_elsewhere_is_not_hung_up(house: House) -> None:
    serving = asyncio.create_task(house.serve())
    await joined(house)
    await house.ari.send("StasisEnd", channel={"id": "caller"})
    call = await serving
    assert summary(call) == (
        Status.ANSWERED,
        EndedBy.SYSTEM,
        "the caller was taken out of the application",
    )
    assert house.pbx.alive == {"caller"}
    assert house.client.subscriptions == house.own_subscriptions


async def test_an_agent_lost_in_an_outage_does_not_keep_the_caller_waiting_for_the_ring_time(house: House) -> None:
    """After a reconnect, a channel that is gone is told with cause 0: nobody knows the true one any more."""
    house.pbx.agent_does = "is lost"
    house.groups.groups["Agents"] = group(ring_seconds=60)
    async with asyncio.timeout(5):
        call = await house.serve()
    assert summary(call)[2] == "PJSIP/1001 is unreachable (cause 0)"
    await nothing_is_left(house)


async def test_an_asterisk_that_falls_silent_does_not_keep_a_call_from_ending(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ari_app.flows.visit.RELEASE_SECONDS", 0.5)
    serving = asyncio.create_task(house.serve())
    await joined(house)
    house.ari.silent = True
    begun = asyncio.get_running_loop().time()
    serving.cancel()
    await asyncio.wait([serving])
    assert asyncio.get_running_loop().time() - begun < 2.0
    assert house.visit is not None
    assert summary(house.visit.call) == (Status.ANSWERED, EndedBy.SYSTEM, "the application was stopped")
    assert house.client.subscriptions == house.own_subscriptions


async def test_an_event_that_got_lost_does_not_keep_a_dead_call_open(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ari_app.flows.talk.LOOK_SECONDS", 0.1)
    serving = asyncio.create_task(house.serve())
    await joined(house)
    await asyncio.sleep(0.25)
    assert not serving.done()
    house.pbx.alive.discard("caller")
    assert summary(await serving)[:2] == (Status.ANSWERED, EndedBy.USER)
