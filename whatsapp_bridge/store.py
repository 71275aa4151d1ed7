"""The bridge's SQL: schema `whatsapp`."""

import hashlib
import json
import logging
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import asyncpg

from whatsapp_bridge.meta.payloads import Connect, ReceivedEvent, Terminate, read_call
from whatsapp_bridge.meta.webhook import StoreUnavailable

logger = logging.getLogger(__name__)

#: A statement that takes longer finds the database away; Meta's webhook cannot wait longer either, s.
COMMAND_TIMEOUT = 5.0

EndedBy = Literal["user", "pbx", "system"]


@dataclass(frozen=True)
class Number:
    """A business number that is served here."""

    phone_number_id: str
    display_number: str
    name: str


@dataclass(frozen=True)
class Ending:
    """How a call ended."""

    by: EndedBy
    reason: str
    cause: int = 16
    "Q.850 cause for the PBX's side."
    meta_knows: bool = False
    "Meta ended the call itself and need not be told."
    meta_code: int | None = None
    "Meta's error code, where it was Meta that refused or failed."
    meta_text: str | None = None


class Store:
    """A pool of connections, as an async context manager."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool | None = None

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=1, max_size=8, timeout=COMMAND_TIMEOUT, command_timeout=COMMAND_TIMEOUT
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @property
    def pool(self) -> "asyncpg.Pool[Any]":
        """The connections, for the stores of other subjects."""
        return self._db

    async def number(self, phone_number_id: str) -> Number | None:
        row = await self._db.fetchrow(
            "SELECT phone_number_id, display_number, name FROM whatsapp.numbers WHERE phone_number_id = $1",
            phone_number_id,
        )
        return Number(**row) if row else None

    async def is_ours(self, phone_number_id: str) -> bool:
        """Whether webhooks for this number are for us. Raises StoreUnavailable."""
        try:
            return await self.number(phone_number_id) is not None
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(str(error)) from error

    async def find_id(self, display_number: str) -> str | None:
        """The phone number id of one of our numbers, which Meta named by its digits. Raises StoreUnavailable."""
        try:
            found: str | None = await self._db.fetchval(
                "SELECT phone_number_id FROM whatsapp.numbers WHERE display_number = $1", display_number
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(str(error)) from error
        return found

    async def add_event(self, received: ReceivedEvent) -> bool:
        """Store an event unless it is there already, and tell which. Raises StoreUnavailable."""
        try:
            inserted = await self._db.fetchval(
                """INSERT INTO whatsapp.webhook_events (key, kind, meta_call_id, body)
                   VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO NOTHING RETURNING true""",
                hashlib.sha256(received.key.encode()).hexdigest(),
                received.kind,
                received.call_id,
                json.dumps(received.body),
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(str(error)) from error
        return bool(inserted)

    async def early_terminate(self, call: Connect) -> Terminate | None:
        """The terminate of this call, if it came before the connect."""
        body = await self._db.fetchval(
            "SELECT body FROM whatsapp.webhook_events WHERE meta_call_id = $1 AND kind = 'terminate'", call.call_id
        )
        if body is None:
            return None
        value = json.loads(body)
        event = read_call(value, call.phone_number_id, value["calls"][0]).event
        return event if isinstance(event, Terminate) else None

    async def add_call(self, call_id: uuid.UUID, call: Connect) -> None:
        """A call was received; its row exists before anything is done about it."""
        await self._db.execute(
            """INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number,
                                           user_name, payload, received_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())""",
            call_id,
            call.call_id,
            call.phone_number_id,
            call.direction,
            call.user.id,
            call.user.number,
            call.user.name or None,
            call.payload or None,
        )

    async def number_to_call_from(self, wanted: str | None) -> Number | None:
        """The number that a call asks for, by Meta's id or by its digits; without a wish the first one."""
        row = await self._db.fetchrow(
            """SELECT phone_number_id, display_number, name FROM whatsapp.numbers
                WHERE $1::text IS NULL OR $1 IN (phone_number_id, display_number)
                ORDER BY created_at, phone_number_id LIMIT 1""",
            wanted,
        )
        return Number(**row) if row else None

    async def add_outbound_call(
        self, call: uuid.UUID, number: Number, user_id: str, user_number: str | None, linkedid: str | None
    ) -> bool:
        """A call was dialled in the PBX. False if there is a call with this id already."""
        return bool(
            await self._db.fetchval(
                """INSERT INTO whatsapp.calls (id, phone_number_id, direction, user_id, user_number, linkedid, state,
                                               received_at)
                   VALUES ($1, $2, 'outbound', $3, $4, $5, 'requested', now())
                   ON CONFLICT (id) DO NOTHING RETURNING true""",
                call,
                number.phone_number_id,
                user_id,
                user_number,
                linkedid,
            )
        )

    async def dialing(self, call: uuid.UUID) -> None:
        """Meta is asked now."""
        await self._db.execute(
            "UPDATE whatsapp.calls SET state = 'dialing' WHERE id = $1 AND state = 'requested'", call
        )

    async def identified(self, call: uuid.UUID, meta_call_id: str) -> None:
        """Meta has taken the call, under this id."""
        await self._db.execute(
            "UPDATE whatsapp.calls SET meta_call_id = $2 WHERE id = $1 AND meta_call_id IS NULL", call, meta_call_id
        )

    async def is_over(self, call: uuid.UUID) -> bool:
        """Whether this is an outbound call that has ended here."""
        return bool(
            await self._db.fetchval(
                "SELECT state = 'ended' FROM whatsapp.calls WHERE id = $1 AND direction = 'outbound'", call
            )
        )

    async def user_named(self, call: uuid.UUID, name: str) -> None:
        """What Meta calls the user."""
        await self._db.execute(
            "UPDATE whatsapp.calls SET user_name = $2 WHERE id = $1 AND user_name IS NULL", call, name
        )

    async def placing(self, call: uuid.UUID, linkedid: str) -> None:
        """The call goes into Asterisk now: a CDR with this linkedid will follow."""
        await self._db.execute("UPDATE whatsapp.calls SET linkedid = $2 WHERE id = $1", call, linkedid)

    async def pre_accepted(self, call: uuid.UUID) -> None:
        await self._db.execute("UPDATE whatsapp.calls SET pre_accepted_at = now() WHERE id = $1", call)

    async def ringing(self, call: uuid.UUID) -> None:
        """The PBX (inbound) or the user's phone (outbound) rings."""
        await self._db.execute(
            """UPDATE whatsapp.calls SET state = 'ringing', ringing_at = now()
                WHERE id = $1 AND state IN ('received', 'requested', 'dialing')""",
            call,
        )

    async def connected(self, call: uuid.UUID) -> None:
        await self._db.execute(
            "UPDATE whatsapp.calls SET state = 'connected', accepted_at = now() WHERE id = $1 AND state <> 'ended'",
            call,
        )

    async def ended(self, call: uuid.UUID, ending: Ending) -> None:
        await self._db.execute(
            """UPDATE whatsapp.calls
                  SET state = 'ended', ended_at = now(), ended_by = $2, reason = $3, hangup_cause = $4,
                      meta_error_code = coalesce(meta_error_code, $5), meta_error_text = coalesce(meta_error_text, $6)
                WHERE id = $1 AND state <> 'ended'""",
            call,
            ending.by,
            ending.reason,
            ending.cause,
            ending.meta_code,
            ending.meta_text,
        )

    async def terminated(self, event: Terminate) -> None:
        """Keep what Meta says about a call that is over; also later than our own end of it."""
        await self._db.execute(
            """UPDATE whatsapp.calls
                  SET meta_status = $2, meta_start = $3, meta_end = $4, meta_duration = $5,
                      meta_error_code = coalesce($6, meta_error_code), meta_error_text = coalesce($7, meta_error_text)
                WHERE meta_call_id = $1""",
            event.call_id,
            event.status,
            event.start,
            event.end,
            event.duration,
            event.error.code if event.error else None,
            event.error.text if event.error else None,
        )

    async def unended(self) -> list[tuple[uuid.UUID, str, str | None]]:
        """Calls that a predecessor left: id, phone number id, Meta's call id (None: Meta had not answered yet)."""
        rows = await self._db.fetch(
            "SELECT id, phone_number_id, meta_call_id FROM whatsapp.calls WHERE state <> 'ended'"
        )
        return [(row["id"], row["phone_number_id"], row["meta_call_id"]) for row in rows]

    @property
    def _db(self) -> "asyncpg.Pool[Any]":
        assert self._pool is not None, "Store is used outside its context"
        return self._pool
