"""What the Graph API refuses, and with which code."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from whatsapp_bridge.simulator.client import PhoneCall
from whatsapp_bridge.simulator.models import GraphFault, NumberState, PlaceCall

OK = (200, {"messaging_product": "whatsapp", "success": True})


async def ringing(stage: Stage, **wanted: Any) -> tuple[PhoneCall, str]:
    """A call that rings, and an answer to it."""
    call = await stage.meta.place(PlaceCall(**wanted))
    return call, RawPeer(call.facts["sdp"]["ours"]).answer()


def code_of(reply: tuple[int, dict[str, Any]]) -> tuple[int, int]:
    """HTTP status and Graph code of a refusal."""
    status, body = reply
    error = body["error"]
    assert error["type"] == "OAuthException"
    assert error["fbtrace_id"]
    assert error["message"].startswith(f"(#{error['code']}) ")
    return status, error["code"]


async def test_a_wrong_or_missing_token_is_refused(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    body: dict[str, Any] = {"messaging_product": "whatsapp", "call_id": call.id, "action": "pre_accept"}
    body["session"] = {"sdp_type": "answer", "sdp": sdp}
    assert code_of(await stage.business.post(body, token="wrong")) == (401, 190)
    assert code_of(await stage.business.post(body, token="")) == (401, 190)
    requests = await stage.meta.requests(call_id=call.id)
    assert [request["authorized"] for request in requests] == [False, False]
    assert (await call.read())["state"] == "ringing"


async def test_requests_are_checked_in_metas_order(stage: Stage) -> None:
    post = stage.business.post
    assert code_of(await post({}, pnid="999", token="wrong")) == (401, 190)
    assert code_of(await post({}, pnid="999")) == (400, 100)
    assert code_of(await post([])) == (400, 100)
    assert code_of(await post({"messaging_product": "sms"})) == (400, 100)
    assert code_of(await post({"messaging_product": "whatsapp"})) == (400, 100)
    assert code_of(await post({"messaging_product": "whatsapp", "action": "pre-accept"})) == (400, 100)
    assert code_of(await post({}, path="/v23.0/106540352242922/phones")) == (400, 2500)
    await stage.meta.set_number("106540352242922", NumberState(calling_enabled=False))
    assert code_of(await post({"messaging_product": "whatsapp", "action": "accept"})) == (401, 138000)
    await stage.meta.set_number("106540352242922", NumberState(sip_enabled=True))
    assert code_of(await post({"messaging_product": "whatsapp", "action": "accept"})) == (400, 131055)


async def test_a_call_belongs_to_its_number(stage: Stage) -> None:
    call, _ = await ringing(stage)
    body = {"messaging_product": "whatsapp", "call_id": call.id, "action": "reject"}
    assert code_of(await stage.business.post(body, pnid="206540352242922")) == (400, 100)
    assert await stage.business.post(body) == OK


@pytest.mark.parametrize("call_id", ["wacid.nobody", "", None, 5, {"a": 1}, "x" * 5000])
async def test_an_unknown_call_id_is_refused(stage: Stage, call_id: Any) -> None:
    for action in ("pre_accept", "accept", "reject", "terminate"):
        body = {"messaging_product": "whatsapp", "call_id": call_id, "action": action}
        assert code_of(await stage.business.post(body)) == (400, 100)


async def test_the_answer_has_to_be_called_answer(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    for session in (None, "text", {}, {"sdp_type": "offer", "sdp": sdp}, {"sdp_type": "answer"}):
        body = {"messaging_product": "whatsapp", "call_id": call.id, "action": "pre_accept", "session": session}
        assert code_of(await stage.business.post(body)) == (400, 100)
    assert (await call.read())["state"] == "ringing"


async def test_three_fingerprints_are_refused_as_meta_does(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    line = next(line for line in sdp.split("\r\n") if line.startswith("a=fingerprint"))
    bad = sdp.replace(line, f"{line}\r\n{line.replace('256', '384')}\r\n{line.replace('256', '512')}")
    status, body = await stage.business.act("pre_accept", call.id, bad)
    assert (status, body["error"]["code"]) == (400, 138008)
    assert "3" in body["error"]["error_data"]["details"]
    assert await stage.business.act("pre_accept", call.id, sdp) == OK


async def test_accept_needs_the_sdp_of_pre_accept(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    assert await stage.business.act("pre_accept", call.id, sdp) == OK
    assert code_of(await stage.business.act("accept", call.id, sdp + "a=x:y\r\n")) == (400, 100)
    assert await stage.business.act("accept", call.id, sdp) == OK
    assert code_of(await stage.business.act("accept", call.id, sdp)) == (400, 100)
    assert code_of(await stage.business.act("pre_accept", call.id, sdp)) == (400, 100)
    assert code_of(await stage.business.act("reject", call.id)) == (400, 100)


async def test_a_call_can_be_accepted_without_pre_accept(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    assert await stage.business.act("accept", call.id, sdp, to="16315553602") == OK
    assert (await call.read())["state"] == "connected"


async def test_reject_ends_the_call_without_times(stage: Stage) -> None:
    call, _ = await ringing(stage)
    assert await stage.business.act("reject", call.id) == OK
    terminate = await stage.business.next_call("terminate")
    assert terminate["status"] == "COMPLETED"
    assert not {"start_time", "end_time", "duration"} & set(terminate)
    assert code_of(await stage.business.act("reject", call.id)) == (400, 100)
    assert (await call.read())["ended_by"] == "business"


async def test_terminate_of_a_connected_call_brings_times_once(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    await stage.business.act("accept", call.id, sdp, biz_opaque_callback_data="ticket 5")
    assert await stage.business.act("terminate", call.id) == OK
    terminate = await stage.business.next_call("terminate")
    assert int(terminate["end_time"]) - int(terminate["start_time"]) == terminate["duration"]
    assert isinstance(terminate["duration"], int)
    assert terminate["biz_opaque_callback_data"] == "ticket 5"
    assert code_of(await stage.business.act("terminate", call.id)) == (400, 100)
    await call.wait(closed=True, webhook="terminate")
    assert len(stage.business.calls("terminate")) == 1


async def test_accept_options_are_checked(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    for bad in (
        {"biz_opaque_callback_data": "x" * 513},
        {"biz_opaque_callback_data": 5},
        {"recording": {"status": "ON"}},
        {"recording": {"status": "ENABLED"}},
        {"transcription": {"status": "ENABLED", "purpose": "p" * 251}},
        {"transcription": {"status": "ENABLED", "purpose": "p", "announcement_language": "tlh"}},
    ):
        assert code_of(await stage.business.act("accept", call.id, sdp, **bad)) == (400, 100)
    recording = {"status": "ENABLED", "purpose": "training", "announcement_language": "es"}
    assert await stage.business.act("accept", call.id, sdp, recording=recording) == OK
    assert (await call.read())["accept_options"] == {"recording": recording}


async def test_arranged_failures_happen_so_often_and_are_then_over(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    await stage.meta.fail(GraphFault(action="accept", code=138004, count=2, details="try again"))
    for _ in range(2):
        assert code_of(await stage.business.act("accept", call.id, sdp)) == (500, 138004)
    assert await stage.business.act("accept", call.id, sdp) == OK
    await stage.meta.fail(GraphFault(action="terminate", http_status=503, code=2, applied=True))
    assert code_of(await stage.business.act("terminate", call.id)) == (503, 2)
    assert (await call.read())["state"] == "ended"


async def test_a_reply_can_be_lost_and_late(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    await stage.meta.fail(GraphFault(action="pre_accept", disconnect=True))
    with pytest.raises(aiohttp.ClientError):
        await stage.business.act("pre_accept", call.id, sdp)
    await stage.meta.fail(GraphFault(action="*", delay_ms=300))
    assert await stage.business.act("pre_accept", call.id, sdp) == OK
    first, second = await stage.meta.requests(action="pre_accept")
    assert first["status"] is None
    assert second["milliseconds"] >= 300


async def test_every_request_is_kept_with_its_reply(stage: Stage) -> None:
    call, sdp = await ringing(stage)
    await stage.business.act("pre_accept", call.id, sdp)
    (request,) = await stage.meta.requests(call_id=call.id)
    assert request["action"] == "pre_accept"
    assert request["body"]["session"]["sdp"] == sdp
    assert request["reply"] == OK[1]
    assert "EAAtoken" not in str(request)
