"""Call events as an administrator's system gets them: signed, in order, until they are taken."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import IPvAnyNetwork, TypeAdapter

from ari_app.console.hooks import signing
from ari_app.console.keys import WEBHOOKS
from ari_app.store.console.audit import Actor
from ari_app.store.console.users import Role
from ari_app.store.console.webhooks import EVENTS, WebhookSettings, WebhookStore
from tests.integration.console.desk import Desk
from tests.integration.console.floor import USER, Floor
from tests.integration.console.programs import program

LOOPBACK = [TypeAdapter(IPvAnyNetwork).validate_python("127.0.0.0/8")]


@dataclass
class System:
    """An administrator's system: what it was told, and how it answers."""

    address: str = ""
    answers: list[int] = field(default_factory=list)
    "For the next requests; then 204."
    got: list[tuple[dict[str, str], bytes, float]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    wait: asyncio.Event = field(default_factory=asyncio.Event)
    "It answers once this is set."

    def __post_init__(self) -> None:
        self.wait.set()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self.news:
            self.got.append((headers, body, time.time()))
            self.news.notify_all()
        await self.wait.wait()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": self.address} if status == 302 else None)

    async def has(self, count: int, within: float = 10.0) -> list[tuple[dict[str, str], Any]]:
        async with asyncio.timeout(within), self.news:
            await self.news.wait_for(lambda: len(self.got) >= count)
        return [(headers, json.loads(body)) for headers, body, _ in self.got]


@asynccontextmanager
async def system() -> AsyncIterator[System]:
    made = System()
    app = web.Application()
    app.router.add_post("/events", made.take)
    async with TestServer(app) as server:
        made.address = f"http://127.0.0.1:{server.port}/events"
        yield made


@pytest.fixture(autouse=True)
async def clean(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Floor]:
    """Loopback may be reached, and nobody is told anything before or after."""
    monkeypatch.setattr(desk.app[WEBHOOKS], "_allowed", LOOPBACK)
    floor = Floor(desk)
    await floor.clear()
    yield floor
    await desk.fetch("DELETE FROM console.webhooks")
    await floor.clear()


async def added(desk: Desk, url: str, *events: str) -> tuple[UUID, bytes]:
    settings = WebhookSettings(f"system {uuid.uuid4().hex[:6]}", url, events or EVENTS)
    webhook, secret = await WebhookStore(desk.database).add(settings, Actor("test"))
    return webhook.id, secret


async def test_a_call_is_told_step_by_step_and_signed(desk: Desk, clean: Floor) -> None:
    async with system() as ours:
        _, secret = await added(desk, ours.address)
        ada = await clean.agent("Ada")
        call = await clean.call("Zoë", path=["group:Sales"])
        offer = await clean.rings(call, ada)
        await clean.talks(call, ada)
        await clean.over(offer, "answered")
        await clean.ends(call)
        got = await ours.has(4)
        assert [one["type"] for _, one in got] == ["call.received", "call.ringing", "call.answered", "call.ended"]
        assert {one["data"]["call_id"] for _, one in got} == {str(call)}
        assert [one["data"]["agent"] for _, one in got] == [None, None, "Ada", "Ada"]
        record = got[3][1]["data"]["record"]
        assert (record["status"], record["agent"], record["group_name"]) == ("Answered", "Ada", "Sales")
        assert "recording_file" not in record
        for headers, body, at in ours.got:
            assert signing.is_genuine(secret, headers, body, at)
            assert not signing.is_genuine(secret, headers, body + b" ", at)
            assert not signing.is_genuine(secret, headers, body, at + signing.REPLAY_SECONDS + 1)
            assert not signing.is_genuine(b"x" * 32, headers, body, at)


async def test_what_was_rolled_back_is_not_told(desk: Desk, clean: Floor) -> None:
    async with system() as ours:
        await added(desk, ours.address, "call.received", "permission.changed")
        async with desk.database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(
                "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number) "
                "VALUES ($1, 'never', 'Voice', 'inbound', '1')",
                uuid.uuid4(),
            )
            await transaction.rollback()
        await desk.fetch(
            "INSERT INTO whatsapp.permissions (phone_number_id, user_key, status) VALUES ('106', $1, 'permanent')", USER
        )
        got = await ours.has(1)
        assert [(one["type"], one["data"]["status"]) for _, one in got] == [("permission.changed", "permanent")]


async def test_a_failing_system_gets_the_same_again_in_order_and_delays_no_other(
    desk: Desk, clean: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "pause", lambda *_: timedelta(seconds=0.3))
    async with system() as failing, system() as fine:
        failing.answers += [500, 302]
        await added(desk, failing.address, "call.received", "call.ringing")
        await added(desk, fine.address, "call.received", "call.ringing")
        call = await clean.call()
        await clean.rings(call, await clean.agent("Ada"))
        assert [one["type"] for _, one in await fine.has(2, within=3.0)] == ["call.received", "call.ringing"]
        got = await failing.has(4)
        assert [one["type"] for _, one in got] == ["call.received"] * 3 + ["call.ringing"]
        assert len({headers["webhook-id"] for headers, _ in got[:3]}) == 1
        assert len({body for _, body, _ in failing.got[:3]}) == 1


async def test_what_is_given_up_is_dead_and_can_be_sent_again(
    desk: Desk, clean: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "pause", lambda *_: None)
    asks = await program(desk, Role.ADMINISTRATOR)
    async with system() as ours:
        ours.answers.append(503)
        webhook, _ = await added(desk, ours.address, "call.received")
        await clean.call()
        await ours.has(1)
        (dead,) = await _until(asks, webhook, "dead")
        assert (dead["status"], dead["attempts"]) == (503, 1)
        assert "503" in dead["fault"]
        assert (await asks("POST", f"/webhooks/{webhook}/deliveries/{dead['id']}/replay")).status == 204
        got = await ours.has(2)
        assert got[0][0]["webhook-id"] == got[1][0]["webhook-id"]
        assert len(await _until(asks, webhook, "delivered")) == 1


async def test_a_private_address_is_never_reached(desk: Desk, clean: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as an address nor behind a name, whatever the database says."""
    monkeypatch.setattr(signing, "pause", lambda *_: None)
    monkeypatch.setattr(desk.app[WEBHOOKS], "_allowed", [])
    asks = await program(desk, Role.ADMINISTRATOR)
    async with system() as ours:
        for url in (ours.address, ours.address.replace("127.0.0.1", "localhost")):
            webhook, _ = await added(desk, url, "call.received")
            await clean.call()
            (dead, *_) = await _until(asks, webhook, "dead")
            assert dead["status"] is None
            assert "address" in dead["fault"]
        assert not ours.got


async def test_no_two_consoles_deliver_to_one_system_at_once(desk: Desk, clean: Floor) -> None:
    """Until the one that took it is done, or is no more and its time has run out."""
    async with system() as ours:
        ours.wait.clear()
        webhook, _ = await added(desk, ours.address, "call.received")
        await clean.call()
        await ours.has(1)
        other = WebhookStore(desk.database)
        assert await other.take([], 8, timedelta(seconds=30)) == []
        await desk.fetch("UPDATE console.webhooks SET taken_until = now() - interval '1 second'")
        assert [due.webhook_id for due in await other.take([], 8, timedelta(seconds=30))] == [webhook]
        ours.wait.set()


async def test_a_call_is_not_disturbed_by_a_system_that_is_removed_meanwhile(desk: Desk, clean: Floor) -> None:
    webhook, _ = await added(desk, "https://crm.example/", "call.received")
    async with desk.database.connection() as connection:
        async with connection.transaction():
            await connection.execute("DELETE FROM console.webhooks WHERE id = $1", webhook)
            calling = asyncio.create_task(clean.call())
            async with asyncio.timeout(5):
                while not await desk.fetch("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                    await asyncio.sleep(0.02)
        call = await calling
    assert await desk.fetch("SELECT FROM pbx.calls WHERE id = $1", call)


async def test_a_system_is_added_changed_and_removed(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    wanted = {"name": "CRM", "url": "https://crm.example/hook", "events": ["call.ended"]}
    made = await asks("POST", "/webhooks", wanted)
    assert made.status == 201, made.text
    assert len(base64.b64decode(made.json["secret"].removeprefix("whsec_"))) == 32
    path = f"/webhooks/{made.json['id']}"
    assert "secret" not in (await asks("GET", path)).json
    assert (await asks("PATCH", path, {"enabled": False})).json["enabled"] is False
    for url in (
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
        "http://0x7f000001/",
        "http://[::ffff:10.0.0.1]/",
        "ftp://crm.example/",
        "https://user:pass@crm.example/",
    ):
        assert (await asks("PATCH", path, {"url": url})).error == "refused", url
    assert (await asks("DELETE", path)).status == 204
    assert (await asks("GET", path)).status == 404
    audited = (await asks("GET", "/audit?kind=webhook&subject=CRM")).text
    assert made.json["secret"] not in audited


async def test_an_administrator_sees_what_was_given_up_and_sends_it_again(
    desk: Desk, clean: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "pause", lambda *_: None)
    browser, asks = await desk.signed_in(Role.ADMINISTRATOR), await program(desk, Role.ADMINISTRATOR)
    await browser.get("/webhooks/new")
    refused = await browser.post(
        "/webhooks/new", {"name": "CRM", "url": "http://10.0.0.1/", "events": ["call.received"]}
    )
    assert refused.status == 422
    assert "not public" in refused.text
    named = {"name": "CRM", "url": "https://crm.example/", "events": ["call.received"], "enabled": "true"}
    assert "whsec_" in (await browser.post("/webhooks/new", named)).text
    (made,) = (await asks("GET", "/webhooks")).json["items"]
    async with system() as ours:
        ours.answers.append(500)
        await desk.fetch("UPDATE console.webhooks SET url = $1", ours.address)
        await clean.call("<b>Zoë</b>")
        await _until(asks, made["id"], "dead")
        seen = await browser.get(f"/webhooks/{made['id']}")
        assert "the system answered 500" in seen.text
        assert "<b>Zoë" not in seen.text
        delivery = seen.text.split('name="delivery" value="')[1].split('"')[0]
        assert (await browser.post(f"/webhooks/{made['id']}/replay", {"delivery": delivery})).status == 200
        await ours.has(2)
    assert (await browser.post(f"/webhooks/{made['id']}/remove")).path == "/webhooks"


async def _until(asks: Any, webhook: UUID, state: str) -> list[Any]:
    """Deliveries, once there is one in this state."""
    async with asyncio.timeout(10):
        while not (found := (await asks("GET", f"/webhooks/{webhook}/deliveries?state={state}")).json["items"]):
            await asyncio.sleep(0.1)
    return list(found)
