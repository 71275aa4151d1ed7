"""Call records as CSV (RFC 4180, UTF-8, with a header), streamed: it takes as much memory for a million as for ten."""

from collections.abc import Awaitable, Callable
from zoneinfo import available_timezones

import asyncpg

from ari_app.store.database import STATEMENT_SECONDS, Database, StoreError, StoreUnavailable, describe
from ari_app.store.record_filters import Filters, Parameters, Sort, conditions, order, where

#: Limit for a whole export, s; a reader who is too slow for that has gone.
EXPORT_SECONDS = 3600.0

#: Columns with what strangers wrote: no spreadsheet may take it for a formula.
_UNTRUSTED = frozenset({"user_number", "user_name", "business_number", "reason", "meta_error_text", "payload"})

_COLUMNS = (
    "linkedid",
    "channel_type",
    "direction",
    "status",
    "user_number",
    "user_name",
    "business_number",
    "group_name",
    "agent",
    "started_at",
    "answered_at",
    "ended_at",
    "wait_seconds",
    "queue_seconds",
    "ring_seconds",
    "talk_seconds",
    "hold_seconds",
    "duration",
    "ended_by",
    "reason",
    "refusal",
    "meta_call_id",
    "meta_status",
    "meta_error_code",
    "meta_error_text",
    "meta_seconds",
    "hangup_cause",
    "hangup_cause_text",
    "disposition",
    "path",
    "offers",
    "recording_file",
    "recording_seconds",
    "voicemail_file",
    "voicemail_seconds",
    "fee_seconds",
    "cost",
    "currency",
    "payload",
)

_RECONCILIATION = ("at", "kind", "linkedid", "meta_call_id", "call_id", "seconds_here", "seconds_at_meta", "why")


async def export_records(
    database: Database,
    filters: Filters,
    write: Callable[[bytes], Awaitable[None]],
    *,
    zone: str = "UTC",
    descending: bool = False,
) -> int:
    """Hand the records to `write` piece by piece, waiting for it; how many they were. Times are of `zone`.

    Raises StoreError, ValueError for a zone that there is not, and whatever `write` raises.
    """
    parameters = Parameters()
    chosen = ", ".join(
        "array_to_string(r.path, ' > ') AS path"
        if name == "path"
        else f"reports.spreadsheet(r.{name}) AS {name}"
        if name in _UNTRUSTED
        else f"r.{name}"
        for name in _COLUMNS
    )
    statement = (
        f"SELECT {chosen} FROM reports.call_records r"  # noqa: S608
        f"{where(conditions(filters, parameters))}{order(Sort.STARTED, descending=descending)}"
    )
    return await _copy(database, statement, parameters, write, zone)


async def export_reconciliation(
    database: Database, filters: Filters, write: Callable[[bytes], Awaitable[None]], *, zone: str = "UTC"
) -> int:
    """Likewise `reports.reconciliation`; of the filters, since and until count."""
    parameters = Parameters()
    found = []
    if filters.since is not None:
        found.append(f"at >= {parameters.add(filters.since)}")
    if filters.until is not None:
        found.append(f"at < {parameters.add(filters.until)}")
    statement = f"SELECT {', '.join(_RECONCILIATION)} FROM reports.reconciliation{where(found)} ORDER BY at"  # noqa: S608
    return await _copy(database, statement, parameters, write, zone)


async def _copy(
    database: Database, statement: str, parameters: Parameters, write: Callable[[bytes], Awaitable[None]], zone: str
) -> int:
    """On a connection of its own: it may take minutes, and calls need those of the pool."""
    if zone not in available_timezones():
        raise ValueError(f"there is no time zone {zone!r}; write one such as Europe/Berlin")
    failure: Exception | None = None

    async def sink(data: bytes) -> None:
        nonlocal failure
        try:
            await write(data)
        except Exception as error:
            failure = error
            raise

    settings = {"timezone": zone, "jit": "off", "default_transaction_read_only": "on"}
    try:
        connection = await asyncpg.connect(database.dsn, timeout=STATEMENT_SECONDS, server_settings=settings)
        try:
            told: str = await connection.copy_from_query(
                statement, *parameters.values, output=sink, format="csv", header=True, timeout=EXPORT_SECONDS
            )
            await connection.close(timeout=STATEMENT_SECONDS)
        finally:
            # Cut, not closed: asyncpg 0.32 waits for ever for the end of a COPY whose reader failed (measured).
            connection.terminate()
    except asyncpg.PostgresError as error:
        raise StoreError(describe(error)) from error
    except (asyncpg.InterfaceError, OSError, TimeoutError) as error:
        if error is failure:
            raise
        raise StoreUnavailable(describe(error)) from error
    return int(told.rpartition(" ")[2])
