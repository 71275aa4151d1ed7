"""The webhook receiver: signature, batch, store, answer; the work comes after.

Meta signs the raw body (with `\\u` escapes for everything outside ASCII), sends batches, repeats and reorders. The
receiver answers as soon as every event is stored once, and hands on only what was new.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from whatsapp_bridge.meta.number_payloads import (
    account_number,
    read_account_update,
    read_messages,
    read_settings_update,
    settings_number,
)
from whatsapp_bridge.meta.payloads import (
    Event,
    MalformedEvent,
    ReceivedEvent,
    phone_number_id,
    read_call,
    read_status,
)

logger = logging.getLogger(__name__)

#: Meta's own limit for one POST.
MAX_BODY = 3 * 1024 * 1024
#: Meta's limit of updates in one POST.
MAX_EVENTS = 1000
#: The webhook fields that are read; an app may be subscribed to others.
FIELDS = ("calls", "messages", "account_settings_update", "account_update")

Store = Callable[[ReceivedEvent], Awaitable[bool]]
"""Stores an event and tells whether it was new."""


class StoreUnavailable(Exception):
    """Events cannot be stored now; Meta is asked to deliver again."""


def signature(secret: str, body: bytes) -> str:
    """What `X-Hub-Signature-256` has to hold for this body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class WebhookReceiver:
    """Handlers of `/webhook`. `is_ours` tells whether a phone number id is served here, `find_id` gives the id of a
    number that is named by its digits."""

    def __init__(
        self,
        *,
        app_secret: str,
        verify_token: str,
        is_ours: Callable[[str], Awaitable[bool]],
        find_id: Callable[[str], Awaitable[str | None]],
        store: Store,
        handle: Callable[[Event], None],
    ) -> None:
        self._app_secret, self._verify_token = app_secret, verify_token
        self._is_ours, self._find_id, self._store, self._handle = is_ours, find_id, store, handle

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/webhook", self.verify, allow_head=False), web.post("/webhook", self.receive)]

    async def verify(self, request: web.Request) -> web.Response:
        """Answer Meta's handshake: echo the challenge to whoever knows the verify token."""
        token = request.query.get("hub.verify_token", "")
        right = hmac.compare_digest(token.encode(), self._verify_token.encode())
        if request.query.get("hub.mode") != "subscribe" or not right:
            logger.warning("webhook handshake refused: wrong mode or verify token")
            return web.Response(status=403, text="wrong verify token\n")
        return web.Response(text=request.query.get("hub.challenge", "")[:1024])

    async def receive(self, request: web.Request) -> web.Response:
        """Take a POST: 401 for a wrong signature, 503 if events cannot be stored, else 200 at once."""
        body = await request.read()
        given = request.headers.get("X-Hub-Signature-256", "")
        if not hmac.compare_digest(given.encode(), signature(self._app_secret, body).encode()):
            logger.warning("webhook refused: wrong or missing X-Hub-Signature-256 (check app_secret)")
            return web.Response(status=401, text="wrong signature\n")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            # 200 all the same: Meta would send the same bytes again for days.
            logger.warning("webhook ignored: %d signed bytes that are not JSON", len(body))
            return web.Response(text="ignored: not JSON\n")
        fresh: list[Event] = []
        try:
            for received in await self._events(document):
                if await self._store(received):
                    fresh.append(received.event)
                else:
                    logger.info("webhook event delivered again, ignored: %s", received.kind)
        except StoreUnavailable as error:
            logger.error("webhook answered 503, Meta will deliver again: %s", error)
            return web.Response(status=503, text="storage is away, deliver again\n")
        finally:
            for event in fresh:
                self._handle(event)
        return web.Response(text="ok\n")

    async def _events(self, document: object) -> list[ReceivedEvent]:
        events: list[ReceivedEvent] = []
        for entry in _dicts(document, "entry"):
            for change in _dicts(entry, "changes"):
                name, value = change.get("field"), change.get("value")
                if name not in FIELDS or not isinstance(value, dict):
                    logger.debug("webhook change of field %.40r ignored", name)
                    continue
                number = await self._number(name, value)
                if number is None:
                    logger.debug("webhook of field %s ignored: for no number of ours", name)
                    continue
                events += self._read(name, value, number, entry.get("time"))
        if len(events) > MAX_EVENTS:
            logger.warning("webhook with %d events, more than Meta sends", len(events))
        return events

    async def _number(self, name: str, value: dict[str, Any]) -> str | None:
        """The phone number id a change is about, if it is served here. Each field names it in its own way."""
        if name == "account_update":
            digits = account_number(value)
            return await self._find_id(digits) if digits is not None else None
        found = settings_number(value) if name == "account_settings_update" else phone_number_id(value)
        return found if found is not None and await self._is_ours(found) else None

    def _read(self, name: str, value: dict[str, Any], number: str, entry_time: object) -> list[ReceivedEvent]:
        match name:
            case "messages":
                events, wrong = read_messages(value, number)
                for fault in wrong:
                    logger.warning("permission reply or message status for number %s ignored: %s", number, fault)
                return events
            case "account_update":
                return read_account_update(value, number, entry_time)
            case "account_settings_update":
                try:
                    return [read_settings_update(value, number)]
                except MalformedEvent as error:
                    logger.warning("settings update of number %s ignored: %s", number, error)
                    return []
        return self._read_calls(value, number)

    def _read_calls(self, value: dict[str, Any], number: str) -> list[ReceivedEvent]:
        events = []
        for name, reader in (("calls", read_call), ("statuses", read_status)):
            found = value.get(name)
            for entry in found if isinstance(found, list) else []:
                try:
                    events.append(reader(value, number, entry))
                except MalformedEvent as error:
                    logger.warning("webhook event for number %s ignored: %s", number, error)
        if not events and isinstance(value.get("errors"), list):
            logger.error("Meta reports an error for number %s: %.400s", number, json.dumps(value["errors"]))
        return events


def _dicts(node: object, name: str) -> list[dict[str, Any]]:
    found = node.get(name) if isinstance(node, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
