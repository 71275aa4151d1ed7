"""Permissions to call, as Meta keeps them: requests, limits, answers, revocation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.test_outbound import dial, offer
from whatsapp_bridge.simulator.client import SimulatorError
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.consent_models import Answer, CustomerMessage, Grant
from whatsapp_bridge.simulator.models import Behaviour, GraphFault, PlaceCall, UserPlan
from whatsapp_bridge.simulator.permissions import DAY, WEEK

PNID, USER = "106540352242922", "14085551234"
TEMPLATE = {"name": "call_permission", "language": {"code": "en"}}
JSON = dict[str, Any]


def request(**more: Any) -> JSON:
    interactive = {"type": "call_permission_request", "action": {"name": "call_permission_request"}}
    body: JSON = {"messaging_product": "whatsapp", "to": USER, "type": "interactive", "interactive": interactive}
    return body | more


def template(**more: Any) -> JSON:
    return {"messaging_product": "whatsapp", "to": USER, "type": "template", "template": TEMPLATE | more}


async def send(stage: Stage, body: JSON) -> tuple[int, JSON]:
    return await stage.business.post(body, path=f"/v23.0/{PNID}/messages")


async def code(stage: Stage, body: JSON) -> int:
    """Meta's error code; 0 if it took the message."""
    status, reply = await send(stage, body)
    assert (status < 300) == ("error" not in reply)
    return int(reply["error"]["code"]) if "error" in reply else 0


async def query(stage: Stage, **query: str) -> JSON:
    text = "&".join(f"{key}={value}" for key, value in (query or {"user_wa_id": USER}).items())
    headers = {"Authorization": "Bearer EAAtoken"}
    assert stage.business._session is not None
    url = f"{stage.base}/v23.0/{PNID}/call_permissions?{text}"
    async with stage.business._session.get(url, headers=headers) as reply:
        result: JSON = await reply.json()
        return result


def replies(stage: Stage) -> list[JSON]:
    """Permission replies, in order."""
    messages = [message for value in stage.business.values() for message in value.get("messages", [])]
    return [each for each in messages if each.get("interactive", {}).get("type") == "call_permission_reply"]


async def reply(stage: Stage, count: int = 1) -> JSON:
    for posts in range(1, 100):
        if len(replies(stage)) >= count:
            return replies(stage)[count - 1]
        await stage.business.posts(posts)
    raise AssertionError("no reply")


@pytest.fixture
def consent(stage: Stage) -> ConsentClient:
    return ConsentClient(stage.meta)


async def test_who_was_never_spoken_of_may_be_called(stage: Stage) -> None:
    facts = await query(stage)
    assert facts["permission"] == {"status": "permanent"}
    assert await code(stage, template()) == 138017


async def test_a_request_is_accepted_for_seven_days(stage: Stage, consent: ConsentClient) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False, on_request_ms=0))
    _, sdp = offer()
    assert (await dial(stage, sdp))[1]["error"]["code"] == 138006
    status, sent = await send(stage, template())
    assert status == 200
    answer = await reply(stage)
    content = answer["interactive"]["call_permission_reply"]
    assert (content["response"], content["is_permanent"], content["response_source"]) == (
        "accept",
        False,
        "user_action",
    )
    assert answer["context"]["id"] == sent["messages"][0]["id"]
    assert answer["from"] == USER
    facts = await query(stage)
    assert facts["permission"] == {
        "status": "temporary",
        "expiration_time": int(content["expiration_timestamp"]),
    }
    assert facts["actions"][0]["limits"][0] == {
        "time_period": "PT24H",
        "max_allowed": 1,
        "current_usage": 1,
        "limit_expiration_time": pytest.approx(int(answer["timestamp"]) + DAY, abs=2),
    }
    assert facts["actions"][1]["can_perform_action"] is True
    await consent.advance_clock(WEEK + 1)
    assert (await query(stage))["permission"] == {"status": "no_permission"}


async def test_the_service_window_decides_between_free_form_and_template(stage: Stage, consent: ConsentClient) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False, on_request="ignore"))
    assert await code(stage, request()) == 131047
    await consent.write(CustomerMessage(user=USER, text="hello"))
    assert await code(stage, request()) == 0
    assert await code(stage, request()) == 138009
    await consent.advance_clock(DAY + 1)
    assert await code(stage, request()) == 131047
    assert await code(stage, template()) == 0
    await consent.advance_clock(DAY + 1)
    assert await code(stage, template()) == 138009
    await consent.advance_clock(WEEK)
    assert await code(stage, template()) == 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (request(messaging_product="sms"), 100),
        (request(recipient_type="group"), 100),
        (request(to="nobody"), 100),
        (request(type="text"), 100),
        (request(interactive={"type": "voice_call"}), 131009),
        (request(interactive={"type": "call_permission_request"}), 131009),
        (request(interactive=request()["interactive"] | {"header": {"type": "text"}}), 131009),
        (request(interactive=request()["interactive"] | {"body": {"text": ""}}), 131009),
        (request(interactive=request()["interactive"] | {"body": {"text": "x" * 1025}}), 131009),
        (template(name="unknown"), 132001),
        (template(language={"code": "de"}), 132001),
        (template(components=[{"type": "body", "parameters": [{"type": "text", "text": "x"}]}]), 132000),
        ({"messaging_product": "whatsapp", "recipient": "US.404", "type": "template", "template": TEMPLATE}, 131026),
    ],
)
async def test_a_malformed_request_is_refused(stage: Stage, body: JSON, expected: int) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False))
    assert await code(stage, body) == expected


async def test_a_connected_call_gives_the_right_to_ask_anew(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False, on_request="ignore"))
    assert await code(stage, template()) == 0
    assert await code(stage, template()) == 138009
    call = await stage.meta.place(PlaceCall(from_=USER))
    from tests.unit.simulator.rawpeer import RawPeer

    await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
    await call.wait(state="connected")
    assert await code(stage, template()) == 0
    await call.end()


async def test_four_calls_without_answer_cost_the_permission(stage: Stage, consent: ConsentClient) -> None:
    await stage.meta.plan_user(
        UserPlan(number=USER, permission="temporary", answer="ignore", behaviour=Behaviour(ring_s=0.05))
    )
    _, sdp = offer()
    for count in range(1, 5):
        assert (await dial(stage, sdp))[0] == 200
        await stage.business.next_call("terminate", count)
    answer = await reply(stage)
    assert answer["interactive"]["call_permission_reply"] == {"response": "reject", "response_source": "automatic"}
    assert "context" not in answer
    assert (await dial(stage, sdp))[1]["error"]["code"] == 138006
    assert (await consent.permission(USER))["system_messages"] == 1


async def test_a_hundred_connected_calls_are_a_days_limit(stage: Stage, consent: ConsentClient) -> None:
    await consent.grant(Grant(user=USER, status="permanent"))
    number = stage.world.numbers[PNID].config
    for _ in range(100):
        stage.world.permissions.call_connected(number, USER, stage.world.clock.now(), outbound=True)
    _, sdp = offer()
    assert (await dial(stage, sdp))[1]["error"]["code"] == 138012
    action = (await query(stage))["actions"][1]
    assert action["can_perform_action"] is False
    assert "limit_expiration_time" in action["limits"][0]


async def test_a_user_acts_by_hand_in_every_shape(stage: Stage, consent: ConsentClient) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False, on_request="ignore", user_id="US.9"))
    _, sent = await send(stage, template())
    await consent.answer(Answer(user=USER, response="decline"))
    first = await reply(stage, 1)
    assert first["interactive"]["call_permission_reply"] == {"response": "reject", "response_source": "user_action"}
    assert (first["from_user_id"], first["context"]["id"]) == ("US.9", sent["messages"][0]["id"])
    await consent.answer(Answer(user=USER, response="accept", expiration_as="integer", omit_type=True))
    second = await reply(stage, 2)
    assert isinstance(second["interactive"]["call_permission_reply"]["expiration_timestamp"], int)
    assert "type" not in second
    await consent.answer(Answer(user=USER, response="accept", to="profile"))
    third = await reply(stage, 3)
    assert third["interactive"]["call_permission_reply"] == {
        "response": "accept",
        "is_permanent": True,
        "response_source": "user_action",
    }
    assert "context" not in third
    await consent.answer(Answer(user=USER, response="decline", to="profile"))
    assert (await query(stage, recipient="US.9"))["permission"]["status"] == "no_permission"
    await consent.advance_clock(WEEK + 1)
    with pytest.raises(SimulatorError) as dead:
        await consent.answer(Answer(user=USER, response="accept"))
    assert dead.value.status == 409


async def test_an_old_client_fails_by_webhook(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False, on_request="old_client"))
    assert await code(stage, template()) == 0
    await stage.business.posts(1)
    (status,) = [each for value in stage.business.values() for each in value["statuses"]]
    assert (status["status"], status["errors"][0]["code"]) == ("failed", 131026)
    assert stage.business.received[0]["entry"][0]["changes"][0]["field"] == "messages"


async def test_faults_of_messages_and_queries_can_be_arranged(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, permission=False))
    await stage.meta.fail(GraphFault(action="messages", code=131044))
    assert await code(stage, template()) == 131044
    await stage.meta.fail(GraphFault(action="call_permissions", code=613))
    assert (await query(stage))["error"]["code"] == 613
    assert (await query(stage))["permission"]["status"] == "no_permission"
