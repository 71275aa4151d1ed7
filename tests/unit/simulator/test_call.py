"""Whole calls: a simulated user, the simulated Meta, and stock aiortc as the business."""

from __future__ import annotations

import wave
from array import array
from pathlib import Path

from tests.unit.simulator.business import Peer, level
from tests.unit.simulator.conftest import Stage
from whatsapp_bridge.simulator.models import PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone


def wav(path: Path) -> array[int]:
    """The samples of a recording."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        return array("h", file.readframes(file.getnframes()))


async def test_a_call_is_heard_on_both_sides(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(play=Sound(tone=Tone(hz=1000))))
    connect = await stage.business.next_call("connect")
    assert connect["id"] == call.id
    peer = Peer(hz=440)
    try:
        answer = await peer.answer(connect["session"]["sdp"])
        assert await stage.business.act("pre_accept", call.id, answer) == (
            200,
            {"messaging_product": "whatsapp", "success": True},
        )
        await call.wait(state="pre_accepted", dtls="connected")
        status, _ = await stage.business.act("accept", call.id, answer, biz_opaque_callback_data="mine")
        assert status == 200
        facts = await call.wait(state="connected", packets_in=150)
        facts = await call.end()
    finally:
        await peer.close()
    terminate = await stage.business.next_call("terminate")
    assert terminate["status"] == "COMPLETED"
    assert terminate["biz_opaque_callback_data"] == "mine"
    assert facts["dtls"]["role"] == "server"
    assert call.recording_path is not None
    heard = wav(call.recording_path)
    assert -23 < level(heard[48_000:96_000], 440, 48_000) < -17
    assert len(peer.heard) > 48_000
    assert -23 < level(peer.heard[-48_000:], 1000, 48_000) < -17
