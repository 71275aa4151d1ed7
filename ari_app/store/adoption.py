"""Open calls of a process that is gone, for the one that takes its place."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ari_app.calls.call import Call, ChannelType, State
from ari_app.calls.caller import Caller
from ari_app.calls.offer import Agent, Offer, Outcome
from ari_app.store.database import Database
from ari_app.store.recordings import RecordingRow

_OPEN = """
SELECT c.id, c.linkedid, c.channel_type, c.number, c.caller_number, c.caller_name, c.received_at, c.whatsapp_call_id,
       c.state, c.queued_at, c.connected_at, c.agent_id, c.path, coalesce(c.hold_seconds, 0) AS hold_seconds,
       o.id AS offer_id, o.started_at AS offered_at, o.ended_at AS answered_at, o.reason, o.group_name,
       a.name, a.endpoint, a.voip_only,
       r.id AS recording_id, r.file, r.started_at AS recorded_since
  FROM pbx.calls c
  LEFT JOIN LATERAL (
       SELECT * FROM pbx.offers o WHERE o.call_id = c.id AND o.agent_id = c.agent_id AND o.outcome = 'answered'
        ORDER BY o.started_at DESC LIMIT 1) o ON true
  LEFT JOIN pbx.agents a ON a.id = o.agent_id
  LEFT JOIN LATERAL (
       SELECT * FROM pbx.recordings r WHERE r.call_id = c.id AND r.seconds IS NULL
        ORDER BY r.started_at DESC LIMIT 1) r ON true
 WHERE c.node = $1 AND c.direction = 'inbound' AND c.state IN ('queued', 'ringing', 'connected')
"""


@dataclass(frozen=True)
class OpenCall:
    """An incoming call as its last write has it."""

    call: Call
    offer: Offer | None
    "To the agent who talks."
    recording: RecordingRow | None
    "What was begun and is not stored yet."


class AdoptionStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_calls(self, node: str) -> list[OpenCall]:
        """Incoming calls of this node in which somebody waits or talks."""
        async with self._database.connection() as connection:
            return [_open_call(row) for row in await connection.fetch(_OPEN, node)]

    async def free_agents(self, calls: list[UUID]) -> None:
        """Nobody is reserved for these calls any more."""
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE pbx.agent_states SET call_id = NULL, reserved_at = NULL WHERE call_id = ANY ($1)", calls
            )


def _open_call(row: asyncpg.Record) -> OpenCall:
    call = Call(
        id=row["id"],
        linkedid=row["linkedid"],
        channel_type=ChannelType(row["channel_type"]),
        number=row["number"],
        caller=Caller(row["caller_number"], row["caller_name"]),
        received_at=row["received_at"],
        whatsapp_call_id=row["whatsapp_call_id"],
        state=State(row["state"]),
        queued_at=row["queued_at"],
        connected_at=row["connected_at"],
        agent_id=row["agent_id"],
        path=tuple(row["path"]),
        hold_seconds=float(row["hold_seconds"]),
    )
    offer = recording = None
    if row["name"] is not None:
        agent = Agent(row["agent_id"], row["name"], row["endpoint"], row["voip_only"])
        offer = Offer(
            id=row["offer_id"],
            call_id=call.id,
            agent=agent,
            started_at=row["offered_at"],
            ended_at=row["answered_at"],
            outcome=Outcome.ANSWERED,
            reason=row["reason"] or "",
            group=row["group_name"],
        )
    if row["recording_id"] is not None:
        recording = RecordingRow(row["recording_id"], call.id, row["file"], row["recorded_since"])
    return OpenCall(call, offer, recording)
