"""The event websocket: it comes back, tells what was missed, and gives up where it should."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.ari import AriClient, AriClosed, AriReplaced, AriUnavailable, Forbidden, stream
from ari_app.ari.events import (
    BridgeDestroyed,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelStateChange,
    Event,
    PlaybackFinished,
    Reconnected,
)
from ari_app.ari.stream import LONGEST_WAIT, back_off
from ari_app.ari.testing import FakeAri, Request


async def test_it_asks_for_the_events_of_its_application_only(ari: FakeAri, client: AriClient) -> None:
    await ari.connected()
    (request,) = [request for request in ari.requests if request.path == "/events"]
    assert request.query == {"app": "app", "subscribeAll": "false"}


async def test_what_was_in_the_application_before_it_came_is_a_predecessors(ari: FakeAri) -> None:
    ari.channels = [
        {"id": "old", "dialplan": {"app_name": "Stasis", "app_data": "app,voice,100"}},
        {"id": "other", "dialplan": {"app_name": "Stasis", "app_data": "app2,voice"}},
        {"id": "plain", "dialplan": {"app_name": "Dial", "app_data": "app"}},
    ]
    async with AriClient(ari.url, ari.username, ari.password, "app") as client:
        assert [channel.id for channel in client.left_behind] == ["old"]


async def test_after_a_cut_it_comes_back_and_every_handle_learns_what_it_missed(
    ari: FakeAri, client: AriClient
) -> None:
    with client.events(Reconnected) as all_events:
        answered = await client.channels.create(endpoint="PJSIP/1", channel_id="answered")
        gone = await client.channels.create(endpoint="PJSIP/2", channel_id="gone")
        bridge = await client.bridges.create(bridge_id="b1")
        prompt = await answered.play("sound:x")
        ari.channels = [{"id": "answered", "state": "Up"}]
        ari.cut()
        await all_events.wait_for(Reconnected, timeout=5)
        assert (await answered.wait_for(ChannelStateChange, timeout=1)).channel.state == "Up"
        assert (await gone.wait_for(ChannelDestroyed, timeout=1)).cause == 0
        assert await bridge.events.wait_for(BridgeDestroyed, timeout=1)
        assert await prompt.events.wait_for(PlaybackFinished, timeout=1)
        await ari.send("ChannelDtmfReceived", channel={"id": "answered"}, digit="4")
        assert (await answered.wait_for(ChannelDtmfReceived, timeout=1)).digit == "4"


async def test_a_channel_that_is_just_being_made_is_not_taken_for_gone(ari: FakeAri, client: AriClient) -> None:
    """Its creation is under way while the world is read anew: Asterisk does not list it yet."""
    asked, made = asyncio.Event(), asyncio.Event()

    async def slowly(request: object) -> tuple[int, object]:
        asked.set()
        await made.wait()
        return 200, {"id": "c1"}

    ari.handle("POST", "/channels/create", slowly)
    with client.events(Reconnected) as all_events, client.subscribe() as events:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.channels.create(endpoint="PJSIP/1", channel_id="c1", events=events))
            await asked.wait()
            ari.cut()
            await all_events.wait_for(Reconnected, timeout=5)
            made.set()
        await ari.send("ChannelDtmfReceived", channel={"id": "c1"}, digit="1")
        assert isinstance(await events.wait_for(Event, timeout=1), ChannelDtmfReceived)


async def test_a_dead_network_is_noticed_by_the_missing_pong(ari: FakeAri) -> None:
    async with AriClient(ari.url, ari.username, ari.password, "app", heartbeat=0.2, request_timeout=0.5) as client:
        with client.events(Reconnected) as events:
            ari.silent = True
            await asyncio.sleep(0.6)
            was_connected = client.connected
            ari.silent = False
            await events.wait_for(Reconnected, timeout=5)
            assert (was_connected, client.connected) == (False, True)


async def test_a_websocket_on_which_no_events_come_is_replaced_by_a_new_one(
    ari: FakeAri, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Asterisk can leave a websocket open and its application ended."""
    monkeypatch.setattr(stream, "PROBE_LIMIT", 0.1)
    monkeypatch.setattr(stream, "PROBE_SECONDS", 0.1)
    async with AriClient(ari.url, ari.username, ari.password, "app") as client:
        with client.events(Reconnected) as events:
            ari.deaf = True
            await asyncio.sleep(0.4)
            was_connected = client.connected
            ari.deaf = False
            await events.wait_for(Reconnected, timeout=5)
            assert (was_connected, client.connected) == (False, True)
    assert "do not come in: no event came within 0.1 s" in caplog.text


async def test_a_client_that_gets_no_events_is_not_entered(ari: FakeAri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PROBE_LIMIT", 0.1)
    ari.deaf = True
    with pytest.raises(AriUnavailable):
        async with AriClient(ari.url, ari.username, ari.password, "app", start_timeout=0.5):
            pytest.fail("entered without events")


async def test_events_that_come_while_the_world_is_read_anew_come_after_what_was_read(
    ari: FakeAri, client: AriClient
) -> None:
    channel = await client.channels.create(endpoint="PJSIP/1", channel_id="c1")

    async def reply(request: object) -> tuple[int, object]:
        await ari.send("ChannelStateChange", channel={"id": "c1", "state": "Up"})
        return 200, [{"id": "c1", "state": "Ringing"}]

    ari.handle("GET", "/channels", reply)
    ari.cut()
    states = [(await channel.wait_for(ChannelStateChange, timeout=5)).channel.state for _ in "12"]
    assert states == ["Ringing", "Up"]


async def test_a_healthy_but_quiet_connection_is_kept(ari: FakeAri) -> None:
    async with AriClient(ari.url, ari.username, ari.password, "app", heartbeat=0.1) as client:
        await asyncio.sleep(0.6)
        assert client.connected
        assert len([request for request in ari.requests if request.path == "/events"]) == 1


async def test_it_does_not_fight_another_client_for_the_application(
    ari: FakeAri, client: AriClient, caplog: pytest.LogCaptureFixture
) -> None:
    with client.events() as events:
        await ari.send("ApplicationReplaced")
        assert isinstance(await client.wait_failed(), AriReplaced)
        assert (await anext(events)).type == "ApplicationReplaced"
        with pytest.raises(AriReplaced):
            await anext(events)
    await asyncio.sleep(0.3)
    assert len([request for request in ari.requests if request.path == "/events"]) == 1
    assert "took over" in caplog.text
    assert await client.channels.list() == []


async def test_being_refused_on_the_way_back_is_the_end(ari: FakeAri, client: AriClient) -> None:
    ari.answer("GET", "/events", status=403, message="read only")
    ari.cut()
    async with asyncio.timeout(5):
        assert isinstance(await client.wait_failed(), Forbidden)


async def test_an_asterisk_that_is_just_starting_and_answers_503_is_waited_for(ari: FakeAri, client: AriClient) -> None:
    refused = asyncio.Event()

    async def not_yet(_: Request) -> tuple[int, Any]:
        refused.set()
        return 503, {"message": "Asterisk not booted"}

    ari.handle("GET", "/events", not_yet)
    ari.cut()
    async with asyncio.timeout(5):
        await refused.wait()
        ari.forget("GET", "/events")
        await ari.connected()
        with client.events(Reconnected) as events:
            if not client.connected:
                await events.wait_for(Reconnected, timeout=5)
    assert client.connected


async def test_it_waits_for_an_asterisk_that_starts_later(ari: FakeAri) -> None:
    await ari.__aexit__()
    client = AriClient(ari.url, ari.username, ari.password, "app", start_timeout=5)
    entering = asyncio.create_task(client.__aenter__())
    await asyncio.sleep(0.4)
    async with FakeAri(port=ari.port) as late:
        await entering
        await late.connected()
        assert client.connected
        await client.__aexit__()


async def test_it_does_not_wait_for_ever(ari: FakeAri) -> None:
    await ari.__aexit__()
    with pytest.raises(AriUnavailable):
        async with AriClient(ari.url, ari.username, ari.password, "app", start_timeout=0.3):
            pytest.fail("there is no Asterisk")


async def test_closing_the_client_ends_every_wait(ari: FakeAri) -> None:
    async with AriClient(ari.url, ari.username, ari.password, "app") as client:
        events = client.events()
        channel = await client.channels.create(endpoint="PJSIP/1")
    with pytest.raises(AriClosed):
        await anext(events)
    with pytest.raises(AriClosed):
        await channel.wait_for(ChannelDestroyed, timeout=1)


async def test_texts_that_are_no_events_are_ignored(
    ari: FakeAri, client: AriClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with client.events(ChannelDtmfReceived) as events:
        for text in ("", "{", "[]", "null", '"x"', '{"type": null}'):
            await ari.send_text(text)
        await ari.send("ChannelDtmfReceived", channel={"id": "c"}, digit="1")
        assert await events.wait_for(ChannelDtmfReceived, timeout=1)


@given(st.integers(min_value=0, max_value=10**6))
def test_the_back_off_grows_and_is_bounded(attempt: int) -> None:
    assert 0 < back_off(attempt) <= LONGEST_WAIT
    assert back_off(0) < back_off(4) <= back_off(40) * 2
