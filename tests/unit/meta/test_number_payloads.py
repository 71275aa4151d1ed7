"""Webhook fields besides `calls`, in the shapes that Meta publishes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.meta.test_webhook import NUMBER, Receiver, document, served  # noqa: F401
from whatsapp_bridge.meta.number_events import AccountNotice, MessageFailed, PermissionReply, SettingsChanged

AT = datetime.fromtimestamp(1767168000, UTC)
DIGITS = "15550783881"


def message(content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "from": "14085551234",
        "id": "wamid.reply",
        "timestamp": "1767168000",
        "interactive": {"type": "call_permission_reply", "call_permission_reply": content},
    } | more


def messages(*found: Any, **more: Any) -> dict[str, Any]:
    value = {"metadata": {"phone_number_id": NUMBER}, "messages": list(found), **more}
    return document(value, name="messages")


ACCEPT = {"response": "accept", "is_permanent": False, "response_source": "user_action"}
REQUEST = {"context": {"from": "15550783881", "id": "wamid.request"}}
CALL = {"context": {"from": "14085551234", "id": "wacid.call"}}


@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [
        (ACCEPT | {"expiration_timestamp": "1767772800"}, REQUEST, (True, False, 7, "wamid.request", False)),
        (ACCEPT | {"expiration_timestamp": 1767772800}, REQUEST, (True, False, 7, "wamid.request", False)),
        (ACCEPT, REQUEST, (True, False, 7, "wamid.request", False)),
        (ACCEPT | {"is_permanent": True}, REQUEST, (True, True, None, "wamid.request", False)),
        (ACCEPT | {"is_permanent": True}, {}, (True, True, None, None, False)),
        (ACCEPT | {"response_source": "automatic"}, CALL, (True, False, 7, "wacid.call", True)),
        (
            {"response": "reject", "response_source": "user_action"},
            REQUEST,
            (False, False, None, "wamid.request", False),
        ),
        ({"response": "reject", "response_source": "automatic"}, {}, (False, False, None, None, True)),
        ({"response": "reject"}, {"type": "interactive"}, (False, False, None, None, False)),
    ],
)
async def test_a_permission_reply_is_read_in_every_shape(
    served: Receiver,  # noqa: F811
    content: dict[str, Any],
    more: dict[str, Any],
    expected: Any,
) -> None:
    await served.post(messages(message(content, **more)))
    (event,) = served.handled
    assert isinstance(event, PermissionReply)
    days = None if event.expires_at is None else (event.expires_at - AT) // timedelta(days=1)
    assert (event.accepted, event.permanent, days, event.context_id, event.automatic) == expected
    assert (event.number, event.scoped_id, event.at) == ("14085551234", None, AT)


async def test_a_user_may_be_named_by_the_scoped_id_alone(served: Receiver) -> None:  # noqa: F811
    reply = message(ACCEPT, from_user_id="US.1", from_parent_user_id="US.P")
    del reply["from"]
    await served.post(messages(reply))
    (event,) = served.handled
    assert isinstance(event, PermissionReply)
    assert (event.number, event.scoped_id) == (None, "US.1")


async def test_only_failures_of_messages_are_read_of_their_statuses(served: Receiver) -> None:  # noqa: F811
    statuses = [
        {"id": "wamid.1", "status": "delivered", "recipient_id": "49"},
        {"id": "wamid.2", "status": "failed", "recipient_id": "49", "errors": [{"code": 131026, "title": "Old"}]},
        {"id": "wamid.3", "status": "failed"},
        {"id": "wamid.4", "status": "failed", "errors": "none"},
    ]
    await served.post(messages(statuses=statuses))
    assert served.handled == [
        MessageFailed(NUMBER, "wamid.2", "49", 131026, "Old"),
        MessageFailed(NUMBER, "wamid.3", None, 0, "no reason given"),
    ]


@pytest.mark.parametrize("kind", ["phone_number_settings", "PHONE_NUMBER_SETTINGS"])
async def test_a_change_of_settings_is_read(served: Receiver, kind: str) -> None:  # noqa: F811
    value = {
        "messaging_product": "whatsapp",
        "timestamp": "1767168000",
        "type": kind,
        "phone_number_settings": {"phone_number_id": NUMBER, "calling": {"status": "ENABLED"}},
    }
    for _ in range(2):
        await served.post(document(value, name="account_settings_update"))
    assert served.handled == [SettingsChanged(NUMBER, {"status": "ENABLED"}, AT)]


def account(value: dict[str, Any], number: str = DIGITS) -> dict[str, Any]:
    change = {"field": "account_update", "value": {"phone_number": number, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "0", "time": 1767168000, "changes": [change]}]}


async def test_restrictions_and_warnings_of_a_number_are_read(served: Receiver) -> None:  # noqa: F811
    restricted = {
        "event": "ACCOUNT_RESTRICTION",
        "restriction_info": [
            {"restriction_type": "RESTRICTED_BUSINESS_INITIATED_CALLING", "expiration": 1767772800},
            {"restriction_type": "RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN", "remediation": "by\nhand"},
            {"restriction_type": 7},
            None,
        ],
    }
    warned = {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "LOW_PICKUP", "remediation": "Answer"}}
    for body in (account(restricted), account(warned, f"+{DIGITS[0]} {DIGITS[1:]}"), account(warned, "49")):
        await served.post(body)
    await served.post(account({"event": "PARTNER_REMOVED"}))
    week = AT + timedelta(days=7)
    assert served.handled == [
        AccountNotice(NUMBER, "restriction", "RESTRICTED_BUSINESS_INITIATED_CALLING", week, "", AT),
        AccountNotice(
            NUMBER, "restriction", "RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN", None, "byhand", AT
        ),
        AccountNotice(NUMBER, "violation", "LOW_PICKUP", None, "Answer", AT),
    ]


@pytest.mark.parametrize("name", ["messages", "account_settings_update", "account_update"])
@pytest.mark.parametrize("value", [{}, {"messages": 5}, {"phone_number_settings": 5}, {"phone_number": 5}])
async def test_nonsense_in_these_fields_is_taken_and_dropped(
    served: Receiver,  # noqa: F811
    name: str,
    value: dict[str, Any],
) -> None:
    assert await served.post(document(value | {"metadata": {"phone_number_id": NUMBER}}, name=name)) == 200
    assert not served.stored
