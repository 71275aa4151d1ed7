"""Delivers what is due, each system's in its order, several systems at once."""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp

from ari_app.console.api.resources.calls import CallRecord
from ari_app.console.hooks import signing
from ari_app.console.hooks.addresses import AddressRefused, Network, PublicResolver, fault_of
from ari_app.console.live import Hub
from ari_app.store.console.webhooks import Due, WebhookStore
from ari_app.store.database import Database, StoreError
from ari_app.store.records import RecordStore

logger = logging.getLogger(__name__)

#: Systems that are delivered to at once.
AT_ONCE = 8

#: An answer must be there after so long, s, with what it took to connect. The system is ours a little longer.
ANSWER_SECONDS = 10.0
LEASE = timedelta(seconds=30)

#: Without a word from PostgreSQL it is looked anyhow so often, s, and again so long after it was away.
LOOK_SECONDS = 5.0
AWAY_SECONDS = 2.0

#: The record of a call that is over is waited for so long, s, and looked for so often.
RECORD_SECONDS = 60.0
RECORD_PAUSE = timedelta(seconds=2)

SWEEP_SECONDS = 3600.0

USER_AGENT = "asterisk-whatsapp webhooks/1"


class Worker:
    """`run` delivers for ever; the hub must be running."""

    def __init__(self, database: Database, hub: Hub, allowed: Sequence[Network]) -> None:
        self._store = WebhookStore(database)
        self._records = RecordStore(database)
        self._hub = hub
        self._allowed = allowed
        self._busy: set[UUID] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        async with self._client() as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._sweep())
            while True:
                self._wake.clear()
                try:
                    due = await self._store.take(list(self._busy), AT_ONCE - len(self._busy), LEASE)
                    for one in due:
                        self._busy.add(one.webhook_id)
                        tasks.create_task(self._deliver(client, one))
                    wait = await self._next()
                except StoreError as error:
                    logger.warning("no webhooks are delivered for now: %s", error)
                    await asyncio.sleep(AWAY_SECONDS)
                    continue
                await self._until(wait)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(
            resolver=PublicResolver(self._allowed), use_dns_cache=False, force_close=True, limit=AT_ONCE
        )
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        # No proxy and no password of the machine's, no cookies of anybody's.
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as client:
            yield client

    async def _next(self) -> float:
        """s to wait; a system that is being delivered to wakes us itself."""
        if len(self._busy) >= AT_ONCE:
            return LOOK_SECONDS
        seconds = await self._store.next_in(list(self._busy))
        return LOOK_SECONDS if seconds is None else min(max(seconds, 0.02), LOOK_SECONDS)

    async def _until(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _listen(self) -> None:
        with self._hub.subscribe() as facts:
            while True:
                try:
                    fact = await facts.next(LOOK_SECONDS)
                except TimeoutError:
                    continue
                if fact is None:
                    return
                if fact.missed or fact.text.startswith("webhook:"):
                    self._wake.set()

    async def _sweep(self) -> None:
        while True:
            try:
                await self._store.sweep()
            except StoreError as error:
                logger.warning("old deliveries cannot be removed: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _deliver(self, client: aiohttp.ClientSession, due: Due) -> None:
        """One attempt, and what became of it. If that cannot be written down, it is sent again when the lease ends."""
        try:
            body = due.body or await self._body(due)
            if body is None:
                await self._store.put_off(due, RECORD_PAUSE)
                return
            status, fault = await self._send(client, due, body.encode())
            if fault is None:
                assert status is not None
                await self._store.delivered(due, body, status)
            else:
                age = (datetime.now(UTC) - due.since).total_seconds()
                again = signing.pause(due.attempts + 1, age, random.random())
                await self._store.failed(due, body, status, fault, again)
                level = logging.ERROR if again is None else logging.WARNING
                logger.log(level, "webhook %s: %s %d: %s", due.webhook_id, due.event, due.id, fault)
        except StoreError as error:
            logger.warning("webhook %s: delivery %d: %s", due.webhook_id, due.id, error)
        except Exception:
            logger.exception("webhook %s: delivery %d fails by a fault of ours", due.webhook_id, due.id)
        finally:
            self._busy.discard(due.webhook_id)
            self._wake.set()

    async def _body(self, due: Due) -> str | None:
        """What is sent. None while the record of a call that is over is not there yet."""
        data: dict[str, Any] = dict(due.data)
        if due.linkedid is not None:
            record = await self._records.find(due.linkedid)
            if record is None and datetime.now(UTC) - due.at < timedelta(seconds=RECORD_SECONDS):
                return None
            data["record"] = record and CallRecord.model_validate(record).model_dump(mode="json")
        told = {"type": due.event, "timestamp": due.at.astimezone(UTC).isoformat(), "data": data}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    async def _send(self, client: aiohttp.ClientSession, due: Due, body: bytes) -> tuple[int | None, str | None]:
        """HTTP status, and what went wrong."""
        if (fault := fault_of(due.url, self._allowed)) is not None:
            return None, fault
        signed = signing.headers(due.secret, str(due.event_id), int(time.time()), body)
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, **signed}
        try:
            async with client.post(due.url, data=body, headers=headers, allow_redirects=False) as response:
                # What the system says is not read: it could be of any length.
                ok = 200 <= response.status < 300
                return response.status, None if ok else f"the system answered {response.status}"
        except TimeoutError:
            return None, f"no answer within {ANSWER_SECONDS:g} s"
        except aiohttp.ClientConnectorError as error:
            refused = error.os_error if isinstance(error.os_error, AddressRefused) else error
            return None, str(refused)
        except (aiohttp.ClientError, ValueError) as error:
            return None, f"{type(error).__name__}: {error}"
