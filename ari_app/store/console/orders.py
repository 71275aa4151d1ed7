"""What supervisors order of running calls (sql/0018); the application takes it from there."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database

#: What no application has taken after so long is not going to be.
PATIENCE = timedelta(seconds=15)

_GIVE_UP = """
UPDATE pbx.orders SET state = 'failed', ended_at = now(), reason = 'no application took it'
 WHERE state = 'wanted' AND wanted_at < now() - $1::interval
"""

_ADD = """
INSERT INTO pbx.orders (kind, call_id, agent_id, user_id, requested_by)
SELECT $1, c.id, $3, $4, $5 FROM pbx.calls c
 WHERE c.id = $2 AND c.state <> 'ended' AND (c.state = 'connected' OR $1 = 'hangup')
RETURNING id
"""


class OrderRefused(Exception):
    """Nothing was ordered; the message says why."""


class OrderStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: str, call: UUID, agent: UUID | None, actor: Actor) -> UUID:
        """`agent` is whose phone rings; None to hang up. Audited. Raises OrderRefused, StoreError."""
        if kind != "hangup" and agent is None:
            raise OrderRefused("no phone is yours: let an administrator link you with an agent")
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_GIVE_UP, PATIENCE)
            try:
                order: UUID | None = await connection.fetchval(
                    _ADD, kind, call, None if kind == "hangup" else agent, actor.user_id, actor.name
                )
            except asyncpg.UniqueViolationError as error:
                raise OrderRefused("you are with a call already: hang your phone up first") from error
            if order is None:
                raise OrderRefused("this call is over, or nobody talks in it yet")
            await write(connection, actor, [Entry("ordered", "call", str(call), None, {"order": kind})])
        return order
