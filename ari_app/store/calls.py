"""Calls and offers in PostgreSQL.

Each write is the whole row as it is now, so that a write that was lost is made good by the next one.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from ari_app.calls.call import Call
from ari_app.calls.offer import Offer
from ari_app.store.database import Database

_SAVE_CALL = """
INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, whatsapp_call_id,
                       state, status, ended_by, reason, agent_id, received_at, queued_at, connected_at, ended_at, path,
                       refusal, hold_seconds, node)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (id) DO UPDATE
   SET state = excluded.state, status = excluded.status, ended_by = excluded.ended_by, reason = excluded.reason,
       agent_id = excluded.agent_id, queued_at = excluded.queued_at, connected_at = excluded.connected_at,
       ended_at = excluded.ended_at, path = excluded.path, refusal = excluded.refusal,
       whatsapp_call_id = excluded.whatsapp_call_id, caller_name = excluded.caller_name,
       hold_seconds = excluded.hold_seconds
"""

_SAVE_OFFER = """
INSERT INTO pbx.offers (id, call_id, agent_id, started_at, ended_at, outcome, cause, reason, group_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE
   SET ended_at = excluded.ended_at, outcome = excluded.outcome, cause = excluded.cause, reason = excluded.reason
"""

#: A call that had been answered stays an answered one.
_END_CALLS = """
UPDATE pbx.calls
   SET state = 'ended', status = CASE WHEN connected_at IS NULL THEN 'Failed' ELSE 'Answered' END,
       ended_by = 'system', reason = $1, ended_at = greatest($2, received_at, queued_at, connected_at)
 WHERE state <> 'ended' AND node = $3 AND id <> ALL ($4::uuid[])
RETURNING id
"""

_END_OFFERS = """
UPDATE pbx.offers o SET outcome = 'cancelled', reason = $1, ended_at = greatest($2, o.started_at)
  FROM pbx.calls c
 WHERE o.outcome IS NULL AND c.id = o.call_id AND c.node = $3
"""


class CallStore:
    """All methods raise StoreUnavailable when PostgreSQL is away, StoreError when it refuses."""

    def __init__(self, database: Database, node: str = "") -> None:
        """`node` is written into the calls: whose they are."""
        self._database = database
        self._node = node

    async def save(self, call: Call, offers: Sequence[Offer] = ()) -> None:
        """Write the call and these offers as they are now, all or nothing."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_SAVE_CALL, *_call_row(call), self._node)
            for offer in offers:
                await connection.execute(_SAVE_OFFER, *_offer_row(offer))

    async def end_left_by(self, node: str, reason: str, at: datetime, spared: Collection[UUID] = ()) -> int:
        """End every call and offer of this node that is still open, for one that did not; return how many calls.
        Offers end also of calls that are spared.
        """
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_END_OFFERS, reason, at, node)
            rows: list[asyncpg.Record] = await connection.fetch(_END_CALLS, reason, at, node, list(spared))
        return len(rows)


def _call_row(call: Call) -> tuple[object, ...]:
    ending = call.ending
    return (
        call.id,
        call.linkedid,
        call.channel_type.value,
        call.direction.value,
        call.number,
        call.caller.number,
        call.caller.name,
        call.whatsapp_call_id,
        call.state.value,
        ending and ending.status.value,
        ending and ending.ended_by.value,
        ending and ending.reason,
        call.agent_id,
        call.received_at,
        call.queued_at,
        call.connected_at,
        call.ended_at,
        list(call.path),
        call.refusal,
        None if call.connected_at is None else round(call.hold_seconds),
    )


def _offer_row(offer: Offer) -> tuple[object, ...]:
    return (
        offer.id,
        offer.call_id,
        offer.agent.id,
        offer.started_at,
        offer.ended_at,
        offer.outcome and offer.outcome.value,
        offer.cause,
        offer.reason or None,
        offer.group,
    )
