"""The bridge's SQL about what users and Meta say of permissions: replies, and invitations that were not delivered."""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from whatsapp_bridge.meta.invitation import Invitation, Permission, State, settle, takes_back
from whatsapp_bridge.meta.number_events import MessageFailed, PermissionReply
from whatsapp_bridge.meta.payloads import ReceivedEvent
from whatsapp_bridge.meta.webhook import StoreUnavailable
from whatsapp_bridge.store import Store

#: A reply that is so much older than what Meta said when asked says nothing new. More than clocks differ.
STALE_REPLY = timedelta(seconds=60)

_OF_USER = """
SELECT id, state, wanted_at, claimed_at, meta_message_id AS message_id, sent_at, answered_at, permanent, granted_until
  FROM whatsapp.permission_requests
 WHERE phone_number_id = $1 AND user_key = $2
 ORDER BY wanted_at
   FOR UPDATE
"""


class ReplyStore:
    """Uses the connections of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add_event(self, received: ReceivedEvent, now: datetime) -> bool:
        """Store a permission reply or a failed message and do what it says, in one; whether it was new.

        Failures of messages that are not invitations are left alone. Raises StoreUnavailable.
        """
        event = received.event
        try:
            async with self._store.pool.acquire() as connection, connection.transaction():
                if isinstance(event, MessageFailed) and not await _fail_sent(connection, event):
                    return False
                inserted = await connection.fetchval(
                    """INSERT INTO whatsapp.webhook_events (key, kind, body) VALUES ($1, $2, $3)
                       ON CONFLICT (key) DO NOTHING RETURNING true""",
                    hashlib.sha256(received.key.encode()).hexdigest(),
                    received.kind,
                    json.dumps(received.body),
                )
                if inserted and isinstance(event, PermissionReply):
                    await _take_reply(connection, event, now)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(str(error)) from error
        return bool(inserted)


async def _take_reply(connection: Any, reply: PermissionReply, now: datetime) -> None:
    user = await _user_key(connection, reply)
    # Replies of one user are taken one after the other, also where there is no row to lock yet.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{reply.phone_number_id}:{user}")
    rows = await connection.fetch(_OF_USER, reply.phone_number_id, user)
    invitations = [invitation_of(row) for row in rows]
    for invitation in settle(invitations, reply):
        await keep(connection, invitation)
    row = await connection.fetchrow(
        """SELECT status, expires_at, reply_at, checked_at, told_at FROM whatsapp.permissions
            WHERE phone_number_id = $1 AND user_key = $2""",
        reply.phone_number_id,
        user,
    )
    before = Permission(row["status"], row["expires_at"], row["reply_at"]) if row else Permission()
    asked_since = row is not None and row["checked_at"] is not None and reply.at < row["checked_at"] - STALE_REPLY
    after = before if asked_since else before.after(reply, takes_back=takes_back(invitations, reply))
    await connection.execute(
        """INSERT INTO whatsapp.permissions (phone_number_id, user_key, scoped_id, status, expires_at, reply_at,
                                             can_call, checked_at, told_at, check_wanted_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
           ON CONFLICT (phone_number_id, user_key) DO UPDATE
              SET scoped_id = coalesce(EXCLUDED.scoped_id, permissions.scoped_id), status = EXCLUDED.status,
                  expires_at = EXCLUDED.expires_at, reply_at = EXCLUDED.reply_at, can_call = EXCLUDED.can_call,
                  checked_at = EXCLUDED.checked_at, told_at = EXCLUDED.told_at, updated_at = now(),
                  check_wanted_at = coalesce(permissions.check_wanted_at, EXCLUDED.check_wanted_at)""",
        reply.phone_number_id,
        user,
        reply.scoped_id,
        after.status,
        after.expires_at,
        after.reply_at,
        # Limits may forbid what the permission allows: only Meta's answer says so, but a refusal is certain.
        False if after.status == "none" else None,
        now,
        # A late reply, and one that leaves a permission in doubt: let Meta say how it is.
        now if asked_since or (after.status != "none" and not reply.accepted) else None,
    )


async def _user_key(connection: Any, reply: PermissionReply) -> str:
    """Under which key the user is known: that of the request, the number, or the scoped id."""
    if reply.context_id is not None:
        found = await connection.fetchval(
            "SELECT user_key FROM whatsapp.permission_requests WHERE phone_number_id = $1 AND meta_message_id = $2",
            reply.phone_number_id,
            reply.context_id,
        )
        if found is not None:
            return str(found)
    if reply.number is not None:
        return reply.number
    found = await connection.fetchval(
        "SELECT user_key FROM whatsapp.permissions WHERE phone_number_id = $1 AND scoped_id = $2 LIMIT 1",
        reply.phone_number_id,
        reply.scoped_id,
    )
    return str(found or reply.scoped_id)


async def _fail_sent(connection: Any, event: MessageFailed) -> bool:
    """Meta took an invitation and could not deliver it; its word may overtake its reply to us."""
    done = await connection.execute(
        """UPDATE whatsapp.permission_requests
              SET state = 'failed', error_code = $3, error_text = $4, meta_message_id = $2
            WHERE phone_number_id = $1 AND state IN ('wanted', 'sent')
              AND (meta_message_id = $2
                   OR meta_message_id IS NULL AND claimed_at IS NOT NULL AND user_key = $5
                      AND NOT EXISTS (SELECT FROM whatsapp.permission_requests WHERE meta_message_id = $2))""",
        event.phone_number_id,
        event.message_id,
        event.code,
        event.text,
        event.number,
    )
    return bool(done.endswith(" 1"))


async def keep(connection: Any, invitation: Invitation) -> None:
    """Write down what answers and time have made of it."""
    await connection.execute(
        """UPDATE whatsapp.permission_requests
              SET state = $2, meta_message_id = $3, answered_at = $4, permanent = $5, granted_until = $6
            WHERE id = $1""",
        invitation.id,
        invitation.state.value,
        invitation.message_id,
        invitation.answered_at,
        invitation.permanent,
        invitation.granted_until,
    )


def invitation_of(row: Any) -> Invitation:
    """From a row with its columns."""
    return Invitation(**dict(row) | {"state": State(row["state"])})
