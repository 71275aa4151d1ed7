"""The PSTN guard: whom a call may be joined to."""

import logging
import uuid
from datetime import UTC, datetime

import pytest

from ari_app.calls.call import Call, ChannelType
from ari_app.calls.caller import Caller
from ari_app.flows.guard import Guard, may_join


def call(channel_type: ChannelType) -> Call:
    return Call(uuid.uuid4(), "1.1", channel_type, "100", Caller(), datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("channel_type", "voip_only", "may"),
    [
        (ChannelType.WHATSAPP, True, True),
        (ChannelType.WHATSAPP, False, False),
        (ChannelType.VOICE, True, True),
        (ChannelType.VOICE, False, True),
    ],
)
def test_only_a_whatsapp_call_needs_an_endpoint_without_telephone_network(
    channel_type: ChannelType, voip_only: bool, may: bool
) -> None:
    assert may_join(channel_type, voip_only=voip_only) is may
    assert Guard().may_join(call(channel_type), voip_only=voip_only) is may
    assert Guard(on=False).may_join(call(channel_type), voip_only=voip_only)


def test_a_whatsapp_call_goes_on_only_in_contexts_that_are_listed() -> None:
    guard = Guard(voip_contexts=frozenset({"internal"}))
    assert guard.may_enter(call(ChannelType.WHATSAPP), "internal")
    assert not guard.may_enter(call(ChannelType.WHATSAPP), "from-internal")
    assert guard.may_enter(call(ChannelType.VOICE), "from-internal")


def test_a_refusal_tells_the_administrator_which_call_whom_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    refused = call(ChannelType.WHATSAPP)
    with caplog.at_level(logging.ERROR):
        words = Guard().refuse(refused, "agent Ada")
    assert words == "the PSTN guard keeps WhatsApp calls from agent Ada"
    assert str(refused.id) in caplog.text
    assert "agent Ada" in caplog.text
    assert "voip_only" in caplog.text
