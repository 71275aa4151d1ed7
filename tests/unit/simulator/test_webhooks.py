"""What arrives at the business's webhook address, and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from whatsapp_bridge.simulator.client import SimulatorError
from whatsapp_bridge.simulator.models import Behaviour, Injection, PlaceCall, Release, Verification
from whatsapp_bridge.simulator.webhooks import WebhookOptions


async def test_a_connect_has_the_keys_of_a_live_one(stage: Stage) -> None:
    await stage.meta.place(PlaceCall(from_="16315553602", name="Zoë / Ωμέγα"))
    call = await stage.business.next_call("connect")
    headers, raw = stage.business.raw[0]
    assert stage.business.good == [True]
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Hub-Signature"].startswith("sha1=")
    assert raw.isascii()
    assert b"Zo\\u00eb" in raw
    body = json.loads(raw)
    assert list(body) == ["object", "entry"]
    change = body["entry"][0]["changes"][0]
    assert change["field"] == "calls"
    assert list(change["value"]) == ["messaging_product", "metadata", "contacts", "calls"]
    assert change["value"]["contacts"] == [{"profile": {"name": "Zoë / Ωμέγα"}, "wa_id": "16315553602"}]
    assert set(call) == {"id", "from", "to", "event", "timestamp", "direction", "session"}
    assert set(call["session"]) == {"sdp", "sdp_type"}
    assert (call["from"], call["to"]) == ("16315553602", "15550783881")
    assert isinstance(call["timestamp"], str)
    assert call["id"].startswith("wacid.")


async def test_payloads_of_links_come_with_connect_and_terminate(stage: Stage) -> None:
    placed = await stage.meta.place(PlaceCall(deeplink_payload="from the web", cta_payload="order 7"))
    await placed.cancel()
    terminate = await stage.business.next_call("terminate")
    for call in (stage.business.calls("connect")[0], terminate):
        assert (call["deeplink_payload"], call["cta_payload"]) == ("from the web", "order 7")


async def test_a_user_may_come_without_a_number(stage: Stage) -> None:
    placed = await stage.meta.place(
        PlaceCall(user_id="US.13491208655302741918", parent_user_id="US.9", username="ada", hides_number=True)
    )
    await placed.cancel()
    await stage.business.next_call("terminate")
    assert b"16315553602" not in b"".join(raw for _, raw in stage.business.raw).replace(placed.id.encode(), b"")
    for value in stage.business.values():
        assert value["calls"][0]["from_user_id"] == "US.13491208655302741918"
        assert value["contacts"][0]["user_id"] == "US.13491208655302741918"
        assert value["contacts"][0]["profile"]["username"] == "ada"


async def test_a_webhook_that_is_not_taken_is_posted_again(stage: Stage) -> None:
    stage.business.reply_status = [500, 503, 200]
    call = await stage.meta.place()
    facts = await call.wait(webhook="connect")
    assert [attempt["status"] for attempt in facts["webhooks"][0]["attempts"]] == [500, 503, 200]
    assert len({raw for _, raw in stage.business.raw}) == 1


async def test_duplicates_are_the_very_same_bytes(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(webhooks=WebhookOptions(duplicate=2)))
    await stage.business.posts(3)
    assert len({raw for _, raw in stage.business.raw}) == 1
    assert stage.business.calls("connect")[2]["id"] == call.id


async def test_terminate_can_come_before_connect(stage: Stage) -> None:
    call = await stage.meta.place(
        PlaceCall(webhooks=WebhookOptions(terminate_first=True), behaviour=Behaviour(cancel_after_ms=50))
    )
    await stage.business.next_call("connect")
    assert [value["calls"][0]["event"] for value in stage.business.values()] == ["terminate", "connect"]
    assert (await call.wait(closed=True))["ended_by"] == "user"


async def test_webhooks_can_be_late_or_lost(stage: Stage) -> None:
    slow = await stage.meta.place(PlaceCall(webhooks=WebhookOptions(connect_delay_ms=300)))
    facts = await slow.wait(webhook="connect")
    assert facts["webhooks"][0]["attempts"][0]["at"] - facts["times"]["placed"] > 0.25
    lost = await stage.meta.place(PlaceCall(webhooks=WebhookOptions(lose_connect=True)))
    await lost.cancel()
    await lost.wait(webhook="terminate")
    assert [call["id"] for call in stage.business.calls("connect")] == [slow.id]


@pytest.mark.parametrize(
    ("shape", "entries", "changes", "calls"), [("changes", 1, 3, 1), ("entries", 3, 1, 1), ("merged", 1, 1, 3)]
)
async def test_several_calls_can_come_in_one_post(
    stage: Stage, shape: Any, entries: int, changes: int, calls: int
) -> None:
    await stage.meta.hold_webhooks()
    placed = [await stage.meta.place(PlaceCall(from_=f"1631555360{n}")) for n in range(3)]
    await stage.meta.release_webhooks(Release(shape=shape, backwards=True))
    await stage.business.next_call("connect", 3)
    assert len(stage.business.raw) == 1
    body = stage.business.received[0]
    assert len(body["entry"]) == entries
    assert len(body["entry"][0]["changes"]) == changes
    assert len(body["entry"][0]["changes"][0]["value"]["calls"]) == calls
    assert [call["id"] for call in stage.business.calls("connect")] == [call.id for call in reversed(placed)]
    with pytest.raises(SimulatorError, match="no webhook is held"):
        await stage.meta.release_webhooks()


@pytest.mark.parametrize("signature", ["bad", "none", "other_body"])
async def test_signatures_can_be_wrong(stage: Stage, signature: Any) -> None:
    await stage.meta.place(PlaceCall(webhooks=WebhookOptions(signature=signature)))
    await stage.business.posts(1)
    assert stage.business.good == [False]


async def test_unknown_keys_and_odd_serialisation_keep_the_signature_right(stage: Stage) -> None:
    options = WebhookOptions(unknown_keys=True, shuffle_keys=True, escape_slashes=True)
    await stage.meta.place(PlaceCall(webhooks=options, behaviour=Behaviour(extra={"odd": [1]})))
    call = await stage.business.next_call("connect")
    assert stage.business.good == [True]
    assert b"\\/" in stage.business.raw[0][1]
    assert call["odd"] == [1]
    assert call["another_new_key"] is True


async def test_the_offer_and_the_id_can_be_spoilt(stage: Stage) -> None:
    behaviour = Behaviour(
        call_id="wacid." + "x" * 5000, sdp_omit=["fingerprint"], timestamp_offset_s=-120, omit_direction=True
    )
    placed = await stage.meta.place(PlaceCall(behaviour=behaviour))
    call = await stage.business.next_call("connect")
    assert call["id"] == behaviour.call_id
    assert "a=fingerprint" not in call["session"]["sdp"]
    assert "direction" not in call
    assert int(call["timestamp"]) < placed.facts["times"]["placed"] - 100
    with pytest.raises(SimulatorError, match="already"):
        await stage.meta.place(PlaceCall(behaviour=behaviour))
    await placed.hang_up()


async def test_anything_can_be_posted(stage: Stage) -> None:
    stage.business.reply_status = [200]
    good = await stage.meta.inject(Injection(body={"object": "whatsapp_business_account", "entry": []}))
    assert good["status"] == 200
    stage.business.reply_status = [400]
    bad = await stage.meta.inject(Injection(raw="{not json", signature="bad"))
    assert bad["status"] == 400
    assert stage.business.raw[1][1] == b"{not json"
    assert stage.business.good == [True, False]


async def test_the_verification_handshake_is_seen_from_metas_side(stage: Stage) -> None:
    assert (await stage.meta.verify())["verified"] is True
    wrong = await stage.meta.verify(Verification(verify_token="wrong"))
    assert (wrong["verified"], wrong["status"]) == (False, 403)


async def test_errors_stand_in_both_places_or_where_wanted(stage: Stage) -> None:
    for n, (places, in_value, in_call) in enumerate(
        [("both", True, True), ("value", True, False), ("call", False, True)]
    ):
        behaviour = Behaviour.model_validate({"first_media_s": 0.05, "error_places": places})
        call = await stage.meta.place(PlaceCall(behaviour=behaviour))
        await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
        terminate = await stage.business.next_call("terminate", n + 1)
        value = next(v for v in stage.business.values() if v["calls"][0] == terminate)
        assert ("errors" in value, "errors" in terminate) == (in_value, in_call)
        error = (value.get("errors") or terminate["errors"])[0]
        assert error["code"] == 138021
        assert set(error) == {"code", "title", "message", "error_data"}
