"""The phone page's files, and its websocket with a page that behaves, and with one that does not. No browser here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from tests.unit.simulator.test_browser_description import CHROMIUM
from whatsapp_bridge.simulator.models import UserPlan

USER = "4915112345678"


class Page:
    """A page's end of the line."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, kind: str, **more: Any) -> None:
        await self.socket.send_json({"type": kind, **more})

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of that type."""
        async with asyncio.timeout(5):
            while (message := await self.socket.receive_json())["type"] != kind:
                pass
        return dict(message)


@asynccontextmanager
async def page(stage: Stage, *, on: bool = True) -> AsyncIterator[Page]:
    """An open page, whose phone is on."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{stage.base}/phone/line", headers={"Origin": stage.base}) as socket,
    ):
        opened = Page(socket)
        await opened.hear("ready")
        if on:
            await opened.say("on", number=USER, name="Ada")
            await opened.hear("permissions")
        yield opened


async def called(stage: Stage) -> str:
    """A business has called the user, whose page has got the offer; Meta's id."""
    sdp = RawPeer(None).answer().replace("setup:active", "setup:actpass")
    session = {"sdp_type": "offer", "sdp": sdp}
    status, reply = await stage.business.post(
        {"messaging_product": "whatsapp", "action": "connect", "to": USER, "session": session}
    )
    return str(reply["calls"][0]["id"]) if status == 200 else str(reply["error"]["error_data"]["details"])


async def test_the_page_has_all_its_files_and_may_load_nothing_else(stage: Stage) -> None:
    async with aiohttp.ClientSession() as session:
        weight = 0
        for name in ("", "/phone.css", "/phone.js", "/webrtc.js", "/tones.js"):
            async with session.get(f"{stage.base}/phone{name}") as reply:
                assert reply.status == 200
                assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
                text = await reply.text()
                weight += len(text)
                assert "http://" not in text.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
        assert weight < 60_000
        for path in ("/phone/nothing.js", "/phone/..%2Fserver.py", "/phone/phone.html/"):
            async with session.get(f"{stage.base}{path}") as reply:
                assert reply.status == 404


@pytest.mark.parametrize("origin", [None, "http://elsewhere.example", "null"])
async def test_a_page_of_another_origin_gets_no_line(stage: Stage, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{stage.base}/phone/line", headers=headers)
        assert refused.value.status == 403


async def test_nonsense_is_refused_and_the_line_goes_on(stage: Stage) -> None:
    async with page(stage) as phone:
        for nonsense in ("{", "[]", '{"type": "boo"}', '{"type": "on", "number": "+1", "name": "x"}'):
            await phone.socket.send_str(nonsense)
            assert (await phone.hear("refused"))["reason"].startswith("not understood")
        await phone.say("call", to="15550783881", sdp="v=0")
        assert "one audio section" in (await phone.hear("refused"))["reason"]
        await phone.say("call", to="4711", sdp=CHROMIUM)
        assert "no business number 4711" in (await phone.hear("refused"))["reason"]
        await phone.say("hangup", call="wacid.not-mine")
        await phone.say("permit", request="wamid.never", answer="accept")
        await phone.hear("permissions")
        await phone.say("call", to="15550783881", sdp=CHROMIUM)
        await phone.hear("calling")
        await phone.say("call", to="15550783882", sdp=CHROMIUM)
        assert "in a call already" in (await phone.hear("refused"))["reason"]


async def test_a_phone_that_is_off_cannot_call(stage: Stage) -> None:
    async with page(stage, on=False) as phone:
        await phone.say("call", to="15550783881", sdp=CHROMIUM)
        assert "the phone is off" in (await phone.hear("refused"))["reason"]


async def test_a_page_that_goes_away_in_a_call_has_hung_up(stage: Stage) -> None:
    async with page(stage) as phone:
        await phone.say("call", to="15550783881", sdp=CHROMIUM)
        call_id = (await phone.hear("calling"))["call"]
        await stage.business.next_call("connect")
    assert (await stage.business.next_call("terminate"))["id"] == call_id
    facts = await (await stage.meta.call(call_id)).wait(closed=True)
    assert facts["ended_by"] == "user"
    assert stage.world.phones == {}


async def test_the_users_newest_window_has_the_phone(stage: Stage) -> None:
    async with page(stage) as old, page(stage) as new:
        await old.hear("taken")
        calling = asyncio.create_task(called(stage))
        offer = await new.hear("offer")
        assert offer["from"] == "15550783881"
        await new.say("description", call=offer["call"], sdp=CHROMIUM)
        assert await calling == offer["call"]
        await new.hear("incoming")
        await new.say("decline", call=offer["call"])
        assert (await new.hear("ended"))["reason"] == "You declined"


async def test_a_second_business_finds_the_line_busy(stage: Stage) -> None:
    async with page(stage) as phone:
        await phone.say("call", to="15550783882", sdp=CHROMIUM)
        await phone.hear("calling")
        call_id = await called(stage)
        facts = await (await stage.meta.call(call_id)).wait(state="ended")
        assert facts["ended_by"] == "user"
        await stage.business.next_call("terminate")
        assert [s["status"] for v in stage.business.values() for s in v.get("statuses", [])] == ["RINGING", "REJECTED"]


async def test_a_page_that_closes_or_errs_before_it_has_answered(stage: Stage) -> None:
    async with page(stage) as phone:
        calling = asyncio.create_task(called(stage))
        offer = await phone.hear("offer")
        await phone.say("description", call=offer["call"], sdp="v=0")
        assert "one audio section" in await calling
    async with page(stage) as phone:
        calling = asyncio.create_task(called(stage))
        offer = await phone.hear("offer")
        await phone.say("hangup", call=offer["call"])
        assert "may not use the microphone" in await calling
    async with page(stage) as phone:
        calling = asyncio.create_task(called(stage))
        await phone.hear("offer")
    assert "its page was closed" in await calling
    assert stage.business.calls("terminate") == []


async def test_a_user_without_an_open_page_acts_as_planned(stage: Stage) -> None:
    await stage.meta.plan_user(UserPlan(number=USER, answer="reject", answer_ms=0))
    async with page(stage):
        pass
    call_id = await called(stage)
    assert (await (await stage.meta.call(call_id)).wait(state="ended"))["ended_by"] == "user"


async def test_what_the_browser_counted_is_what_the_control_api_shows(stage: Stage) -> None:
    async with page(stage) as phone:
        await phone.say("call", to="15550783881", sdp=CHROMIUM)
        call = await stage.meta.call((await phone.hear("calling"))["call"])
        answer = RawPeer(call.facts["sdp"]["ours"]).answer()
        await stage.business.act("accept", call.id, answer)
        told = await phone.hear("sdp")
        assert "a=mid:0\r\n" in told["sdp"]
        await phone.hear("connected")
        counts = {"packets_in": 7, "bytes_in": 700, "packets_out": 9, "bytes_out": 900, "jitter_s": 0.004}
        await phone.say("stats", call=call.id, connected=True, role="server", **counts)
        facts = await call.wait(packets_in=7, dtls="connected", audio=True)
        assert facts["dtls"]["role"] == "server"
        media = facts["media"]
        assert (media["packets_in"], media["bytes_out"], media["jitter_ms"]) == (7, 900, 4.0)
        await stage.meta.reset()
        assert (await phone.hear("ended"))["reason"] == "The simulator was reset"


async def test_a_call_in_which_no_sound_comes_is_ended_by_meta(stage: Stage) -> None:
    async with page(stage) as phone:
        await phone.say("call", to="15550783881", sdp=CHROMIUM)
        call = await stage.meta.call((await phone.hear("calling"))["call"])
        stage.world.calls[call.id].behaviour.first_media_s = 0.1
        await stage.business.act("accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
        ended = await phone.hear("ended")
        assert "no sound" in ended["reason"]
        terminate = await stage.business.next_call("terminate")
        assert terminate["errors"][0]["code"] == 138021
