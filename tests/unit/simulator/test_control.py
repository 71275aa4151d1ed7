"""The control API: errors, waiting, reading back."""

from __future__ import annotations

import asyncio
import io
import wave
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from whatsapp_bridge.simulator.client import SimulatorError
from whatsapp_bridge.simulator.media.faults import MediaFaults
from whatsapp_bridge.simulator.models import Behaviour, CallEvent, GraphFault, NumberState, PlaceCall, UserPlan
from whatsapp_bridge.simulator.phone import Sound


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/control/nothing", None, 404, "Not Found"),
        ("DELETE", "/control/calls", None, 405, "Not Allowed"),
        ("GET", "/control/calls/wacid.x", None, 404, "no call wacid.x"),
        ("POST", "/control/calls", {"too": "1"}, 400, "too: Extra"),
        ("POST", "/control/calls", {"from": "+49"}, 400, "from"),
        ("POST", "/control/calls", {"to": "4711"}, 404, "no business number 4711"),
        ("POST", "/control/calls", {"play": {}}, 400, "exactly one"),
        ("POST", "/control/calls", {"play": {"silence": True, "nothing": True}}, 400, "exactly one"),
        ("POST", "/control/calls", {"play": {"wav": "/nowhere.wav"}}, 400, "/nowhere.wav: No such file"),
        ("POST", "/control/calls", {"play": {"tone": {"hz": -1}}}, 400, "tone.hz"),
        ("POST", "/control/calls", {"hides_number": True}, 400, "user_id"),
        ("POST", "/control/calls", [], 400, "valid dictionary"),
        ("POST", "/control/users", {"number": "1408", "play": {"wav": "/nowhere.wav"}}, 400, "No such file"),
        ("POST", "/control/faults", {"count": 0}, 400, "count"),
        ("PATCH", "/control/numbers/1", {}, 404, "no number 1"),
        ("POST", "/control/webhook", {"signature": "x"}, 400, "signature"),
    ],
)
async def test_errors_say_what_is_wrong(
    stage: Stage, method: str, path: str, body: Any, status: int, word: str
) -> None:
    with pytest.raises(SimulatorError) as wrong:
        await stage.meta.request(method, path, body)
    assert wrong.value.status == status
    assert word in str(wrong.value)


async def test_waiting_ends_when_it_comes_true(stage: Stage) -> None:
    call = await stage.meta.place()
    waiting = asyncio.create_task(call.wait(state="connected", timeout=10))
    await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
    assert (await waiting)["state"] == "connected"


async def test_waiting_ends_with_the_time_or_when_it_cannot_come_any_more(stage: Stage) -> None:
    call = await stage.meta.place()
    with pytest.raises(SimulatorError) as late:
        await call.wait(state="connected", timeout=0.1)
    assert late.value.status == 408
    assert late.value.call is not None
    assert late.value.call["state"] == "ringing"
    waiting = asyncio.create_task(call.wait(dtmf="1", timeout=10))
    await call.cancel()
    with pytest.raises(SimulatorError) as over:
        await waiting
    assert over.value.status == 409
    with pytest.raises(SimulatorError, match="cannot come"):
        await call.wait(state="connected")
    for query in ("state=happy", "timeout=x", "timeout=-1", "timeout=nan", "moon=full"):
        with pytest.raises(SimulatorError) as bad:
            await stage.meta.request("GET", f"/control/calls/{quote(call.id, safe='')}/wait?{query}")
        assert bad.value.status == 400


async def test_a_number_that_is_off_cannot_be_called(stage: Stage) -> None:
    await stage.meta.set_number("206540352242922", NumberState(calling_enabled=False))
    with pytest.raises(SimulatorError, match="cannot be called"):
        await stage.meta.place(PlaceCall(to="15550783882"))
    await stage.meta.place(PlaceCall(to="106540352242922"))


async def test_an_id_may_hold_any_character(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(behaviour=Behaviour(call_id="wacid.a/b+c==?&#%2F é")))
    assert (await call.read())["id"] == "wacid.a/b+c==?&#%2F é"
    facts = await call.cancel()
    assert facts["state"] == "ended"


async def test_what_is_heard_can_be_read_during_the_call(stage: Stage) -> None:
    call = await stage.meta.place()
    with pytest.raises(SimulatorError, match="nothing was recorded"):
        await call.recording()
    await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
    await asyncio.sleep(0.3)
    with wave.open(io.BytesIO(await call.recording())) as file:
        assert file.getnframes() >= 0.3 * 48_000
    facts = await call.end()
    path = call.recording_path
    assert path is not None
    assert facts["recording"]["state"] == "written"
    assert path.parent == stage.world.config.recordings
    assert await call.recording() == path.read_bytes()


async def test_any_event_of_a_call_can_be_told(stage: Stage) -> None:
    call = await stage.meta.place()
    await call.tell(CallEvent(event="call_recording_available", content={"call_recording": {"type": "audio"}}))
    told = await stage.business.next_call("call_recording_available")
    assert told["id"] == call.id
    assert told["call_recording"] == {"type": "audio"}


async def test_actions_of_a_connected_call_are_refused_before(stage: Stage) -> None:
    call = await stage.meta.place()
    for action in (call.press("1"), call.disturb(MediaFaults(drop=0.5))):
        with pytest.raises(SimulatorError, match="ringing, not connected"):
            await action
    bare = RawPeer(call.facts["sdp"]["ours"]).answer().replace("111 126", "111")
    bare = bare.replace("a=rtpmap:126 telephone-event/8000\r\n", "")
    await stage.business.act("accept", call.id, bare)
    with pytest.raises(SimulatorError, match="no telephone-event"):
        await call.press("1")


async def test_reset_forgets_everything(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(play=Sound(silence=True)))
    await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
    await stage.meta.fail(GraphFault(code=138004))
    await stage.meta.hold_webhooks()
    await stage.meta.plan_user(UserPlan(number="14085551234"))
    await stage.meta.reset()
    status = await stage.meta.status()
    assert (status["calls"], status["live_calls"], status["requests"]) == (0, 0, 0)
    assert await stage.meta.webhooks() == []
    assert await stage.meta.request("GET", "/control/faults") == []
    await stage.meta.place()
    await stage.business.next_call("connect", 2)
    assert not stage.business.calls("terminate"), "what is forgotten is not told"
