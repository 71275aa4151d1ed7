"""The Graph API of calling: `POST /v{N}.{M}/{phone-number-id}/calls`, with Meta's checks in Meta's order."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from typing import Any, Final

from aiohttp import web

from .business_number import BusinessNumber
from .errors import GraphError
from .models import GraphFault
from .number_edges import NumberEdges, edge_of
from .world import World

_log = logging.getLogger(__name__)
MAX_OPAQUE: Final = 512
_SUCCESS: Final = {"messaging_product": "whatsapp", "success": True}
_LANGUAGES: Final = frozenset(
    {"en", "en_US", "en_AU", "en_CA", "en_GB", "en_IN", "en_NZ", "nl", "fr", "de"}
    | {"hi", "it", "kn", "pt", "es", "es_ES", "te", "vi"}
)


class Graph:
    """The handlers. Every request and its reply is kept for the tests."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._edges = NumberEdges(world)

    def routes(self) -> list[web.RouteDef]:
        """Whatever begins with a version is Graph's."""
        return [web.route("*", r"/{version:v\d+\.\d+}/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one request, with the faults that were arranged."""
        begin = time.monotonic()
        raw = await request.read()
        body: Any = None
        try:
            body = json.loads(raw) if raw else None
        except (ValueError, RecursionError):
            body = None
        action = body.get("action") if isinstance(body, dict) else None
        action = action or edge_of(request.method, request.path)
        entry: dict[str, Any] = {
            "at": time.time(),
            "method": request.method,
            "path": request.path_qs,
            "action": action if isinstance(action, str) else None,
            "call_id": body.get("call_id") if isinstance(body, dict) else None,
            "authorized": self._authorized(request),
            "body": body if body is not None else raw.decode("utf-8", "replace"),
        }
        self._world.requests.append(entry)
        fault = self._world.take_fault(str(action))
        if fault is not None and not fault.applied:
            await asyncio.sleep(fault.delay_ms / 1000)
        status, reply = await self._answer(request, body, fault)
        if fault is not None and fault.applied:
            await asyncio.sleep(fault.delay_ms / 1000)
        entry |= {"status": status, "reply": reply, "milliseconds": round((time.monotonic() - begin) * 1000, 2)}
        self._world.webhooks_changed()
        if fault is not None and fault.disconnect:
            entry["status"] = None
            if request.transport is not None:
                request.transport.close()
        return web.json_response(reply, status=status)

    async def _answer(self, request: web.Request, body: Any, fault: GraphFault | None) -> tuple[int, dict[str, Any]]:
        failing = fault is not None and (fault.code is not None or fault.http_status is not None or fault.disconnect)
        if fault is not None and failing and not fault.applied:
            return _failure(fault)
        try:
            reply = await self._serve(request, body)
        except GraphError as error:
            _log.info("%s %s refused: %s", request.method, request.path, error)
            return error.http, error.body()
        return _failure(fault) if fault is not None and failing else (200, reply)

    async def _serve(self, request: web.Request, body: Any) -> dict[str, Any]:
        if not self._authorized(request):
            raise GraphError(190)
        pnid, _, rest = request.match_info["path"].strip("/").partition("/")
        number = self._world.numbers.get(pnid)
        if number is None:
            raise GraphError(
                100,
                message=f"Unsupported {request.method.lower()} request. Object with ID '{pnid[:40]}' does not exist,"
                " cannot be loaded due to missing permissions, or does not support this operation",
            )
        if rest != "calls" or request.method != "POST":
            return await self._edges.serve(request.method, rest, number, body, request.query)
        if not isinstance(body, dict):
            raise GraphError(100, "the body is not a JSON object")
        return await self._calls(number, body)

    async def _calls(self, number: BusinessNumber, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("messaging_product") != "whatsapp":
            raise GraphError(100, "messaging_product has to be whatsapp")
        if number.sip_enabled:
            raise GraphError(131055)
        if not number.calling_enabled:
            raise GraphError(138000)
        action, call_id, pnid = body.get("action"), body.get("call_id"), number.config.phone_number_id
        match action:
            case "connect":
                call_id = await self._world.dial(number, body, _opaque(body), _extras(body))
                return {"messaging_product": "whatsapp", "calls": [{"id": call_id}]}
            case "pre_accept":
                self._world.inbound(call_id, pnid, action).pre_accept(body.get("session"))
            case "accept":
                call = self._world.inbound(call_id, pnid, action)
                call.accept(body.get("session"), _opaque(body), _extras(body))
            case "reject":
                self._world.inbound(call_id, pnid, action).reject()
            case "terminate":
                any_call = self._world.any_call(call_id, pnid)
                if not any_call.live:
                    raise GraphError(100, "terminate: the call has ended already")
                any_call.end("business")
            case _:
                raise GraphError(100, f"action {str(action)[:40]!r} is unknown")
        return dict(_SUCCESS)

    def _authorized(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        wanted = self._world.config.access_token.get_secret_value()
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), wanted.encode())


def _failure(fault: GraphFault) -> tuple[int, dict[str, Any]]:
    error = GraphError(fault.code or 1, fault.details, message=fault.message, http=fault.http_status)
    return error.http, error.body()


def _opaque(body: dict[str, Any]) -> str | None:
    opaque = body.get("biz_opaque_callback_data")
    if opaque is None:
        return None
    if not isinstance(opaque, str) or len(opaque) > MAX_OPAQUE:
        raise GraphError(100, f"biz_opaque_callback_data has to be a string of at most {MAX_OPAQUE} characters")
    return opaque


def _extras(body: dict[str, Any]) -> dict[str, Any]:
    """The `recording` and `transcription` options of an accept or connect, checked."""
    extras: dict[str, Any] = {}
    for key in ("recording", "transcription"):
        option = body.get(key)
        if option is None:
            continue
        if not isinstance(option, dict) or option.get("status") not in ("ENABLED", "DISABLED"):
            raise GraphError(100, f"{key}.status has to be ENABLED or DISABLED")
        if option["status"] == "ENABLED":
            purpose = option.get("purpose")
            if not isinstance(purpose, str) or not 1 <= len(purpose) <= 250:
                raise GraphError(100, f"{key}.purpose has to be a text of 1 to 250 characters")
            language = option.get("announcement_language")
            if language is not None and language not in _LANGUAGES:
                raise GraphError(100, f"{key}.announcement_language {str(language)[:20]!r} is not supported")
        extras[key] = option
    return extras
