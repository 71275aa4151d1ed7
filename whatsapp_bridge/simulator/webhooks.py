"""Posts webhooks: signed, retried, and on request late, doubled, held back, batched or badly signed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from . import payloads
from .config import WebhookConfig
from .tasks import Tasks

_log = logging.getLogger(__name__)
_USER_AGENT = "facebookexternalua"
_KEPT = 5_000
_UNKNOWN = {"new_key_of_next_year": {"nested": [1, "two", None]}, "another_new_key": True}

Signature = Literal["good", "bad", "none", "other_body"]
Shape = Literal["changes", "entries", "merged"]


class WebhookOptions(BaseModel):
    """How the webhooks of one call are posted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delay_ms: int = Field(default=0, ge=0, le=120_000)
    connect_delay_ms: int = Field(default=0, ge=0, le=120_000)
    duplicate: int = Field(default=0, ge=0, le=10, description="further posts of each webhook")
    terminate_first: bool = Field(default=False, description="the connect webhook is kept until terminate is posted")
    lose_connect: bool = Field(default=False, description="the connect webhook never comes")
    signature: Signature = "good"
    shuffle_keys: bool = False
    escape_slashes: bool = False
    unknown_keys: bool = False


@dataclass
class Attempt:
    """One POST and what came back."""

    at: float
    status: int | None = None
    error: str | None = None
    milliseconds: float = 0.0


@dataclass
class Webhook:
    """A body that is posted until it is taken."""

    id: int
    events: tuple[tuple[str, str], ...]
    "(call id, event) pairs in it"
    body: bytes
    signature: Signature
    attempts: list[Attempt] = field(default_factory=list)
    state: Literal["waiting", "delivered", "failed", "dropped"] = "waiting"

    def report(self, *, with_body: bool = True) -> dict[str, Any]:
        """For the control API."""
        report: dict[str, Any] = {
            "id": self.id,
            "events": [{"call_id": call, "event": event} for call, event in self.events],
            "signature": self.signature,
            "state": self.state,
            "attempts": [vars(attempt) for attempt in self.attempts],
        }
        if with_body:
            report["body"] = self.body.decode("utf-8", "replace")
        return report


class WebhookSender:
    """Owns the HTTP session and one task for each webhook on its way; `close` ends them all.

    Webhooks of one call are posted in order: the next one goes out when the one before it was answered
    once, whatever the answer. A retry may therefore come after its successor.
    """

    def __init__(self, config: WebhookConfig, url: str, secret: SecretStr, changed: Callable[[], None]) -> None:
        self.url = url
        self.sent: deque[Webhook] = deque(maxlen=_KEPT)
        self._by_call: dict[str, list[Webhook]] = {}
        self._config = config
        self._secret = secret
        self._changed = changed
        self._session: aiohttp.ClientSession | None = None
        self._tasks = Tasks()
        self._tail: dict[str, asyncio.Event] = {}
        self._ids = itertools.count(1)
        self._held: list[tuple[str, str, payloads.Change]] | None = None

    async def start(self) -> None:
        """Opens the HTTP session."""
        timeout = aiohttp.ClientTimeout(total=self._config.timeout)
        connector = aiohttp.TCPConnector(limit=200)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    async def close(self) -> None:
        """Ends everything under way."""
        await self._tasks.close()
        if self._session is not None:
            await self._session.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The session, once started."""
        assert self._session is not None
        return self._session

    def sign(self, body: bytes, kind: Signature = "good") -> dict[str, str]:
        """The headers of a POST of `body`."""
        headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, "Accept": "*/*"}
        if kind == "none":
            return headers
        secret = self._secret.get_secret_value().encode()
        if kind == "bad":
            secret += b"x"
        signed = body + b" " if kind == "other_body" else body
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(secret, signed, hashlib.sha1).hexdigest()
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()
        return headers

    def send(
        self,
        call_id: str,
        waba: str,
        event: str,
        value: dict[str, Any],
        options: WebhookOptions,
        name: str = "calls",
    ) -> Webhook | None:
        """Posts one call's webhook by and by. Returns None while webhooks are held.

        `name` is the webhook field; for others than `calls`, `call_id` is any key that keeps their order.
        """
        if options.unknown_keys or self._config.unknown_keys:
            value = value | _UNKNOWN
            for key in ("calls", "statuses", "messages"):
                if key in value:
                    value[key] = [item | _UNKNOWN for item in value[key]]
        if self._held is not None:
            self._held.append((call_id, event, (waba, name, value)))
            return None
        body = payloads.serialise(
            payloads.envelope([(waba, name, value)]),
            shuffle=options.shuffle_keys,
            escape_slashes=options.escape_slashes,
        )
        webhook = self._new(((call_id, event),), body, options.signature)
        delay = options.delay_ms + (options.connect_delay_ms if event == "connect" else 0)
        self._tasks.spawn(self._ordered(webhook, call_id, delay / 1000, options.duplicate))
        return webhook

    def hold(self) -> None:
        """Keeps all webhooks from now on."""
        if self._held is None:
            self._held = []

    def release(self, shape: Shape = "changes", *, backwards: bool = False, signature: Signature = "good") -> Webhook:
        """Posts all that was held as one POST. Raises LookupError if nothing was."""
        held, self._held = self._held, None
        if not held:
            raise LookupError("no webhook is held")
        if backwards:
            held.reverse()
        body = payloads.serialise(payloads.envelope([change for _, _, change in held], shape))
        webhook = self._new(tuple((call, event) for call, event, _ in held), body, signature)
        self._tasks.spawn(self._deliver(webhook))
        return webhook

    async def post(self, webhook: Webhook, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """One POST, noted as an attempt. Raises aiohttp.ClientError or TimeoutError."""
        attempt = Attempt(time.time())
        webhook.attempts.append(attempt)
        begin = time.monotonic()
        try:
            merged = self.sign(webhook.body, webhook.signature) | (headers or {})
            async with self.http.post(self.url, data=webhook.body, headers=merged) as reply:
                text = await reply.read()
                attempt.status = reply.status
                return reply.status, text
        except (aiohttp.ClientError, TimeoutError) as error:
            attempt.error = str(error) or type(error).__name__
            raise
        finally:
            attempt.milliseconds = round((time.monotonic() - begin) * 1000, 2)
            self._changed()

    async def inject(self, body: bytes, signature: Signature, headers: dict[str, str]) -> tuple[Webhook, int, bytes]:
        """Posts any bytes once, now. Raises aiohttp.ClientError or TimeoutError."""
        webhook = self._new((), body, signature)
        webhook.state = "failed"
        status, reply = await self.post(webhook, headers)
        webhook.state = "delivered" if status == 200 else "failed"
        return webhook, status, reply

    def of_call(self, call_id: str) -> list[Webhook]:
        """The webhooks that say something of the call."""
        return self._by_call.get(call_id, [])

    def pending(self, call_id: str) -> bool:
        """A webhook of the call is still to be delivered."""
        return any(webhook.state == "waiting" for webhook in self.of_call(call_id))

    def forget_call(self, call_id: str) -> None:
        """The call is no longer kept."""
        self._by_call.pop(call_id, None)

    def forget(self) -> None:
        """Stops all deliveries, forgets what was sent and held."""
        self._tasks.cancel()
        self._held = None
        self._tail.clear()
        self.sent.clear()
        self._by_call.clear()

    def _new(self, events: tuple[tuple[str, str], ...], body: bytes, signature: Signature) -> Webhook:
        webhook = Webhook(next(self._ids), events, body, signature)
        self.sent.append(webhook)
        for call_id in {call for call, _ in events}:
            self._by_call.setdefault(call_id, []).append(webhook)
        return webhook

    async def _ordered(self, webhook: Webhook, call_id: str, delay: float, duplicate: int) -> None:
        before = self._tail.get(call_id)
        mine = self._tail[call_id] = asyncio.Event()
        try:
            if delay:
                await asyncio.sleep(delay)
            if before is not None:
                await before.wait()
            taken = await self._once(webhook)
        finally:
            mine.set()
            if self._tail.get(call_id) is mine:
                del self._tail[call_id]
        for _ in range(duplicate):
            await self._once(webhook)
        if not taken:
            await self._retry(webhook)

    async def _deliver(self, webhook: Webhook) -> None:
        if not await self._once(webhook):
            await self._retry(webhook)

    async def _once(self, webhook: Webhook) -> bool:
        try:
            status, _ = await self.post(webhook)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.info("webhook %d not delivered: %s", webhook.id, error)
            return False
        if status != 200:
            return False
        webhook.state = "delivered"
        self._changed()
        return True

    async def _retry(self, webhook: Webhook) -> None:
        pause = self._config.retry_first
        for _ in range(self._config.retry_attempts - 1):
            await asyncio.sleep(pause)
            pause *= 2
            if await self._once(webhook):
                return
        webhook.state = "failed"
        self._changed()
        _log.warning("webhook %d given up after %d posts", webhook.id, len(webhook.attempts))
