"""Settings of WhatsApp numbers: what is wanted, what Meta has, and what lies between; sql/0013."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ari_app.store.database import Database

_STATES = """
SELECT n.display_number AS number, n.phone_number_id, w.calling AS wanted, w.on_drift, s.observed, s.observed_at,
       s.applied_at, coalesce(s.drift, '[]') AS drift, s.error_code, s.error_text, s.retry_at,
       coalesce(s.notices, '[]') AS notices, s.button_hidden_at,
       (SELECT coalesce(jsonb_agg(r), '[]') FROM whatsapp.restrictions r WHERE r.phone_number_id = n.phone_number_id)
       AS restrictions
  FROM whatsapp.numbers n
  LEFT JOIN whatsapp.wanted_settings w USING (phone_number_id)
  LEFT JOIN whatsapp.number_settings s USING (phone_number_id)
 WHERE $1::text IS NULL OR n.display_number = $1
 ORDER BY n.display_number
"""
# The wish is dated later than any before, so that the bridge's answer to an earlier one is not taken for ours.
_WANT = """
INSERT INTO whatsapp.number_settings (phone_number_id, reconcile_wanted_at)
SELECT phone_number_id, clock_timestamp() FROM whatsapp.numbers WHERE $1::text IS NULL OR display_number = $1
ON CONFLICT (phone_number_id) DO UPDATE SET reconcile_wanted_at = excluded.reconcile_wanted_at
"""
_PENDING = """
SELECT display_number FROM whatsapp.numbers n JOIN whatsapp.number_settings s USING (phone_number_id)
 WHERE s.reconcile_wanted_at IS NOT NULL AND ($1::text IS NULL OR n.display_number = $1) ORDER BY 1
"""


@dataclass(frozen=True)
class SettingsState:
    """One number. Settings are in Meta's words, as in its API."""

    number: str
    phone_number_id: str
    wanted: dict[str, Any] | None
    "None: the number has no route, and Meta is only looked at."
    on_drift: str | None
    observed: dict[str, Any] | None
    "None: Meta was not asked yet."
    observed_at: datetime | None
    applied_at: datetime | None
    "When Meta was last found or brought in line."
    drift: list[dict[str, Any]]
    error_code: int | None
    error_text: str | None
    retry_at: datetime | None
    notices: list[dict[str, Any]]
    button_hidden_at: datetime | None
    restrictions: list[dict[str, Any]]


class NumberSettingsStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def states(self, number: str | None = None) -> list[SettingsState]:
        """All numbers at Meta, or the one with these digits."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_STATES, number)
        documents = ("wanted", "observed", "drift", "notices", "restrictions")
        return [
            SettingsState(
                **dict(row) | {name: None if row[name] is None else json.loads(row[name]) for name in documents}
            )
            for row in rows
        ]

    async def want_reconciliation(self, number: str | None = None) -> None:
        """Let the bridge ask Meta now; `settings:<phone_number_id>` on whatsapp_facts tells when it has."""
        async with self._database.connection() as connection:
            await connection.execute(_WANT, number)

    async def pending(self, number: str | None = None) -> list[str]:
        """Numbers that the bridge has not asked Meta about yet, though somebody wants it."""
        async with self._database.connection() as connection:
            return [row["display_number"] for row in await connection.fetch(_PENDING, number)]
