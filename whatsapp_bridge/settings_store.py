"""The bridge's SQL about settings of numbers at Meta."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from whatsapp_bridge.meta.number_settings import OnDrift
from whatsapp_bridge.store import Store

# Whose settings are to be looked at: those never seen, those seen long ago, those that somebody asks for, those
# whose wish has changed, and those that failed and may be tried again. A wish that failed waits for its time.
_DUE = """
SELECT n.phone_number_id
  FROM whatsapp.numbers n
  LEFT JOIN whatsapp.wanted_settings w USING (phone_number_id)
  LEFT JOIN whatsapp.number_settings s USING (phone_number_id)
 WHERE s.phone_number_id IS NULL
    OR s.reconcile_wanted_at IS NOT NULL
    OR CASE WHEN s.retry_at IS NULL
            THEN s.observed_at IS NULL OR s.observed_at <= $2 OR s.applied IS DISTINCT FROM w.calling
                 OR s.policy IS DISTINCT FROM w.on_drift
            ELSE s.retry_at <= $1 OR s.failed IS DISTINCT FROM w.calling END
 ORDER BY s.observed_at NULLS FIRST
"""
_CASE = """
SELECT n.phone_number_id, n.display_number, w.calling AS wanted, coalesce(w.on_drift, 'show') AS on_drift,
       s.applied, s.applied_at, coalesce(s.failures, 0) AS failures, s.error_text, s.reconcile_wanted_at
  FROM whatsapp.numbers n
  LEFT JOIN whatsapp.wanted_settings w USING (phone_number_id)
  LEFT JOIN whatsapp.number_settings s USING (phone_number_id)
 WHERE n.phone_number_id = $1
"""
_SETTLED = """
INSERT INTO whatsapp.number_settings AS s
       (phone_number_id, observed, observed_at, applied, applied_at, drift, policy, restrictions)
VALUES ($1, $2, $3, $4, $3, $5, $9,
        coalesce((SELECT jsonb_agg(jsonb_build_object('type', r.type, 'reason', r.reason,
                                                      'expires_at', to_timestamp(r.expires_at)))
                    FROM jsonb_to_recordset($6::jsonb) AS r(type text, reason text, expires_at bigint)), '[]'))
ON CONFLICT (phone_number_id) DO UPDATE
   SET observed = EXCLUDED.observed, observed_at = EXCLUDED.observed_at, drift = EXCLUDED.drift,
       applied = EXCLUDED.applied, policy = EXCLUDED.policy,
       applied_at = CASE WHEN EXCLUDED.drift = '[]' OR s.applied_at IS NULL THEN $3 ELSE s.applied_at END,
       -- What GET does not know, Meta told by webhook: it stays until it ends.
       restrictions = EXCLUDED.restrictions || coalesce(
           (SELECT jsonb_agg(r) FROM jsonb_array_elements(s.restrictions) AS r
             WHERE r ->> 'type' <> ALL ($7) AND coalesce((r ->> 'expires_at')::timestamptz > $3, true)), '[]'),
       error_code = NULL, error_text = NULL, error_at = NULL, failures = 0, failed = NULL, retry_at = NULL,
       reconcile_wanted_at = CASE WHEN s.reconcile_wanted_at > $8 THEN s.reconcile_wanted_at END, updated_at = now()
"""
#: What GET reports by itself; its absence there is the end of it.
_KNOWN_TO_GET = ["RESTRICTED_BUSINESS_INITIATED_CALLING", "RESTRICTED_USER_INITIATED_CALLING"]


@dataclass(frozen=True)
class NumberCase:
    """What is known of one number's settings, before Meta is asked."""

    phone_number_id: str
    display_number: str
    wanted: dict[str, Any] | None
    "None: the number has no route, and Meta is only looked at."
    on_drift: OnDrift
    applied: dict[str, Any] | None
    applied_at: datetime | None
    failures: int
    error_text: str | None
    reconcile_wanted_at: datetime | None


class SettingsStore:
    """Uses the connections of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def due(self, now: datetime, observe_every: timedelta) -> list[str]:
        """Phone number ids whose settings are to be looked at now."""
        rows = await self._store.pool.fetch(_DUE, now, now - observe_every)
        return [row["phone_number_id"] for row in rows]

    async def next_due(self, observe_every: timedelta) -> datetime | None:
        """When the next one is, by the clock alone."""
        due: datetime | None = await self._store.pool.fetchval(
            "SELECT min(coalesce(retry_at, observed_at + $1)) FROM whatsapp.number_settings", observe_every
        )
        return due

    @contextlib.asynccontextmanager
    async def reserved(self, phone_number_id: str) -> AsyncIterator[bool]:
        """Whether the number is ours while the block lasts; false while another bridge works on it.

        It is a lock of the session, so that no row is locked while Meta is asked.
        """
        async with self._store.pool.acquire() as connection:
            key = f"settings:{phone_number_id}"
            mine = await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", key)
            try:
                yield bool(mine)
            finally:
                if mine:
                    await connection.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", key)

    async def case(self, phone_number_id: str) -> NumberCase | None:
        row = await self._store.pool.fetchrow(_CASE, phone_number_id)
        if row is None:
            return None
        columns = dict(row)
        for name in ("wanted", "applied"):
            columns[name] = json.loads(columns[name]) if columns[name] is not None else None
        return NumberCase(**columns)

    async def settled(
        self,
        case: NumberCase,
        observed: dict[str, Any],
        drift: list[dict[str, Any]],
        restrictions: list[dict[str, Any]],
        now: datetime,
    ) -> None:
        """Meta was asked, and everything that was to be done is done."""
        await self._store.pool.execute(
            _SETTLED,
            case.phone_number_id,
            json.dumps(observed),
            now,
            None if case.wanted is None else json.dumps(case.wanted),
            json.dumps(drift),
            json.dumps(restrictions),
            _KNOWN_TO_GET,
            case.reconcile_wanted_at or now,
            None if case.wanted is None else case.on_drift,
        )

    async def adopt(self, phone_number_id: str, fields: dict[str, Any]) -> None:
        """Write Meta's fields into route and schedule. Raises asyncpg.PostgresError where they may not be there."""
        await self._store.pool.execute("SELECT whatsapp.adopt_settings($1, $2)", phone_number_id, json.dumps(fields))

    async def failed(
        self,
        case: NumberCase,
        code: int | None,
        text: str,
        retry_at: datetime,
        now: datetime,
        observed: dict[str, Any] | None = None,
    ) -> None:
        """Meta is not in line, and why; `observed` if it was seen nevertheless."""
        await self._store.pool.execute(
            """INSERT INTO whatsapp.number_settings AS s
                      (phone_number_id, observed, observed_at, error_code, error_text, error_at, failures, failed,
                       retry_at)
               VALUES ($1, $7, CASE WHEN $7::jsonb IS NOT NULL THEN $5::timestamptz END, $2, $3, $5, 1, $6, $4)
               ON CONFLICT (phone_number_id) DO UPDATE
                  SET observed = coalesce(EXCLUDED.observed, s.observed),
                      observed_at = coalesce(EXCLUDED.observed_at, s.observed_at),
                      error_code = EXCLUDED.error_code, error_text = EXCLUDED.error_text,
                      error_at = EXCLUDED.error_at, failures = s.failures + 1, failed = EXCLUDED.failed,
                      retry_at = EXCLUDED.retry_at, updated_at = now(),
                      reconcile_wanted_at = CASE WHEN s.reconcile_wanted_at > $8 THEN s.reconcile_wanted_at END""",
            case.phone_number_id,
            code,
            text,
            retry_at,
            now,
            None if case.wanted is None else json.dumps(case.wanted),
            None if observed is None else json.dumps(observed),
            case.reconcile_wanted_at or now,
        )


#: What an adoption may meet: a rule of the database, such as that voice calling needs a quotation.
REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError, asyncpg.DataError)
