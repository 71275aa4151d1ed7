"""The business calls a user."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from whatsapp_bridge.simulator.client import PhoneCall
from whatsapp_bridge.simulator.models import Behaviour, GraphFault, NumberState, UserPlan
from whatsapp_bridge.simulator.phone import Sound, Tone

USER = "14085551234"


def offer() -> tuple[RawPeer, str]:
    """A peer and its offer."""
    peer = RawPeer(None)
    return peer, peer.answer().replace("setup:active", "setup:actpass")


async def dial(stage: Stage, sdp: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """The connect request."""
    body = {"messaging_product": "whatsapp", "action": "connect", "session": {"sdp_type": "offer", "sdp": sdp}}
    return await stage.business.post(body | ({"to": USER} | more if "recipient" not in more else more))


def statuses(stage: Stage) -> list[str]:
    """The statuses told so far."""
    return [status["status"] for value in stage.business.values() for status in value.get("statuses", [])]


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_a_user_answers_and_is_heard(stage: Stage, setup: Any) -> None:
    await stage.meta.plan_user(
        UserPlan(number=USER, setup=setup, answer_ms=300, play=Sound(tone=Tone(hz=1000)), user_id="US.1")
    )
    peer, sdp = offer()
    status, body = await dial(stage, sdp, biz_opaque_callback_data="ticket")
    assert status == 200
    assert set(body) == {"messaging_product", "calls"}
    connect = await stage.business.next_call("connect")
    assert connect["id"] == body["calls"][0]["id"]
    assert connect["direction"] == "BUSINESS_INITIATED"
    assert (connect["from"], connect["to"], connect["to_user_id"]) == ("15550783881", USER, "US.1")
    assert connect["session"]["sdp_type"] == "answer"
    assert f"a=setup:{setup}\r\n" in connect["session"]["sdp"]
    peer.learn(connect["session"]["sdp"])
    await peer.connect()
    call: PhoneCall = await stage.meta.call(connect["id"])
    await call.wait(state="connected")
    peer.send()
    await peer.until(lambda: peer.received >= 5, 2)
    assert (await stage.business.act("terminate", call.id))[0] == 200
    terminate = await stage.business.next_call("terminate")
    assert terminate["biz_opaque_callback_data"] == "ticket"
    assert "duration" in terminate
    assert statuses(stage) == ["RINGING", "ACCEPTED"]
    await peer.close()


async def test_a_refusal_is_told_and_followed_by_terminate(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, answer="reject", answer_ms=100))
    _, sdp = offer()
    await dial(stage, sdp)
    terminate = await stage.business.next_call("terminate")
    assert "duration" not in terminate
    assert statuses(stage) == ["RINGING", "REJECTED"]


async def test_nobody_answers(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, answer="ignore", behaviour=Behaviour(ring_s=0.2)))
    _, sdp = offer()
    await dial(stage, sdp)
    await stage.business.next_call("terminate")
    assert statuses(stage) == ["RINGING"]


async def test_accepted_can_come_before_the_connect_webhook(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, connect_ms=400, answer_ms=100))
    _, sdp = offer()
    _, body = await dial(stage, sdp)
    await stage.business.next_call("connect")
    assert statuses(stage) == ["RINGING", "ACCEPTED"]
    await (await stage.meta.call(body["calls"][0]["id"])).end()


async def test_what_meta_would_not_connect(stage: Stage) -> None:
    _, sdp = offer()

    async def code(**more: Any) -> int:
        status, body = await dial(stage, more.pop("sdp", sdp), **more)
        assert status != 200
        return int(body["error"]["code"])

    await stage.meta.plan_user(UserPlan(number=USER, permission=False))
    assert await code() == 138006
    await stage.meta.plan_user(UserPlan(number=USER, callable=False))
    assert await code() == 138001
    assert await code(to="nobody") == 100
    assert await code(recipient="US.404") == 138001
    await stage.meta.plan_user(UserPlan(number=USER, answer="ignore", user_id="US.7"))
    assert await code(sdp=sdp.replace("actpass", "active")) == 100
    assert await code(sdp=sdp.replace("sha-256", "sha-1")) == 138008
    assert await code(session={"sdp_type": "answer", "sdp": sdp}) == 100
    status, body = await dial(stage, sdp, recipient="US.7")
    assert status == 200
    assert await code() == 138003
    call_id = body["calls"][0]["id"]
    assert (await stage.business.act("accept", call_id, sdp))[1]["error"]["code"] == 100
    assert (await stage.business.act("terminate", call_id))[0] == 200
    assert await code(sdp="") == 100


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (NumberState(outbound_available=False), 138013),
        (NumberState(outbound_suspended=True), 138014),
        (NumberState(payment_valid=False), 131044),
        (NumberState(concurrent_calls=0), 138002),
        (NumberState(new_calls_a_day=0), 138005),
        (NumberState(allowed_users=["14085550000"]), 131030),
        (NumberState(calling_enabled=False), 138000),
    ],
)
async def test_what_the_number_may_not(stage: Stage, state: NumberState, code: int) -> None:
    await stage.meta.set_number("106540352242922", state)
    _, sdp = offer()
    _, body = await dial(stage, sdp)
    assert body["error"]["code"] == code


async def test_a_busy_user_rejects_without_ringing(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, answer="busy", answer_ms=80))
    _, sdp = offer()
    await dial(stage, sdp)
    await stage.business.next_call("terminate")
    assert statuses(stage) == ["REJECTED"]


async def test_the_user_can_talk_before_accepted_is_told(stage: Stage) -> None:
    await stage.meta.plan_user(
        UserPlan(
            number=USER,
            setup="passive",
            answer_ms=100,
            accepted_delay_ms=400,
            play=Sound(tone=Tone(hz=1000)),
            behaviour=Behaviour(waits_for_media=False),
        )
    )
    peer, sdp = offer()
    _, body = await dial(stage, sdp)
    connect = await stage.business.next_call("connect")
    peer.learn(connect["session"]["sdp"])
    await peer.connect()
    await peer.until(lambda: peer.received >= 3, 2)
    assert "ACCEPTED" not in statuses(stage)
    call = await stage.meta.call(body["calls"][0]["id"])
    await call.wait(webhook="ACCEPTED")
    await call.end()
    await peer.close()


async def test_sound_while_it_rings_is_sent_if_wanted(stage: Stage) -> None:
    await stage.meta.plan_user(
        UserPlan(number=USER, setup="passive", answer="ignore", early_media=True, play=Sound(tone=Tone(hz=1000)))
    )
    peer, sdp = offer()
    _, body = await dial(stage, sdp)
    connect = await stage.business.next_call("connect")
    peer.learn(connect["session"]["sdp"])
    await peer.connect()
    await peer.until(lambda: peer.received >= 3, 2)
    assert statuses(stage) == ["RINGING"]
    await (await stage.meta.call(body["calls"][0]["id"])).end()
    await peer.close()


async def test_a_reply_can_come_after_the_webhooks(stage: Stage) -> None:
    await stage.meta.fail(GraphFault(action="connect", delay_ms=300, applied=True))
    await stage.meta.plan_user(UserPlan(number=USER, connect_ms=0, ringing_ms=0, answer_ms=50))
    _, sdp = offer()
    status, body = await dial(stage, sdp)
    assert status == 200
    assert statuses(stage) == ["RINGING", "ACCEPTED"]
    await (await stage.meta.call(body["calls"][0]["id"])).end()
