"""The webhook receiver, over real HTTP, with the store in memory."""

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from whatsapp_bridge.meta.payloads import Connect, Event, ReceivedEvent, Status, Terminate
from whatsapp_bridge.meta.webhook import MAX_BODY, StoreUnavailable, WebhookReceiver, signature

SECRET, TOKEN, NUMBER = "app secret", "verify me", "106540352242922"


def connect(call_id: str = "wacid.A", **more: Any) -> dict[str, Any]:
    return {
        "id": call_id,
        "from": "4915112345678",
        "to": "15550783881",
        "event": "connect",
        "timestamp": "1790963543",
        "direction": "USER_INITIATED",
        "session": {"sdp": "v=0", "sdp_type": "offer"},
    } | more


def terminate(call_id: str = "wacid.A", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "event": "terminate", "timestamp": "1790963600", "status": "COMPLETED"} | more


def value(*calls: Any, number: str = NUMBER, **more: Any) -> dict[str, Any]:
    contact = {"profile": {"name": "Zoë"}, "wa_id": "4915112345678"}
    return {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "contacts": [contact],
        "calls": list(calls),
    } | more


def document(*values: dict[str, Any], name: str = "calls") -> dict[str, Any]:
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": name, "value": v} for v in values]}],
    }


def call_id_of(event: Event) -> str:
    assert isinstance(event, Connect | Terminate | Status)
    return event.call_id


@dataclass
class Receiver:
    client: TestClient[web.Request, web.Application]
    stored: dict[str, ReceivedEvent] = field(default_factory=dict)
    handled: list[Event] = field(default_factory=list)
    store_works: bool = True

    async def post(self, body: Any, *, sign: str | None = None) -> int:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Hub-Signature-256": sign if sign is not None else signature(SECRET, raw)}
        async with self.client.post("/webhook", data=raw, headers=headers) as response:
            await response.read()
            return response.status


@pytest.fixture
async def served() -> AsyncIterator[Receiver]:
    async def is_ours(number: str) -> bool:
        return number == NUMBER

    async def find_id(digits: str) -> str | None:
        return NUMBER if digits == "15550783881" else None

    async def store(event: ReceivedEvent) -> bool:
        if not it.store_works:
            raise StoreUnavailable("test")
        return it.stored.setdefault(event.key, event) is event

    def handle(event: Event) -> None:
        it.handled.append(event)

    app = web.Application(client_max_size=MAX_BODY)
    hook = WebhookReceiver(
        app_secret=SECRET, verify_token=TOKEN, is_ours=is_ours, find_id=find_id, store=store, handle=handle
    )
    app.add_routes(hook.routes())
    async with TestClient(TestServer(app)) as client:
        it = Receiver(client)
        yield it


async def test_the_handshake_echoes_the_challenge_to_who_knows_the_token(served: Receiver) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": TOKEN, "hub.challenge": "1158201444"}
    async with served.client.get("/webhook", params=query) as response:
        assert (response.status, await response.text()) == (200, "1158201444")
    async with served.client.get("/webhook", params=query | {"hub.verify_token": "guess"}) as response:
        assert response.status == 403
        assert "1158201444" not in await response.text()


@pytest.mark.parametrize("sign", ["", "sha256=", "sha256=" + "0" * 64, "nonsense", "é"])
async def test_a_wrong_signature_is_refused_and_nothing_is_stored(served: Receiver, sign: str) -> None:
    if sign.isascii():
        assert await served.post(document(value(connect())), sign=sign) == 401
    assert not served.stored
    assert not served.handled


async def test_the_signature_is_over_the_raw_bytes(served: Receiver) -> None:
    raw = json.dumps(document(value(connect()))).replace("Zo\\u00eb", "Zo\\u00EB").encode()
    assert await served.post(raw) == 200
    assert len(served.handled) == 1


async def test_a_call_is_read(served: Receiver) -> None:
    await served.post(document(value(connect(cta_payload="order 7\n<b>"))))
    (event,) = served.handled
    assert isinstance(event, Connect)
    assert (event.user.number, event.user.name, event.user.id) == ("4915112345678", "Zoë", "4915112345678")
    assert event.payload == "order 7<b>"
    assert event.direction == "inbound"
    assert event.timestamp is not None
    assert event.timestamp.year == 2026


async def test_a_user_without_number_is_known_by_the_scoped_id(served: Receiver) -> None:
    call = connect(from_user_id="US.13491208655302741918")
    del call["from"]
    contact = {"profile": {"name": "", "username": "zoe"}, "user_id": "US.13491208655302741918"}
    await served.post(document(value(call, contacts=[contact])))
    (event,) = served.handled
    assert isinstance(event, Connect)
    assert (event.user.id, event.user.number, event.user.name) == ("US.13491208655302741918", None, "zoe")


async def test_everything_in_a_batch_is_handled_in_order(served: Receiver) -> None:
    await served.post(document(value(connect("wacid.A"), connect("wacid.B")), value(terminate("wacid.A"))))
    assert [(type(e), call_id_of(e)) for e in served.handled] == [
        (Connect, "wacid.A"),
        (Connect, "wacid.B"),
        (Terminate, "wacid.A"),
    ]


async def test_the_same_event_twice_is_handled_once(served: Receiver) -> None:
    for _ in range(3):
        assert await served.post(document(value(connect()))) == 200
    assert len(served.handled) == 1


async def test_one_malformed_call_does_not_spoil_its_neighbours(served: Receiver) -> None:
    bad: list[Any] = [
        None,
        7,
        [],
        {},
        connect(session=None),
        connect("x" * 5000),
        connect("a b"),
        {"id": "wacid.Z"},
    ]
    assert await served.post(document(value(*bad, connect("wacid.good")))) == 200
    assert [call_id_of(e) for e in served.handled] == ["wacid.good"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"7",
        b'{"entry": 5}',
        b'{"entry": [{"changes": [7]}]}',
        b"[" * 50_000,
    ],
)
async def test_signed_nonsense_is_taken_and_dropped(served: Receiver, body: bytes) -> None:
    assert await served.post(body) == 200
    assert await served.post(document(value(connect()))) == 200
    assert len(served.handled) == 1


async def test_other_numbers_fields_and_events_are_ignored(served: Receiver) -> None:
    await served.post(document(value(connect(), number="999")))
    await served.post(document(value(connect()), name="messages"))
    await served.post(document(value(connect(event="moon_phase"))))
    assert not served.stored
    assert not served.handled


async def test_while_the_store_is_away_meta_is_asked_to_come_again(served: Receiver) -> None:
    served.store_works = False
    assert await served.post(document(value(connect()))) == 503
    assert not served.handled
    served.store_works = True
    assert await served.post(document(value(connect()))) == 200
    assert len(served.handled) == 1


@pytest.mark.parametrize("place", ["call", "value"])
async def test_metas_error_is_found_in_either_place(served: Receiver, place: str) -> None:
    errors = [{"code": 138021, "title": "No media", "error_data": {"details": "20 s without media"}}]
    call, body = terminate(status=["Failed"]), value()
    (call if place == "call" else body)["errors"] = errors
    await served.post(document(body | {"calls": [call]}))
    (event,) = served.handled
    assert isinstance(event, Terminate)
    assert event.status == "FAILED"
    assert event.error is not None
    assert event.error.code == 138021
    assert event.error.text == "No media: 20 s without media"
    assert event.duration is None


async def test_a_status_of_an_outbound_call_is_read(served: Receiver) -> None:
    status = {"id": "wacid.A", "type": "call", "status": "RINGING", "timestamp": "1", "recipient_id": "49"}
    status["biz_opaque_callback_data"] = "ours"
    body = value(statuses=[status])
    del body["calls"]
    await served.post(document(body))
    assert served.handled == [Status("wacid.A", NUMBER, "RINGING", user_number="49", opaque="ours")]


async def test_what_is_stored_fits_into_postgresql(served: Receiver) -> None:
    body = document(value(connect(biz="nul \0 and lone \ud800 surrogate")))
    await served.post(json.dumps(body).encode())
    (stored,) = served.stored.values()
    text = json.dumps(stored.body)
    assert "\\u0000" not in text
    assert "\\ud800" not in text


async def test_a_body_larger_than_metas_limit_is_refused(served: Receiver) -> None:
    async with served.client.post("/webhook", data=io.BytesIO(b"x" * (MAX_BODY + 1))) as response:
        assert response.status == 413
