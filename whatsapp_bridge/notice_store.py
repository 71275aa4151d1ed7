"""The bridge's SQL about what Meta reports of numbers by webhook: restrictions, warnings, changed settings."""

import hashlib
import json
from datetime import datetime
from typing import Any

import asyncpg

from whatsapp_bridge.meta.number_events import AccountNotice, SettingsChanged
from whatsapp_bridge.meta.payloads import ReceivedEvent
from whatsapp_bridge.meta.webhook import StoreUnavailable
from whatsapp_bridge.store import Store

BUTTON_HIDDEN = "RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN"

# The newest of each type.
_RESTRICTION = """
UPDATE whatsapp.number_settings
   SET restrictions = (SELECT coalesce(jsonb_agg(r), '[]') FROM jsonb_array_elements(restrictions) AS r
                        WHERE r ->> 'type' <> $2) || $3::jsonb
 WHERE phone_number_id = $1
"""
_NOTICE = """
UPDATE whatsapp.number_settings
   SET notices = (SELECT coalesce(jsonb_agg(r), '[]') FROM jsonb_array_elements(notices) AS r
                   WHERE r ->> 'type' <> $2) || $3::jsonb
 WHERE phone_number_id = $1
"""
_BUTTON_SHOWN = """
UPDATE whatsapp.number_settings
   SET button_hidden_at = NULL,
       restrictions = (SELECT coalesce(jsonb_agg(r), '[]') FROM jsonb_array_elements(restrictions) AS r
                        WHERE r ->> 'type' <> $3)
 WHERE phone_number_id = $1 AND button_hidden_at < $2
"""


class NoticeStore:
    """What Meta reports of numbers by webhook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add_event(self, received: ReceivedEvent, now: datetime) -> bool:
        """Store a notice or a change of settings and do what it says, in one; whether it was new.

        Raises StoreUnavailable.
        """
        event = received.event
        try:
            async with self._store.pool.acquire() as connection, connection.transaction():
                inserted = await connection.fetchval(
                    """INSERT INTO whatsapp.webhook_events (key, kind, body) VALUES ($1, $2, $3)
                       ON CONFLICT (key) DO NOTHING RETURNING true""",
                    hashlib.sha256(received.key.encode()).hexdigest(),
                    received.kind,
                    json.dumps(received.body),
                )
                if inserted and isinstance(event, AccountNotice):
                    await self._noticed(connection, event, now)
                if inserted and isinstance(event, SettingsChanged):
                    await self._changed(connection, event, now)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(str(error)) from error
        return bool(inserted)

    async def _noticed(self, connection: Any, event: AccountNotice, now: datetime) -> None:
        """Keep what Meta says of a number, the newest of each type; and let Meta be asked."""
        await self._want(connection, event.phone_number_id, now)
        if event.kind == "violation":
            entry = {"type": event.type, "text": event.remediation, "at": event.at.isoformat()}
            await connection.execute(_NOTICE, event.phone_number_id, event.type, json.dumps([entry]))
            return
        ends = event.expires_at and event.expires_at.isoformat()
        restriction = {"type": event.type, "reason": event.remediation, "expires_at": ends}
        await connection.execute(_RESTRICTION, event.phone_number_id, event.type, json.dumps([restriction]))
        if event.type == BUTTON_HIDDEN:
            await connection.execute(
                "UPDATE whatsapp.number_settings SET button_hidden_at = $2 WHERE phone_number_id = $1",
                event.phone_number_id,
                event.at,
            )

    async def _changed(self, connection: Any, event: SettingsChanged, now: datetime) -> None:
        """Settings were changed: let Meta be asked. With the icon back, the button is not hidden any more."""
        await self._want(connection, event.phone_number_id, now)
        if event.calling.get("call_icon_visibility") == "DEFAULT":
            await connection.execute(
                _BUTTON_SHOWN,
                event.phone_number_id,
                event.at,
                BUTTON_HIDDEN,
            )

    @staticmethod
    async def _want(connection: Any, phone_number_id: str, now: datetime) -> None:
        await connection.execute(
            """INSERT INTO whatsapp.number_settings (phone_number_id, reconcile_wanted_at) VALUES ($1, $2)
               ON CONFLICT (phone_number_id) DO UPDATE SET reconcile_wanted_at = EXCLUDED.reconcile_wanted_at""",
            phone_number_id,
            now,
        )
