"""Outbound calls while something is wrong: strangers, a database that is away, a bridge that is killed; and leaks."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.dialling import OUT, PATIENCE, USER, Agent, Office, office_of, tone
from tests.integration.leftovers import holdings, holds_no_more_than, nothing_left
from whatsapp_bridge.simulator.models import Behaviour, GraphFault, UserPlan
from whatsapp_bridge.simulator.webhooks import WebhookOptions


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, extra_dialplan=OUT)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    async with office_of(stack) as office:
        yield office


def media_url(stack: Stack) -> str:
    return stack.webhook_url.replace("/webhook", "/media") + f"?to={USER}"


async def is_turned_away(stack: Stack, start: dict[str, str] | None) -> None:
    """A stranger opens the media websocket, says this, and is left without it."""
    async with aiohttp.ClientSession() as session, session.ws_connect(media_url(stack), protocols=["media"]) as socket:
        if start is not None:
            await socket.send_str(json.dumps({"event": "MEDIA_START", "format": "opus"} | start))
        assert (await socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.CLOSE


async def test_a_stranger_at_the_port_cannot_place_calls(stack: Stack, office: Office) -> None:
    await office.meta.plan_user(UserPlan(number=USER, answer="ignore"))
    agent = await office.dial()
    await agent.row("ringing")
    ours = next(c for c in await office.ari.channels.list() if c.data and c.data.name.startswith("WebSocket/"))
    rows = await office.db.fetchval("SELECT count(*) FROM whatsapp.calls")
    await is_turned_away(stack, {"channel_id": "1700000000.1", "channel": "WebSocket/whatsapp/0x7f0000000000"})
    await is_turned_away(stack, {"channel_id": ours.id, "channel": "WebSocket/whatsapp/0x7f0000000000"})
    await is_turned_away(stack, {"channel_id": agent.channel.id, "channel": "Local/x"})
    await is_turned_away(stack, {"channel_id": "../../etc"})
    await is_turned_away(stack, None)
    assert len(await office.meta.requests(action="connect")) == 1
    assert await office.db.fetchval("SELECT count(*) FROM whatsapp.calls") == rows
    assert (await agent.row("ringing"))["state"] == "ringing"
    await agent.hang_up()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 426),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "8"}, 426),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}, 400),
    ],
)
async def test_what_is_no_media_websocket_is_refused(stack: Stack, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession() as session, session.get(media_url(stack), headers=headers) as response:
        assert response.status == status


async def test_an_id_that_is_taken_is_refused_and_the_first_call_goes_on(office: Office) -> None:
    await office.meta.plan_user(UserPlan(number=USER, answer_ms=100, play=tone(1000)))
    first = await office.dial()
    await first.row("connected")
    second = await office.dial("4915187654321", call=first.call)
    assert await second.result() == "CHANUNAVAIL/21"
    assert (await first.row("connected"))["user_number"] == USER
    phone = await first.phone()
    await phone.wait(audio=True, timeout=PATIENCE)
    await phone.end()
    assert (await first.row())["ended_by"] == "user"


async def test_without_the_database_nobody_is_called(stack: Stack, office: Office) -> None:
    await office.db.expire_connections()
    await stack.postgres.stop()
    try:
        agent = await office.dial()
        assert await agent.result() == "CHANUNAVAIL/41"
        assert not await office.meta.requests(action="connect")
    finally:
        await stack.postgres.start()


async def test_without_ari_nobody_is_called(stack: Stack, office: Office) -> None:
    """Asterisk dials and connects, but nothing proves to the bridge that it was Asterisk."""
    account = stack.folder / "asterisk/etc/ari_whatsapp.conf"
    right = account.read_text()
    agent = await office.dial(context="later")
    account.write_text(right.replace("password = ", "password = not-"))
    await stack.asterisk.cli("module reload res_ari.so")
    try:
        await nothing_left(stack)
        assert f"RESULT_{agent.call}=NOANSWER/16" in await stack.asterisk.cli("dialplan show globals")
        assert not await office.meta.requests(action="connect")
    finally:
        account.write_text(right)
        await stack.asterisk.cli("module reload res_ari.so")


async def test_a_killed_bridge_leaves_no_phone_ringing_and_no_row_open(stack: Stack, office: Office) -> None:
    talking, ringing, asked = USER, "4915100000002", "4915100000003"
    await office.meta.plan_user(UserPlan(number=talking, answer_ms=50, play=tone(1000)))
    await office.meta.plan_user(UserPlan(number=ringing, answer="ignore"))
    # The third call is at Meta already when the bridge dies, but no word of it has come back.
    late = WebhookOptions(delay_ms=4000)
    await office.meta.plan_user(UserPlan(number=asked, answer="ignore", webhooks=late))
    agents = {talking: await office.dial(talking), ringing: await office.dial(ringing)}
    await agents[talking].row("connected")
    await agents[ringing].row("ringing")
    await office.meta.fail(GraphFault(action="connect", delay_ms=3000, applied=True))
    agents[asked] = await office.dial(asked)
    phones = {user: await agent.phone() for user, agent in agents.items()}
    stack.bridge.signal(signal.SIGKILL)
    await stack.bridge.wait()
    for agent in agents.values():
        await agent.result()
    await stack.bridge.start()
    for user, agent in agents.items():
        row = await agent.row()
        assert row["reason"] == "the bridge was restarted"
        assert (await phones[user].wait(state="ended", timeout=PATIENCE))["ended_by"] == "business"
    await nothing_left(stack)
    following = await office.dial()
    await following.row("connected")
    await following.hang_up()


async def calls_of_all_kinds(office: Office, count: int) -> None:
    """Answered, declined, not answered, refused by Meta, given up, with digits; several at once."""
    plans: list[dict[str, object]] = [
        {"answer_ms": 50, "play": tone(600)},
        {"answer": "reject", "answer_ms": 50},
        {"answer": "ignore", "behaviour": Behaviour(ring_s=0.3)},
        {"permission": False},
        {"answer": "ignore"},
        {"answer_ms": 50, "behaviour": Behaviour(hangup_after_ms=300)},
    ]

    async def one(number: int) -> None:
        kind, user = number % len(plans), f"491511{number:06d}"
        await office.meta.plan_user(UserPlan.model_validate({"number": user, "record": False, **plans[kind]}))
        agent: Agent = await office.dial(user)
        if kind == 0:
            phone = await agent.phone()
            await phone.wait(audio=True, timeout=PATIENCE)
            await phone.press("12")
            await agent.hang_up()
        elif kind == 4:
            await agent.row("ringing")
            await agent.hang_up()
        await agent.row()

    for batch in range(0, count, len(plans)):
        await asyncio.gather(*(one(number) for number in range(batch, batch + len(plans))))


async def test_after_thirty_calls_everything_is_given_back(stack: Stack, office: Office) -> None:
    await calls_of_all_kinds(office, 12)
    await nothing_left(stack)
    before = await holdings(stack)
    await calls_of_all_kinds(office, 30)
    await nothing_left(stack)
    await holds_no_more_than(stack, before)
    assert not await office.db.fetch("SELECT id FROM whatsapp.calls WHERE state <> 'ended'")
