"""Systems that are told of call events, and what each is told (sql/0019)."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database

EVENTS = (
    "call.received",
    "call.ringing",
    "call.answered",
    "call.ended",
    "voicemail.left",
    "permission.changed",
)

#: What was delivered is kept so long, and what is dead.
DELIVERED_KEPT = timedelta(days=7)
DEAD_KEPT = timedelta(days=30)

_SECRET_BYTES = 32
_LONGEST_FAULT = 500

_READ = """
SELECT w.id, w.name, w.url, w.events, w.enabled, w.created_at,
       (SELECT count(*) FROM console.deliveries d WHERE d.webhook_id = w.id AND d.state = 'pending') AS pending,
       (SELECT count(*) FROM console.deliveries d WHERE d.webhook_id = w.id AND d.state = 'dead') AS dead
  FROM console.webhooks w
"""

_CHANGE = "UPDATE console.webhooks SET name = $2, url = $3, events = $4, enabled = $5 WHERE id = $1"

_DELIVERIES = """
SELECT id, event, event_id, at, state, attempts, due_at, ended_at, status, fault, coalesce(body, data::text) AS body
  FROM console.deliveries
 WHERE webhook_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::bigint IS NULL OR id < $3)
 ORDER BY id DESC LIMIT $4
"""

_AGAIN = """
UPDATE console.deliveries SET state = 'pending', attempts = 0, since = now(), due_at = now(), ended_at = NULL
 WHERE webhook_id = $1 AND id = $2 AND state <> 'pending' RETURNING 1
"""

#: For each system the oldest that is not delivered, if it is due: what comes later waits for it. The system is
#: ours meanwhile; another console passes over it.
_TAKE = """
WITH due AS (
    SELECT w.id AS webhook_id, d.id
      FROM console.webhooks w
     CROSS JOIN LATERAL (SELECT p.id, p.due_at FROM console.deliveries p
                          WHERE p.webhook_id = w.id AND p.state = 'pending' ORDER BY p.id LIMIT 1) d
     WHERE w.enabled AND d.due_at <= now() AND (w.taken_until IS NULL OR w.taken_until < now())
       AND NOT w.id = ANY ($1::uuid[])
     LIMIT $2
       FOR NO KEY UPDATE OF w SKIP LOCKED
), taken AS (
    UPDATE console.webhooks w SET taken_until = now() + $3::interval FROM due WHERE w.id = due.webhook_id
    RETURNING w.id, w.url, w.secret, due.id AS delivery
)
SELECT d.id, d.webhook_id, t.url, t.secret, d.event, d.event_id, d.at, d.data::text AS data, d.linkedid, d.body,
       d.attempts, d.since
  FROM taken t JOIN console.deliveries d ON d.id = t.delivery
"""

#: $6: the next attempt after so long; null: there is none.
_ATTEMPTED = """
UPDATE console.deliveries
   SET state = $2, attempts = attempts + 1, status = $3, fault = $4, body = $5,
       due_at = now() + coalesce($6::interval, '0'), ended_at = CASE WHEN $2 = 'pending' THEN NULL ELSE now() END
 WHERE id = $1
"""

_LATER = "UPDATE console.deliveries SET due_at = now() + $2::interval WHERE id = $1"

_RELEASE = "UPDATE console.webhooks SET taken_until = NULL WHERE id = $1"

#: When there is something to do, at the latest.
_NEXT = """
SELECT extract(epoch FROM min(greatest(d.due_at, coalesce(w.taken_until, d.due_at))) - now())::float8
  FROM console.webhooks w
 CROSS JOIN LATERAL (SELECT p.due_at FROM console.deliveries p
                      WHERE p.webhook_id = w.id AND p.state = 'pending' ORDER BY p.id LIMIT 1) d
 WHERE w.enabled AND NOT w.id = ANY ($1::uuid[])
"""


@dataclass(frozen=True)
class Webhook:
    id: UUID
    name: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    created_at: datetime
    pending: int
    dead: int

    @property
    def settings(self) -> dict[str, Any]:
        """For the audit."""
        return {"name": self.name, "url": self.url, "events": list(self.events), "enabled": self.enabled}


@dataclass(frozen=True)
class WebhookSettings:
    name: str
    url: str
    events: tuple[str, ...]
    enabled: bool = True


@dataclass(frozen=True)
class Delivery:
    id: int
    event: str
    event_id: UUID
    at: datetime
    state: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    status: int | None
    fault: str | None
    body: str


@dataclass(frozen=True)
class Due:
    """To be sent now."""

    id: int
    webhook_id: UUID
    url: str
    secret: bytes
    event: str
    event_id: UUID
    at: datetime
    data: dict[str, Any]
    linkedid: str | None
    body: str | None
    attempts: int
    since: datetime


class WebhookStore:
    """All methods raise StoreError; those that change what people set write the audit with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Webhook]:
        async with self._database.connection() as connection:
            return [_webhook(row) for row in await connection.fetch(_READ + " ORDER BY w.name, w.id")]

    async def find(self, webhook: UUID) -> Webhook | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ + " WHERE w.id = $1", webhook)
        return _webhook(row) if row else None

    async def add(self, settings: WebhookSettings, actor: Actor) -> tuple[Webhook, bytes]:
        """With its secret, which is shown once."""
        secret = secrets.token_bytes(_SECRET_BYTES)
        async with self._database.connection() as connection, connection.transaction():
            made = await connection.fetchval(
                "INSERT INTO console.webhooks (name, url, secret, events, enabled) VALUES ($1, $2, $3, $4, $5) "
                "RETURNING id",
                *(settings.name, settings.url, secret, list(settings.events), settings.enabled),
            )
            webhook = _webhook(await connection.fetchrow(_READ + " WHERE w.id = $1", made))
            await write(connection, actor, [Entry("added", "webhook", webhook.name, None, webhook.settings)])
        return webhook, secret

    async def change(self, webhook: UUID, settings: WebhookSettings, actor: Actor) -> Webhook | None:
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_READ + " WHERE w.id = $1 FOR NO KEY UPDATE OF w", webhook)
            if row is None:
                return None
            before = _webhook(row)
            values = (settings.name, settings.url, list(settings.events), settings.enabled)
            await connection.execute(_CHANGE, webhook, *values)
            after = _webhook(await connection.fetchrow(_READ + " WHERE w.id = $1", webhook))
            await write(connection, actor, Entry.of_change("webhook", before.name, before.settings, after.settings))
        return after

    async def new_secret(self, webhook: UUID, actor: Actor) -> bytes | None:
        """The old one counts no longer."""
        secret = secrets.token_bytes(_SECRET_BYTES)
        async with self._database.connection() as connection, connection.transaction():
            name = await connection.fetchval(
                "UPDATE console.webhooks SET secret = $2 WHERE id = $1 RETURNING name", webhook, secret
            )
            if name is None:
                return None
            await write(connection, actor, [Entry("secret", "webhook", name, None, None)])
        return secret

    async def remove(self, webhook: UUID, actor: Actor) -> bool:
        """With all that it was told and would have been told."""
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_READ + " WHERE w.id = $1", webhook)
            if row is None:
                return False
            await connection.execute("DELETE FROM console.webhooks WHERE id = $1", webhook)
            known = _webhook(row)
            await write(connection, actor, [Entry("removed", "webhook", known.name, known.settings, None)])
        return True

    async def deliveries(
        self, webhook: UUID, *, state: str | None = None, before_id: int | None = None, limit: int = 50
    ) -> list[Delivery]:
        """The newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_DELIVERIES, webhook, state, before_id, limit)
        return [Delivery(**dict(row)) for row in rows]

    async def again(self, webhook: UUID, delivery: int, actor: Actor) -> bool:
        """Send what is dead, or was delivered, once more. False: there is none, or it is being sent."""
        async with self._database.connection() as connection, connection.transaction():
            done = await connection.fetchval(_AGAIN, webhook, delivery) is not None
            if done:
                await connection.execute("SELECT pg_notify('pbx_facts', 'webhook:' || $1::uuid)", webhook)
                await write(connection, actor, [Entry("replayed", "delivery", str(delivery), None, None)])
        return done

    async def take(self, busy: list[UUID], most: int, lease: timedelta) -> list[Due]:
        """What is due, for systems that nobody delivers to just now; they are ours for `lease`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_TAKE, busy, most, lease)
        return [Due(**dict(row) | {"data": json.loads(row["data"])}) for row in rows]

    async def delivered(self, due: Due, body: str, status: int) -> None:
        await self._attempted(due, "delivered", status, None, body, None)

    async def failed(self, due: Due, body: str, status: int | None, fault: str, again: timedelta | None) -> None:
        """`again`: the next attempt after so long; None: it is dead."""
        await self._attempted(due, "dead" if again is None else "pending", status, fault, body, again)

    async def put_off(self, due: Due, wait: timedelta) -> None:
        """It cannot be sent yet; that is no attempt."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_RELEASE, due.webhook_id)
            await connection.execute(_LATER, due.id, wait)

    async def next_in(self, busy: list[UUID]) -> float | None:
        """After how many s something is due for other systems than these; None: nothing is."""
        async with self._database.connection() as connection:
            seconds: float | None = await connection.fetchval(_NEXT, busy)
        return seconds

    async def sweep(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "DELETE FROM console.deliveries WHERE ended_at < now() - "
                "CASE state WHEN 'dead' THEN $1::interval ELSE $2::interval END",
                *(DEAD_KEPT, DELIVERED_KEPT),
            )

    async def _attempted(
        self, due: Due, state: str, status: int | None, fault: str | None, body: str, again: timedelta | None
    ) -> None:
        fault = None if fault is None else fault[:_LONGEST_FAULT]
        async with self._database.connection() as connection, connection.transaction():
            # The system's row first, as whoever removes it locks them.
            await connection.execute(_RELEASE, due.webhook_id)
            await connection.execute(_ATTEMPTED, due.id, state, status, fault, body, again)


def _webhook(row: asyncpg.Record | None) -> Webhook:
    assert row is not None
    return Webhook(**dict(row) | {"events": tuple(row["events"])})
