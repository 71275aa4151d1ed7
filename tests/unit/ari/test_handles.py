"""Handles: they hear their own events from before the request, and give back what they took."""

from typing import Any

import pytest

from ari_app.ari import AriClient, AriError, ChannelGone, Conflict, ServerError
from ari_app.ari.events import ChannelDestroyed, ChannelDtmfReceived, ChannelStateChange, StasisStart
from ari_app.ari.testing import FakeAri, Reply, Request


async def test_an_event_that_comes_before_the_reply_is_not_lost(ari: FakeAri, client: AriClient) -> None:
    """Asterisk sends StasisStart from another thread than the one that answers the request."""

    async def reply(request: Request) -> Reply:
        await ari.send("StasisStart", channel={"id": request.query["channelId"]}, args=["x"])
        await ari.send("ChannelStateChange", channel={"id": request.query["channelId"], "state": "Ringing"})
        return 200, {"id": request.query["channelId"]}

    ari.handle("POST", "/channels/create", reply)
    with await client.channels.create(endpoint="PJSIP/1001") as channel:
        start = await channel.wait_for(StasisStart, timeout=1)
        assert start.args == ["x"]
        assert (await channel.wait_for(ChannelStateChange, timeout=1)).channel.state == "Ringing"


async def test_a_prompt_that_ends_before_the_reply_is_known_to_have_ended(ari: FakeAri, client: AriClient) -> None:
    async def reply(request: Request) -> Reply:
        playback = {"id": request.path.split("/")[-1], "target_uri": "channel:c1", "state": "failed"}
        await ari.send("PlaybackFinished", playback=playback)
        return 201, {**playback, "state": "queued"}

    ari.handle("POST", "/channels/c1/play/p1", reply)
    with await client.channels.handle("c1").play("sound:missing", playback_id="p1") as playback:
        assert (await playback.finished(timeout=1)).state == "failed"


@pytest.mark.parametrize(("status", "kind"), [(409, Conflict), (500, ServerError)])
async def test_a_channel_that_could_not_be_made_leaves_no_subscription(
    ari: FakeAri, client: AriClient, status: int, kind: type[AriError]
) -> None:
    ari.answer("POST", "/channels/create", status=status, message="Allocation failed")
    with client.subscribe() as shared:
        before = client.subscriptions
        for events in (None, shared):
            with pytest.raises(kind):
                await client.channels.create(endpoint="PJSIP/1001", events=events)
        assert client.subscriptions == before


async def test_bridges_prompts_and_recordings_that_could_not_be_made_leave_no_subscription(
    ari: FakeAri, client: AriClient
) -> None:
    ari.answer("POST", "/bridges/b1", status=409, message="exists")
    ari.answer("POST", "/channels/c1/play/p1", status=404, message="Channel not found")
    ari.answer("POST", "/channels/c1/record", status=422, message="unknown format")
    channel = client.channels.handle("c1")
    for request in (
        client.bridges.create(bridge_id="b1"),
        channel.play("sound:x", playback_id="p1"),
        channel.record("name", "mp9"),
    ):
        with pytest.raises(AriError):
            await request
    assert client.subscriptions == 0


async def test_waiting_for_a_channel_that_is_destroyed_instead_tells_the_cause(ari: FakeAri, client: AriClient) -> None:
    with await client.channels.create(endpoint="PJSIP/1001", channel_id="c1") as channel:
        await ari.send("ChannelDestroyed", channel={"id": "c1"}, cause=21, cause_txt="Call Rejected")
        with pytest.raises(ChannelGone, match="Call Rejected") as caught:
            await channel.wait_for(StasisStart, timeout=1)
        assert (caught.value.channel_id, caught.value.cause) == ("c1", 21)


async def test_the_destruction_itself_can_be_waited_for(ari: FakeAri, client: AriClient) -> None:
    with await client.channels.create(endpoint="PJSIP/1001", channel_id="c1") as channel:
        await ari.send("ChannelDestroyed", channel={"id": "c1"}, cause=17)
        assert (await channel.wait_for(ChannelDestroyed, timeout=1)).cause == 17


async def test_iterating_over_a_channel_ends_with_its_last_event(ari: FakeAri, client: AriClient) -> None:
    with await client.channels.create(endpoint="PJSIP/1001", channel_id="c1") as channel:
        for digit in "12":
            await ari.send("ChannelDtmfReceived", channel={"id": "c1"}, digit=digit)
        await ari.send("ChannelDestroyed", channel={"id": "c1"})
        found: list[Any] = [event async for event in channel.events]
    assert [type(event) for event in found] == [ChannelDtmfReceived, ChannelDtmfReceived, ChannelDestroyed]
    assert client.subscriptions == 0


async def test_a_channel_made_into_a_shared_queue_is_heard_there(ari: FakeAri, client: AriClient) -> None:
    with client.subscribe(client.channels.handle("caller")) as events:
        await client.channels.create(endpoint="PJSIP/1001", channel_id="agent", events=events)
        for channel in ("agent", "caller", "stranger"):
            await ari.send("ChannelDtmfReceived", channel={"id": channel}, digit="1")
        await ari.send("ChannelDestroyed", channel={"id": "caller"})
        heard = [await anext(events) for _ in range(3)]
        assert [event.channel.id for event in heard if hasattr(event, "channel")] == [
            "agent",
            "caller",
            "caller",
        ]
    assert client.subscriptions == 0
