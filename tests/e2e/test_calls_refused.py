"""Calls that do not go out: each refusal is heard and written. The agents' prefix is not the usual one here."""

from collections.abc import AsyncIterator

import pytest

from ari_app.calls.refusal import Rule
from ari_app.runtime.stack import Stack, StackOptions
from tests.e2e.desks import DESKS, Floor, floor_of, refused
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.consent_models import AccountUpdate

NAMED = """
[globals]
WHATSAPP_PREFIX=*92

[named]
exten => _X.,1,Gosub(whatsapp-call,s,1(4915112345678,${EXTEN}))
"""
CANADIAN = "14165550100"


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(extra_dialplan=DESKS + NAMED)


@pytest.fixture
async def floor(stack: Stack) -> AsyncIterator[Floor]:
    async with floor_of(stack) as floor:
        yield floor


@pytest.mark.parametrize(
    ("dialled", "rule", "words"),
    [
        ("*92112", Rule.EMERGENCY_NUMBER, "112 is an emergency number"),
        ("*92004911833", Rule.SHORT_NUMBER, "11833 is a short number"),
        ("*92004912", Rule.INVALID_NUMBER, "is not a number that anybody can have"),
        ("*92005352345678", Rule.CUSTOMER_COUNTRY, "customers in CU may not be called (+5352345678)"),
        ("*9279787012345", Rule.CUSTOMER_REGION, "customers in Crimea may not be called (+79787012345)"),
    ],
)
async def test_who_may_not_be_called(floor: Floor, dialled: str, rule: Rule, words: str) -> None:
    await floor.dial(dialled)
    assert words in await refused(floor, rule)
    assert not await floor.meta.calls(), "Meta was not asked"


async def test_a_phone_of_no_agent_calls_nobody(floor: Floor) -> None:
    await floor.dial("*924915112345678", desk="d99")
    assert "no agent" in await refused(floor, Rule.NO_AGENT)


async def test_an_agent_with_the_telephone_network_behind_calls_nobody(floor: Floor) -> None:
    await floor.db.execute("UPDATE pbx.agents SET voip_only = false")
    await floor.dial("*924915112345678")
    assert "the PSTN guard keeps WhatsApp calls from agent Desk 20" in await refused(floor, Rule.PSTN_GUARD)


async def test_a_number_that_is_not_at_meta_calls_nobody(floor: Floor) -> None:
    await floor.dial("4999", context="named")
    assert "there is no WhatsApp number 4999" in await refused(floor, Rule.NO_BUSINESS_NUMBER)


async def test_a_business_number_of_a_country_without_outbound_calls(floor: Floor) -> None:
    await floor.db.execute(
        "INSERT INTO whatsapp.numbers (phone_number_id, display_number) VALUES ('7', $1) ON CONFLICT DO NOTHING",
        CANADIAN,
    )
    try:
        await floor.dial(CANADIAN, context="named")
        assert "no business number of CA" in await refused(floor, Rule.BUSINESS_COUNTRY)
    finally:
        await floor.db.execute("DELETE FROM whatsapp.numbers WHERE phone_number_id = '7'")


async def test_voice_calling_is_switched_off(floor: Floor) -> None:
    await floor.db.execute("UPDATE pbx.routes SET calling_enabled = false")
    await floor.dial("*924915112345678")
    assert f"switched off for number {floor.number}" in await refused(floor, Rule.CALLING_DISABLED)


async def test_meta_has_restricted_the_number(floor: Floor) -> None:
    consent = ConsentClient(floor.meta)
    update = AccountUpdate(restriction="RESTRICTED_BUSINESS_INITIATED_CALLING", reason="too many complaints")
    await consent.account_update(floor.stack.number.phone_number_id, update)
    await floor.until("SELECT max(reason) FROM whatsapp.restrictions", update.reason)
    try:
        await floor.dial("*924915112345678")
        reason = await refused(floor, Rule.RESTRICTED)
        assert reason.startswith(f"WhatsApp lets number {floor.number} call nobody until 20")
        assert reason.endswith(" UTC: too many complaints")
        assert not await floor.meta.calls(), "Meta was not asked"
    finally:
        await floor.db.execute("UPDATE whatsapp.number_settings SET restrictions = '[]'")
