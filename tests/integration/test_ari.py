"""The ARI client against a real Asterisk: what the fake server takes for granted is true here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from ari_app.ari import (
    AriClient,
    AriReplaced,
    Channel,
    ChannelGone,
    Conflict,
    NotFound,
    PreconditionFailed,
    ServerError,
    Unprocessable,
    channel_id,
)
from ari_app.ari.events import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    ChannelLeftBridge,
    ChannelStateChange,
    Dial,
    Reconnected,
    StasisEnd,
    StasisStart,
)
from ari_app.ari.testing import Proxy
from ari_app.runtime.stack import Stack, StackOptions

DIALPLAN = """
[test-far-end]
exten => answer,1,Answer()
 same => n,Wait(300)
exten => ring,1,Ringing()
 same => n,Wait(300)
exten => reject,1,Hangup(21)
exten => read,1,Answer()
 same => n,Read(DIGITS,,3,,,5)
 same => n,Hangup(${IF($["${DIGITS}" = "4*1"]?17:16)})
exten => echo-dtmf,1,Answer()
 same => n,Wait(0.2)
 same => n,SendDTMF(12,100)
 same => n,Wait(300)
exten => stasis,1,Answer()
 same => n,Stasis(another,one,two)
 same => n,Wait(300)
"""

PATIENCE = 10.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, bridge=False, simulator=False, extra_dialplan=DIALPLAN)


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AriClient]:
    asterisk = stack.asterisk
    async with AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "app") as client:
        yield client
        for channel in await client.channels.list():
            await channel.hangup()
        async with asyncio.timeout(PATIENCE):
            while await client.channels.list():
                await asyncio.sleep(0.02)
        for bridge in await client.bridges.list():
            await bridge.destroy()


async def made(client: AriClient, far_end: str) -> Channel:
    channel = await client.channels.create(endpoint=f"Local/{far_end}@test-far-end/n", app_args=["a", "b"])
    start = await channel.wait_for(StasisStart, timeout=PATIENCE)
    assert start.args == ["a", "b"]
    return channel


async def answered(client: AriClient, far_end: str = "answer") -> Channel:
    channel = await made(client, far_end)
    await channel.dial(timeout=30)
    await channel.wait_for(ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up")
    return channel


async def test_a_channel_is_made_with_our_ids_dialled_and_hung_up_with_our_cause(client: AriClient) -> None:
    first, second = channel_id(), channel_id()
    with await client.channels.create(
        endpoint="Local/answer@test-far-end/n",
        channel_id=first,
        other_channel_id=second,
        variables={"CONNECTEDLINE(num,i)": "+49", "CONNECTEDLINE(name,i)": 'Ö "$' + "{X}"},
    ) as channel:
        await channel.wait_for(StasisStart, timeout=PATIENCE)
        await channel.dial()
        await channel.wait_for(Dial, timeout=PATIENCE, where=lambda event: event.dialstatus == "ANSWER")
        ids = {found.id for found in await client.channels.list()}
        assert ids == {first, second}
        assert await client.channels.get_variable(second, "CALLERID(name)") == 'Ö "$' + "{X}"
        await channel.hangup(reason_code=17)
        assert (await channel.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause == 17
    with pytest.raises(NotFound):
        await channel.refresh()
    await channel.hangup()


async def test_dialling_before_the_channel_is_ours_is_a_conflict_at_worst(client: AriClient) -> None:
    """Asterisk answers `create` before the channel's thread has entered the application."""
    channel = await client.channels.create(endpoint="Local/answer@test-far-end/n")
    with contextlib.suppress(Conflict):
        await channel.dial()
    channel.close()


async def test_the_far_ends_refusal_tells_its_cause(client: AriClient) -> None:
    with await made(client, "reject") as channel:
        await channel.dial()
        with pytest.raises(ChannelGone) as caught:
            await channel.wait_for(ChannelEnteredBridge, timeout=PATIENCE)
        assert caught.value.cause == 21


async def test_an_unanswered_dial_ends_with_cause_19(client: AriClient) -> None:
    with await made(client, "ring") as channel:
        await channel.dial(timeout=1)
        assert (await channel.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause == 19


async def test_an_endpoint_without_registration_cannot_be_made(client: AriClient) -> None:
    with pytest.raises(ServerError, match="Allocation failed"):
        await client.channels.create(endpoint="PJSIP/1002")
    assert client.subscriptions == 0
    assert (await client.endpoints.get("PJSIP", "1002")).state in {"offline", "unknown"}


async def test_answering_a_channel_that_we_dialled_is_refused(client: AriClient) -> None:
    with await made(client, "ring") as channel, pytest.raises(PreconditionFailed):
        await channel.answer()


async def test_variables_are_set_and_read_as_they_are(client: AriClient) -> None:
    with await answered(client) as channel:
        assert await channel.get_variable("UNSET") is None
        text = 'ä "${EXTEN}" $[1+1] ,;&=%20'
        await channel.set_variable("TEXT", text)
        assert await channel.get_variable("TEXT") == text
        assert await channel.get_variable("CHANNEL(linkedid)") == channel.id
        with pytest.raises(NotFound):
            await client.channels.get_variable("no-such-channel", "TEXT")


async def test_prompts_end_are_stopped_and_fail(client: AriClient) -> None:
    with await answered(client) as channel:
        played = await channel.play(["sound:digits/1", "sound:digits/2"])
        assert (await played.finished(PATIENCE)).state == "done"
        stopped = await channel.play("sound:tt-monkeys")
        await stopped.stop()
        assert (await stopped.finished(PATIENCE)).state in {"done", "cancelled"}
        missing = await channel.play("sound:there-is-no-such-sound")
        assert (await missing.finished(PATIENCE)).state == "failed"
        await stopped.stop()


async def test_two_channels_meet_in_a_bridge(client: AriClient) -> None:
    with (
        await answered(client) as one,
        await answered(client) as two,
        await client.bridges.create(name="meeting") as bridge,
    ):
        await bridge.add_channel(one.id, two.id, inhibit_connected_line_updates=True)
        for channel in (one, two):
            await channel.wait_for(ChannelEnteredBridge, timeout=PATIENCE)
        assert set((await bridge.refresh()).channels) == {one.id, two.id}
        await bridge.remove_channel(two.id)
        await two.wait_for(ChannelLeftBridge, timeout=PATIENCE)
        with pytest.raises(Unprocessable):
            await bridge.remove_channel(two.id)
        await bridge.destroy()
        await bridge.destroy()
        assert (await one.refresh()).state == "Up"


async def test_digits_go_both_ways(client: AriClient) -> None:
    with await answered(client, "read") as sender:
        await sender.send_dtmf("4*1", duration=100, between=100)
        assert (await sender.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause == 17
    with await answered(client, "echo-dtmf") as receiver:
        heard = [(await receiver.wait_for(ChannelDtmfReceived, timeout=PATIENCE)).digit for _ in "12"]
        assert heard == ["1", "2"]


async def test_music_ringing_muting_and_holding_are_accepted(client: AriClient) -> None:
    with await answered(client) as channel:
        for request in (
            channel.start_moh("default"),
            channel.stop_moh(),
            channel.ring(),
            channel.stop_ringing(),
            channel.mute("in"),
            channel.unmute("in"),
            channel.hold(),
            channel.unhold(),
            channel.start_silence(),
            channel.stop_silence(),
        ):
            await request


async def test_a_recording_is_made_and_stopped(stack: Stack, client: AriClient) -> None:
    """Asterisk does not make the folder itself: without it, every recording is refused with 500."""
    (stack.folder / "asterisk" / "spool" / "recording").mkdir(exist_ok=True)
    with await client.channels.originate(endpoint="Local/answer@test-far-end/n") as channel:
        await channel.wait_for(StasisStart, timeout=PATIENCE)
        with await channel.record("test-recording", "wav", max_seconds=30) as recording:
            assert (await recording.get()).state in {"queued", "recording"}
            await recording.pause()
            await recording.unpause()
            await recording.stop()
            assert (await recording.finished(PATIENCE)).state == "done"
        with pytest.raises(Unprocessable):
            await channel.record("test-recording-2", "mp99")


async def test_a_channel_that_we_dialled_cannot_be_recorded_by_itself(stack: Stack, client: AriClient) -> None:
    (stack.folder / "asterisk" / "spool" / "recording").mkdir(exist_ok=True)
    with await answered(client) as channel, await channel.record("test-recording-3", "wav") as recording:
        failed = await recording.finished(PATIENCE)
        assert (failed.state, failed.cause) == ("failed", "Cannot record channel while in bridge")


async def test_a_channel_that_goes_on_in_the_dialplan_has_left_but_lives(client: AriClient) -> None:
    with await answered(client) as channel:
        await channel.continue_in_dialplan(context="test-far-end", extension="answer", priority=1)
        await channel.wait_for(StasisEnd, timeout=PATIENCE)
        assert (await channel.refresh()).dialplan.context == "test-far-end"
        with pytest.raises(Conflict):
            await channel.start_moh()


async def test_device_states_and_variables_of_asterisk(client: AriClient) -> None:
    await client.device_states.set("Stasis:line", "INUSE")
    assert (await client.device_states.get("Stasis:line")).state == "INUSE"
    await client.device_states.delete("Stasis:line")
    with pytest.raises(Conflict):
        await client.device_states.set("PJSIP/1001", "INUSE")
    await client.asterisk.set_variable("GLOBAL_X", "1")
    assert await client.asterisk.get_variable("GLOBAL_X") == "1"
    assert (await client.asterisk.info()).system.version.startswith("22.")


async def test_what_a_predecessor_left_is_found(stack: Stack, client: AriClient) -> None:
    async with AriClient(stack.asterisk.ari_url, "asterisk-whatsapp", stack.asterisk.ari_password, "another") as first:
        dialled = await answered(first)
        waiting = await made(first, "ring")
        with first.events(StasisStart) as starts:
            entered = await answered(client, "stasis")
            assert (await starts.wait_for(StasisStart, timeout=PATIENCE)).args == ["one", "two"]
        ours = await first.channels_inside()
        assert len(ours) == 3
    async with AriClient(stack.asterisk.ari_url, "asterisk-whatsapp", stack.asterisk.ari_password, "another") as second:
        found = {channel.id for channel in second.left_behind}
        assert {dialled.id, waiting.id} < found
        assert entered.id not in found
        assert found == {channel.id for channel in ours}


async def test_the_second_client_of_an_application_replaces_the_first(stack: Stack) -> None:
    asterisk = stack.asterisk
    login = (asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "shared")
    async with AriClient(*login) as first, AriClient(*login) as second:
        async with asyncio.timeout(PATIENCE):
            assert isinstance(await first.wait_failed(), AriReplaced)
        await asyncio.sleep(1)
        assert second.connected


@pytest.mark.parametrize("fault", ["cut", "silence"])
async def test_after_a_network_fault_handles_know_what_happened_meanwhile(
    stack: Stack, client: AriClient, fault: str
) -> None:
    async with (
        Proxy(stack.asterisk.ari_url).running() as proxy,
        AriClient(
            proxy.url,
            "asterisk-whatsapp",
            stack.asterisk.ari_password,
            "shaky",
            heartbeat=0.5,
            request_timeout=2.0,
        ) as shaky,
    ):
        with (
            shaky.events(Reconnected) as events,
            await made(shaky, "answer") as answers,
            await answered(shaky) as stays,
            await answered(shaky) as goes,
        ):
            proxy.fall_silent()
            await client.channels.hangup(goes.id, reason_code=16)
            await client.channels.dial(answers.id)
            if fault == "cut":
                proxy.cut()
            else:
                async with asyncio.timeout(PATIENCE):
                    while shaky.connected:
                        await asyncio.sleep(0.02)
            proxy.recover()
            await events.wait_for(Reconnected, timeout=PATIENCE)
            assert (await goes.wait_for(ChannelDestroyed, timeout=PATIENCE)).cause in {0, 16}
            await answers.wait_for(
                ChannelStateChange, timeout=PATIENCE, where=lambda event: event.channel.state == "Up"
            )
            await stays.hangup()
            await stays.wait_for(ChannelDestroyed, timeout=PATIENCE)
