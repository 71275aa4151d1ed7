"""The phone in the browser against a business of the test's: ringing, refusing, being called, being asked.

The business's WebRTC is the bridge's own; only webhooks and Graph requests are the test's.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.browser_phone import BrowserPhone, microphone_arguments
from tests.browser.pages import Pages, shot, shots
from tests.unit.simulator.business import Business
from tests.unit.simulator.conftest import simulator_config
from whatsapp_bridge.rtc import sdp
from whatsapp_bridge.rtc.peer import Peer
from whatsapp_bridge.rtc.rtp import OPUS, SILENCE, TELEPHONE_EVENT, RtpPacket
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.config import SimulatorConfig
from whatsapp_bridge.simulator.models import NumberState, PlaceCall, UserPlan
from whatsapp_bridge.simulator.server import running

USER = "16315553602"
NUMBER_ID = "106540352242922"


@pytest.fixture(scope="module")
def browser_arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return microphone_arguments(tmp_path_factory.mktemp("microphone"), 1000, -20)


class Shop(Business):
    """A business with the bridge's WebRTC."""

    def __init__(self) -> None:
        super().__init__()
        self.meta: SimulatorClient
        self.payload_types: list[int] = []
        self._news = asyncio.Event()
        self._peers: list[Peer] = []

    async def gather(self) -> tuple[Peer, sdp.LocalDescription]:
        """A media path of this test's."""
        peer = Peer("127.0.0.1")
        self._peers.append(peer)
        peer.on_rtp = self._heard
        return peer, await peer.gather()

    async def heard(self, payload_type: int) -> None:
        """Wait for a packet of that type."""
        async with asyncio.timeout(10):
            while payload_type not in self.payload_types:
                self._news.clear()
                await self._news.wait()

    async def says(self, peer: Peer) -> None:
        """One packet of silence: a phone that has heard nothing says nothing."""
        peer.send(RtpPacket(OPUS, True, 1, 960, peer.ssrc, SILENCE).serialize())

    async def status(self, name: str) -> None:
        """Wait for a status webhook of a call of ours."""
        async with asyncio.timeout(10):
            while name not in [each["status"] for value in self.values() for each in value.get("statuses", [])]:
                await self.posts(len(self.raw) + 1)

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()
        await super().close()

    def _heard(self, data: bytes) -> None:
        self.payload_types.append(RtpPacket.parse(data).payload_type)
        self._news.set()


def named(config: SimulatorConfig) -> SimulatorConfig:
    """Two businesses with names."""
    names = ("Bakery Example", "Bicycle Example")
    numbers = tuple(
        number.model_copy(update={"name": name}) for number, name in zip(config.numbers, names, strict=True)
    )
    return config.model_copy(update={"numbers": numbers})


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    business = Shop()
    await business.start()
    try:
        async with running(named(simulator_config(business.url, tmp_path))) as (_, base):
            business.graph = base
            async with SimulatorClient(base) as business.meta:
                yield business
    finally:
        await business.close()


def shape(description: str) -> list[str]:
    """An SDP without what is different in each call."""
    return [line.partition(":")[0] if line.startswith("a=") else line[:2] for line in description.splitlines()]


async def test_a_call_looks_like_metas_rings_and_is_silent_until_it_is_accepted(shop: Shop, pages: Pages) -> None:
    phone = await BrowserPhone.open(pages, f"{shop.graph}/phone")
    await shots(phone.page, "phone-idle")
    await phone.page.set_viewport_size({"width": 390, "height": 844})
    await phone.call()
    connect = await shop.next_call("connect")
    assert (connect["from"], connect["to"]) == (USER, "15550783881")
    headless = await shop.meta.place(PlaceCall(from_="4915112345678"))
    assert shape(connect["session"]["sdp"]) == shape(headless.facts["sdp"]["ours"])
    await headless.end()

    offer = sdp.parse(connect["session"]["sdp"])
    assert offer.ice_lite
    peer, local = await shop.gather()
    answer = sdp.answer(local, offer)
    assert (await shop.act("pre_accept", connect["id"], answer))[0] == 200
    await peer.connect(offer)
    await phone.shows("Ringing")
    await shot(phone.page, "phone-ringing")
    assert peer.packets_received == 0
    assert (await shop.act("accept", connect["id"], answer))[0] == 200
    await phone.shows("In call")
    await shop.says(peer)
    await shop.heard(OPUS)
    call = await shop.meta.call(connect["id"])
    await call.press("5")  # by the control API: the person's finger is lent
    await shop.heard(TELEPHONE_EVENT)
    assert set(shop.payload_types) == {OPUS, TELEPHONE_EVENT}
    facts = await call.wait(packets_in=1)
    assert facts["early_media"] is False
    await phone.page.get_by_role("button", name="End").click()
    terminate = await shop.next_call("terminate", count=2)
    assert terminate["id"] == connect["id"]
    async with asyncio.timeout(5):
        await peer.closed.wait()


async def test_a_refused_call_and_a_number_that_cannot_be_called(shop: Shop, pages: Pages) -> None:
    phone = await BrowserPhone.open(pages, f"{shop.graph}/phone")
    await phone.page.get_by_label("Bicycle Example", exact=False).first.check()
    await phone.page.get_by_label("Number").press("Enter")  # no mouse is needed
    connect = await shop.next_call("connect")
    assert connect["to"] == "15550783882"
    body = {"messaging_product": "whatsapp", "call_id": connect["id"], "action": "reject"}
    assert (await shop.post(body, pnid="206540352242922"))[0] == 200
    await phone.shows("The business does not take the call")
    await shop.meta.set_number("206540352242922", NumberState(calling_enabled=False))
    await phone.press("Call again")
    await phone.shows("this number cannot be called")
    await phone.press("Back")
    await expect(phone.page.get_by_role("button", name="Call", exact=True)).to_be_focused()


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_a_business_calls_and_the_person_accepts(shop: Shop, pages: Pages, setup: Any) -> None:
    await shop.meta.plan_user(UserPlan(number=USER, setup=setup, answer="reject", answer_ms=0))  # the person decides
    phone = await BrowserPhone.open(pages, f"{shop.graph}/phone")
    peer, local = await shop.gather()
    session = {"sdp_type": "offer", "sdp": sdp.offer(local)}
    body = {"messaging_product": "whatsapp", "action": "connect", "to": USER, "session": session}
    assert (await shop.post(body))[0] == 200
    connect = await shop.next_call("connect")
    assert f"a=setup:{setup}\r\n" in connect["session"]["sdp"]
    await peer.connect(sdp.parse(connect["session"]["sdp"]))
    await shop.status("RINGING")
    await phone.shows("WhatsApp voice call")
    await expect(phone.page.get_by_role("button", name="Accept")).to_be_focused()
    if setup == "active":
        await shots(phone.page, "phone-incoming")
    assert peer.packets_received == 0
    await phone.press("Accept")
    await shop.status("ACCEPTED")
    await shop.says(peer)
    await shop.heard(OPUS)
    await phone.shows("In call")
    assert (await shop.act("terminate", connect["id"]))[0] == 200
    await phone.shows("The business hung up")


async def test_a_business_calls_and_the_person_declines_or_is_too_late(shop: Shop, pages: Pages) -> None:
    phone = await BrowserPhone.open(pages, f"{shop.graph}/phone")
    for _ in range(2):
        _, local = await shop.gather()
        session = {"sdp_type": "offer", "sdp": sdp.offer(local)}
        body = {"messaging_product": "whatsapp", "action": "connect", "to": USER, "session": session}
        status, reply = await shop.post(body)
        assert status == 200
        await phone.shows("WhatsApp voice call")
        if not shop.calls("terminate"):
            await phone.press("Decline")
            await shop.status("REJECTED")
            await phone.shows("You declined")
            await shop.next_call("terminate")
    await shop.act("terminate", reply["calls"][0]["id"])
    await phone.shows("The business gave up")


async def test_a_business_asks_whether_it_may_call(shop: Shop, pages: Pages) -> None:
    phone = await BrowserPhone.open(pages, f"{shop.graph}/phone")
    switch = phone.page.get_by_role("switch", name="Bakery Example may call me")
    await expect(switch).to_have_attribute("aria-checked", "true")
    await switch.click()  # taken back in the business's profile
    await expect(switch).to_have_attribute("aria-checked", "false")
    _, local = await shop.gather()
    session = {"sdp_type": "offer", "sdp": sdp.offer(local)}
    connect = {"messaging_product": "whatsapp", "action": "connect", "to": USER, "session": session}
    assert (await shop.post(connect))[1]["error"]["code"] == 138006
    await shop.meta.request("POST", "/control/messages", {"user": USER, "text": "Hello"})  # opens the window
    interactive = {
        "type": "call_permission_request",
        "action": {"name": "call_permission_request"},
        "body": {"text": "We would like to call you about your order."},
    }
    message = {"messaging_product": "whatsapp", "to": USER, "type": "interactive", "interactive": interactive}
    assert (await shop.post(message, path=f"/v23.0/{NUMBER_ID}/messages"))[0] == 200
    await expect(phone.page.get_by_text("about your order")).to_be_visible()
    await shots(phone.page, "phone-request")
    await phone.press("For 7 days")
    await expect(switch).to_have_attribute("aria-checked", "true")
    await expect(phone.page.get_by_text("about your order")).to_be_hidden()
    assert (await shop.post(connect))[0] == 200
    await phone.shows("WhatsApp voice call")
