"""The bridge's SQL about permissions and invitations."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from whatsapp_bridge.meta.call_permissions import Answer
from whatsapp_bridge.meta.invitation import REQUEST_LIFE
from whatsapp_bridge.reply_store import invitation_of, keep
from whatsapp_bridge.store import Store

#: Inside of it a business may write what it likes; outside only templates. Source: Meta, "Pricing", service window.
SERVICE_WINDOW = timedelta(hours=24)

# The window is opened by whatever the user did that is known here: calls, and answers to invitations.
_CLAIM = """
UPDATE whatsapp.permission_requests r
   SET claimed_at = $1, attempts = attempts + 1, retry_at = NULL
 WHERE id IN (SELECT id FROM whatsapp.permission_requests
               WHERE state = 'wanted' AND claimed_at IS NULL AND (retry_at IS NULL OR retry_at <= $1)
               ORDER BY wanted_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id, phone_number_id, user_key, text, attempts, wanted_at,
          EXISTS (SELECT FROM whatsapp.calls c
                   WHERE c.phone_number_id = r.phone_number_id AND r.user_key IN (c.user_number, c.user_id)
                     AND (c.direction = 'inbound' AND c.received_at > $2 OR c.accepted_at > $2))
          OR EXISTS (SELECT FROM whatsapp.permissions p
                      WHERE p.phone_number_id = r.phone_number_id AND p.user_key = r.user_key AND p.reply_at > $2)
          AS window_open
"""
_RUN_OUT = """
SELECT id, state, wanted_at, claimed_at, meta_message_id AS message_id, sent_at, answered_at, permanent, granted_until
  FROM whatsapp.permission_requests
 WHERE state = 'sent' AND sent_at <= $2 OR state = 'accepted' AND granted_until <= $1
   FOR UPDATE SKIP LOCKED
"""


@dataclass(frozen=True)
class Claimed:
    """An invitation that this process, and no other, sends."""

    id: uuid.UUID
    phone_number_id: str
    user_key: str
    text: str | None
    attempts: int
    wanted_at: datetime
    window_open: bool


class PermissionStore:
    """Uses the connections of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # Invitations

    async def claim(self, now: datetime, limit: int) -> list[Claimed]:
        """Take invitations that nobody sends yet. From here on each is sent at most once."""
        rows = await self._store.pool.fetch(_CLAIM, now, now - SERVICE_WINDOW, limit)
        return [Claimed(**row) for row in rows]

    async def sent(self, claimed: Claimed, message_id: str, scoped_id: str | None, now: datetime) -> None:
        """Meta has taken it. An answer that came faster stays."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """UPDATE whatsapp.permission_requests
                      SET state = CASE state WHEN 'wanted' THEN 'sent' ELSE state END, sent_at = $3,
                          meta_message_id = coalesce(meta_message_id, $2), error_code = NULL, error_text = NULL
                    WHERE id = $1 AND state <> 'failed'""",
                claimed.id,
                message_id,
                now,
            )
            if scoped_id is not None:
                await connection.execute(
                    """INSERT INTO whatsapp.permissions (phone_number_id, user_key, scoped_id) VALUES ($1, $2, $3)
                       ON CONFLICT (phone_number_id, user_key) DO UPDATE SET scoped_id = EXCLUDED.scoped_id
                        WHERE permissions.scoped_id IS DISTINCT FROM EXCLUDED.scoped_id""",
                    claimed.phone_number_id,
                    claimed.user_key,
                    scoped_id,
                )

    async def put_off(self, claimed: Claimed, until: datetime, code: int | None, text: str) -> None:
        """Meta has certainly not taken it; it is tried again."""
        await self._store.pool.execute(
            """UPDATE whatsapp.permission_requests
                  SET claimed_at = NULL, retry_at = $2, error_code = $3, error_text = $4
                WHERE id = $1 AND state = 'wanted'""",
            claimed.id,
            until,
            code,
            text,
        )

    async def failed(
        self, claimed: Claimed, code: int | None, text: str, *, perhaps_sent: bool, check: bool, now: datetime
    ) -> None:
        """It is over; with `check`, Meta is asked how things stand. An answer to one that was perhaps sent counts."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """UPDATE whatsapp.permission_requests
                      SET state = 'failed', error_code = $2, error_text = $3,
                          claimed_at = CASE WHEN $4 THEN claimed_at END
                    WHERE id = $1 AND state = 'wanted'""",
                claimed.id,
                code,
                text,
                perhaps_sent,
            )
            if check:
                await _want_check(connection, claimed.phone_number_id, claimed.user_key, now)

    async def give_up_orphans(self, before: datetime, text: str) -> int:
        """Invitations whose sender is gone since before that time: nobody knows whether they were sent."""
        done = await self._store.pool.execute(
            """UPDATE whatsapp.permission_requests SET state = 'failed', error_text = $2
                WHERE state = 'wanted' AND claimed_at < $1""",
            before,
            text,
        )
        return int(done.rpartition(" ")[2])

    async def lapse(self, now: datetime) -> int:
        """What has run out is over; how many rows that changed. Meta sends no word of it."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_RUN_OUT, now, now - REQUEST_LIFE)
            changed = [after for row in rows if (after := (before := invitation_of(row)).lapsed(now)) != before]
            for invitation in changed:
                await keep(connection, invitation)
            lapsed = await connection.execute(
                """UPDATE whatsapp.permissions
                      SET status = 'none', expires_at = NULL, can_call = false, updated_at = now()
                    WHERE status = 'temporary' AND expires_at <= $1""",
                now,
            )
        return len(changed) + int(lapsed.rpartition(" ")[2])

    async def next_due(self) -> datetime | None:
        """When an invitation is to be tried again."""
        due: datetime | None = await self._store.pool.fetchval(
            "SELECT min(retry_at) FROM whatsapp.permission_requests WHERE state = 'wanted' AND claimed_at IS NULL"
        )
        return due

    # Questions

    async def wanted_checks(self, limit: int) -> list[tuple[str, str, datetime]]:
        """Whom to ask Meta about: phone number id, user key, since when it is wanted."""
        rows = await self._store.pool.fetch(
            """SELECT phone_number_id, user_key, check_wanted_at FROM whatsapp.permissions
                WHERE check_wanted_at IS NOT NULL ORDER BY check_wanted_at LIMIT $1""",
            limit,
        )
        return [tuple(row) for row in rows]

    async def checked(self, number: str, user: str, wanted_at: datetime, asked_at: datetime, answer: Answer) -> bool:
        """Keep Meta's answer; false if a reply of the user has overtaken it, and Meta is to be asked again."""
        done = await self._store.pool.execute(
            """UPDATE whatsapp.permissions
                  SET status = $5, expires_at = $6, can_call = $7, can_request = $8, call_limit_until = $9,
                      request_limit_until = $10, checked_at = $4, check_error = NULL, updated_at = now(),
                      check_wanted_at = CASE WHEN check_wanted_at > $3 THEN check_wanted_at END
                WHERE phone_number_id = $1 AND user_key = $2 AND (told_at IS NULL OR told_at < $4)""",
            number,
            user,
            wanted_at,
            asked_at,
            answer.status,
            answer.expires_at,
            answer.can_call,
            answer.can_request,
            answer.call_limit_until,
            answer.request_limit_until,
        )
        return bool(done.endswith(" 1"))

    async def not_checked(self, number: str, user: str, wanted_at: datetime, text: str, *, again: bool) -> None:
        """There is no answer; with `again`, Meta is asked once more."""
        await self._store.pool.execute(
            """UPDATE whatsapp.permissions
                  SET check_error = $4, updated_at = now(),
                      check_wanted_at = CASE WHEN $5 OR check_wanted_at > $3 THEN check_wanted_at END
                WHERE phone_number_id = $1 AND user_key = $2""",
            number,
            user,
            wanted_at,
            text,
            again,
        )


async def _want_check(connection: Any, number: str, user: str, now: datetime) -> None:
    await connection.execute(
        """INSERT INTO whatsapp.permissions (phone_number_id, user_key, check_wanted_at) VALUES ($1, $2, $3)
           ON CONFLICT (phone_number_id, user_key) DO UPDATE SET check_wanted_at = EXCLUDED.check_wanted_at""",
        number,
        user,
        now,
    )
