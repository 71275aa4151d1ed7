"""The Graph client against a server that answers as told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from whatsapp_bridge.meta import graph
from whatsapp_bridge.meta.graph import GraphClient, GraphRefused, GraphUnavailable

TOKEN = "secret-token"


@dataclass
class Meta:
    client: GraphClient
    replies: list[tuple[int, Any]]
    requests: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
async def meta() -> AsyncIterator[Meta]:
    async def answer(request: web.Request) -> web.StreamResponse:
        it.requests.append({"path": request.path, "auth": request.headers["Authorization"], **await request.json()})
        status, body = it.replies.pop(0) if it.replies else (200, {"success": True})
        return (
            web.Response(status=status, text=body) if isinstance(body, str) else web.json_response(body, status=status)
        )

    app = web.Application()
    app.router.add_post("/{tail:.*}", answer)
    async with TestServer(app) as server, GraphClient(str(server.make_url("/")), "v23.0", TOKEN) as client:
        it = Meta(client, [])
        yield it


def error(code: int, message: str, details: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "type": "OAuthException", "code": code, "error_data": {"details": details}}}


async def test_an_action_is_posted_as_meta_wants_it(meta: Meta) -> None:
    await meta.client.call_action("106", "wacid.A", "accept", sdp_answer="v=0\r\n")
    assert meta.requests == [
        {
            "path": "/v23.0/106/calls",
            "auth": f"Bearer {TOKEN}",
            "messaging_product": "whatsapp",
            "call_id": "wacid.A",
            "action": "accept",
            "session": {"sdp_type": "answer", "sdp": "v=0\r\n"},
        }
    ]


async def test_a_refusal_has_metas_words_and_is_not_repeated(meta: Meta) -> None:
    meta.replies = [(400, error(138008, "SDP Validation error", "two fingerprints"))]
    with pytest.raises(GraphRefused, match=r"138008 \(HTTP 400\): SDP Validation error: two fingerprints") as refusal:
        await meta.client.call_action("106", "wacid.A", "pre_accept", sdp_answer="v=0")
    assert (refusal.value.code, refusal.value.status) == (138008, 400)
    assert len(meta.requests) == 1


async def test_a_wrong_token_says_what_to_look_at_and_is_not_shown(meta: Meta) -> None:
    meta.replies = [(401, error(190, "Error validating access token"))]
    with pytest.raises(GraphRefused, match="check access_token") as refusal:
        await meta.client.call_action("106", "wacid.A", "reject")
    assert TOKEN not in str(refusal.value)


@pytest.mark.parametrize("reply", [(500, error(2, "try later")), (502, "<html>bad gateway</html>"), (503, "")])
async def test_a_stumble_is_tried_once_more(meta: Meta, reply: tuple[int, Any]) -> None:
    meta.replies = [reply]
    await meta.client.call_action("106", "wacid.A", "terminate")
    assert len(meta.requests) == 2


async def test_twice_no_answer_is_an_error(meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "RETRY_AFTER", 0.01)
    meta.replies = [(500, "no"), (500, "no")]
    with pytest.raises(GraphUnavailable, match="HTTP 500 from Meta"):
        await meta.client.call_action("106", "wacid.A", "terminate")
    assert len(meta.requests) == 2


@pytest.mark.parametrize("reply", [(200, "not json"), (200, {}), (200, {"success": False}), (200, [1])])
async def test_a_200_without_success_is_no_success(meta: Meta, reply: tuple[int, Any]) -> None:
    meta.replies = [reply]
    with pytest.raises(GraphRefused):
        await meta.client.call_action("106", "wacid.A", "accept", sdp_answer="v=0")


async def test_nobody_at_the_address_is_an_error_that_says_so() -> None:
    async with GraphClient("http://127.0.0.1:1", "v23.0", TOKEN) as client:
        with pytest.raises(GraphUnavailable, match="Meta cannot be reached"):
            await client.call_action("106", "wacid.A", "accept")


async def test_a_call_is_asked_for_as_meta_wants_it(meta: Meta) -> None:
    meta.replies = [(200, {"messaging_product": "whatsapp", "calls": [{"id": "wacid.B"}]})]
    assert await meta.client.connect("106", "4915112345678", "v=0\r\n", "ours") == "wacid.B"
    assert meta.requests == [
        {
            "path": "/v23.0/106/calls",
            "auth": f"Bearer {TOKEN}",
            "messaging_product": "whatsapp",
            "to": "4915112345678",
            "action": "connect",
            "session": {"sdp_type": "offer", "sdp": "v=0\r\n"},
            "biz_opaque_callback_data": "ours",
        }
    ]


async def test_a_user_without_a_number_is_called_by_the_id(meta: Meta) -> None:
    meta.replies = [(200, {"calls": [{"id": "wacid.B"}]})]
    await meta.client.connect("106", "US.13491208655302741918", "v=0", "ours")
    assert meta.requests[0]["recipient"] == "US.13491208655302741918"
    assert "to" not in meta.requests[0]


@pytest.mark.parametrize("reply", [(500, error(138004, "Connection error")), (502, "<html>"), (200, "?"), (200, {})])
async def test_a_call_that_meta_may_have_taken_is_not_asked_for_twice(meta: Meta, reply: tuple[int, Any]) -> None:
    meta.replies = [reply]
    with pytest.raises(GraphUnavailable) as lost:
        await meta.client.connect("106", "4915112345678", "v=0", "ours")
    assert lost.value.taken
    assert len(meta.requests) == 1


async def test_a_call_that_certainly_did_not_arrive_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(graph, "RETRY_AFTER", 0.01)
    async with GraphClient("http://127.0.0.1:1", "v23.0", TOKEN) as client:
        with pytest.raises(GraphUnavailable, match="Meta cannot be reached") as lost:
            await client.connect("106", "4915112345678", "v=0", "ours")
    assert not lost.value.taken
    assert "trying once more" in caplog.text


async def test_a_meta_that_does_not_answer_may_have_taken_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "REQUEST_TIMEOUT", 0.1)
    asked: list[str] = []
    over = asyncio.Event()

    async def silence(request: web.Request) -> web.Response:
        asked.append(request.path)
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/{tail:.*}", silence)
    async with TestServer(app) as server, GraphClient(str(server.make_url("/")), "v23.0", TOKEN) as client:
        with pytest.raises(GraphUnavailable, match="no answer in time") as lost:
            await client.connect("106", "4915112345678", "v=0", "ours")
        over.set()
    assert lost.value.taken
    assert len(asked) == 1
