"""What Meta has of a number's settings, beside what is wanted; and the wishes that the bridge fulfils."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database, StoreError

_FIND = """
SELECT w.calling AS wanted, s.observed, s.observed_at, s.applied_at, s.drift, s.error_code, s.error_text, s.error_at,
       s.retry_at, s.button_hidden_at, s.reconcile_wanted_at, s.notices,
       (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'phone_number_id'), '[]') FROM whatsapp.restrictions r
         WHERE r.phone_number_id = n.phone_number_id) AS restrictions
  FROM whatsapp.numbers n
  LEFT JOIN whatsapp.wanted_settings w USING (phone_number_id)
  LEFT JOIN whatsapp.number_settings s USING (phone_number_id)
 WHERE n.phone_number_id = $1
"""

_ASK = """
INSERT INTO whatsapp.number_settings AS s (phone_number_id, reconcile_wanted_at) VALUES ($1, now())
ON CONFLICT (phone_number_id) DO UPDATE SET reconcile_wanted_at = now()
"""

#: A wish that was never acted on is applied, whatever Meta has.
_APPLY = """
UPDATE whatsapp.number_settings SET applied = NULL, applied_at = NULL, reconcile_wanted_at = now()
 WHERE phone_number_id = $1
"""

_ADOPT = """
SELECT whatsapp.adopt_settings($1, (SELECT jsonb_object_agg(d.field, d.observed)
                                      FROM jsonb_to_recordset(s.drift) AS d(field text, observed jsonb)))
  FROM whatsapp.number_settings s
 WHERE s.phone_number_id = $1 AND jsonb_array_length(s.drift) > 0
"""


@dataclass(frozen=True)
class MetaState:
    wanted: dict[str, Any] | None
    "None for a number without a route."
    observed: dict[str, Any] | None
    "None until Meta was asked."
    observed_at: datetime | None
    applied_at: datetime | None
    drift: list[dict[str, Any]]
    "field, wanted, observed"
    error_code: int | None
    error_text: str | None
    error_at: datetime | None
    retry_at: datetime | None
    button_hidden_at: datetime | None
    reconcile_wanted_at: datetime | None
    notices: list[dict[str, Any]]
    restrictions: list[dict[str, Any]]


class MetaStateStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, phone_number_id: str) -> MetaState | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, phone_number_id)
        if row is None:
            return None
        columns = dict(row)
        for name in ("wanted", "observed", "drift", "notices", "restrictions"):
            columns[name] = json.loads(columns[name]) if columns[name] is not None else None
        return MetaState(**columns | {"drift": columns["drift"] or [], "notices": columns["notices"] or []})

    async def ask(self, phone_number_id: str) -> None:
        """Have the bridge compare with Meta now."""
        async with self._database.connection() as connection:
            await connection.execute(_ASK, phone_number_id)

    async def apply_again(self, phone_number_id: str, number: str, actor: Actor) -> None:
        """Have the bridge set at Meta what is wanted here, over what somebody changed there."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_APPLY, phone_number_id)
            await write(connection, actor, [Entry("applied_again", "number", number, None, None)])

    async def adopt(self, phone_number_id: str, number: str, actor: Actor) -> None:
        """Take over what somebody changed at Meta."""
        async with self._database.connection() as connection, connection.transaction():
            drift = await connection.fetchval(
                "SELECT drift FROM whatsapp.number_settings WHERE phone_number_id = $1 FOR UPDATE", phone_number_id
            )
            try:
                await connection.execute(_ADOPT, phone_number_id)
            except asyncpg.RaiseError as error:
                raise StoreError(str(error)) from error
            await connection.execute(_ASK, phone_number_id)
            fields = json.loads(drift or "[]")
            before = {one["field"]: one["wanted"] for one in fields}
            after = {one["field"]: one["observed"] for one in fields}
            await write(connection, actor, [Entry("adopted", "number", number, before, after)])
