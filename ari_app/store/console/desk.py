"""An agent's desk just now: how the agent stands, what rings, the call, and what became of the last one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database

#: A call that is over, and a wanted call that failed, are shown so long.
SHOWN = timedelta(seconds=15)

#: The last call can be noted down for so long.
NOTED = timedelta(minutes=30)

_AGENT = """
SELECT a.id, a.name, a.endpoint, a.extension, a.call_back, s.logged_in, s.pause_reason, s.call_id, s.idle_since,
       s.standing_since, s.available_after, d.state AS device, d.since AS device_since, now() AS at,
       array(SELECT group_name FROM pbx.group_members m WHERE m.agent_id = a.id ORDER BY 1) AS groups
  FROM pbx.agents a
  JOIN pbx.agent_states s ON s.agent_id = a.id
  LEFT JOIN pbx.device_states d ON d.endpoint = a.endpoint
 WHERE a.id = $1
"""

_COLUMNS = """
       c.id, c.direction, c.channel_type, c.number, c.caller_number, c.caller_name, c.state, c.status, c.reason,
       c.connected_at, c.ended_at, n.note, n.code
"""

_RINGING = f"""
SELECT {_COLUMNS}, f.started_at AS received_at, f.group_name
  FROM pbx.offers f JOIN pbx.calls c ON c.id = f.call_id LEFT JOIN pbx.call_notes n ON n.call_id = c.id
 WHERE f.agent_id = $1 AND f.outcome IS NULL AND c.state <> 'ended'
 ORDER BY f.started_at LIMIT 5
"""  # noqa: S608 - ours above

_HAD = f"""
SELECT {_COLUMNS}, c.received_at,
       (SELECT o.group_name FROM pbx.offers o WHERE o.call_id = c.id AND o.agent_id = $1 AND o.outcome = 'answered'
         ORDER BY o.started_at DESC LIMIT 1) AS group_name
  FROM pbx.calls c LEFT JOIN pbx.call_notes n ON n.call_id = c.id
"""  # noqa: S608

#: A caller whom the agent has transferred talks to somebody else.
_CURRENT = f"""{_HAD}
 WHERE c.agent_id = $1 AND c.state <> 'ended'
   AND (c.direction = 'outbound' OR c.id = (SELECT s.call_id FROM pbx.agent_states s WHERE s.agent_id = $1))
 ORDER BY c.received_at DESC LIMIT 1
"""  # noqa: S608

_LAST = f"""{_HAD}
 WHERE c.agent_id = $1 AND c.ended_at > now() - $2::interval
 ORDER BY c.ended_at DESC LIMIT 1
"""

_WANTED = """
SELECT id, user_key, origin, state, reason, wanted_at, ended_at FROM pbx.call_requests
 WHERE agent_id = $1 AND call_id IS NULL
   AND (state IN ('wanted', 'taken') AND not_after > now()
        OR state IN ('failed', 'expired') AND ended_at > now() - $2::interval)
 ORDER BY wanted_at DESC LIMIT 1
"""

_SET = {
    "login": "logged_in = true, pause_reason = NULL, misses = 0, idle_since = now()",
    "logout": "logged_in = false, pause_reason = NULL",
    "pause": "pause_reason = $2",
    "resume": "pause_reason = NULL, misses = 0",
}


@dataclass(frozen=True)
class DeskAgent:
    id: UUID
    name: str
    endpoint: str
    extension: str | None
    call_back: bool
    logged_in: bool
    pause_reason: str | None
    call_id: UUID | None
    idle_since: datetime
    standing_since: datetime
    available_after: datetime | None
    device: str | None
    device_since: datetime | None
    at: datetime
    groups: tuple[str, ...]


@dataclass(frozen=True)
class DeskCall:
    id: UUID
    direction: str
    channel_type: str
    number: str
    "The business number."
    caller_number: str
    caller_name: str
    state: str
    status: str | None
    reason: str | None
    received_at: datetime
    "Of one that rings: since when this agent's phone rings."
    connected_at: datetime | None
    ended_at: datetime | None
    group_name: str | None
    note: str | None
    code: str | None

    @property
    def user_key(self) -> str:
        return self.caller_number.removeprefix("+")

    @property
    def is_outbound(self) -> bool:
        return self.direction == "outbound"

    @property
    def talk_seconds(self) -> float:
        """0 when nobody talked."""
        if self.connected_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.connected_at).total_seconds()


@dataclass(frozen=True)
class WantedCall:
    """A call that somebody wants the agent to make, before it is one; or why it is none."""

    id: UUID
    user_key: str
    origin: str
    state: str
    reason: str | None
    wanted_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class DeskState:
    agent: DeskAgent
    ringing: tuple[DeskCall, ...]
    call: DeskCall | None
    latest: DeskCall | None
    "The one that ended last, not long ago."
    wanted: WantedCall | None

    @property
    def last(self) -> DeskCall | None:
        """Over, and shown still."""
        over = self.latest
        return over if over and over.ended_at and self.agent.at - over.ended_at < SHOWN else None

    @property
    def noted(self) -> DeskCall | None:
        """That a note would be about."""
        return self.call or self.latest

    @property
    def changes_in(self) -> float | None:
        """After so many s it looks different by itself."""
        moments = [self.agent.available_after]
        moments += [over.ended_at + SHOWN for over in (self.last, self.wanted) if over and over.ended_at]
        due = [(moment - self.agent.at).total_seconds() for moment in moments if moment and moment > self.agent.at]
        return min(due) + 0.05 if due else None


class DeskStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, agent: UUID) -> DeskState | None:
        """None when the agent is gone."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_AGENT, agent)
            if row is None:
                return None
            ringing = await connection.fetch(_RINGING, agent)
            call = await connection.fetchrow(_CURRENT, agent)
            last = await connection.fetchrow(_LAST, agent, NOTED)
            wanted = await connection.fetchrow(_WANTED, agent, SHOWN)
        return DeskState(
            DeskAgent(**dict(row) | {"groups": tuple(row["groups"])}),
            tuple(DeskCall(**dict(one)) for one in ringing),
            DeskCall(**dict(call)) if call else None,
            DeskCall(**dict(last)) if last else None,
            WantedCall(**dict(wanted)) if wanted else None,
        )

    async def set(self, agent: UUID, what: str, actor: Actor, reason: str | None = None) -> bool:
        """`login`, `logout`, `pause` (for `reason`) or `resume`; audited. False when the agent may take no calls."""
        values = [reason] if what == "pause" else []
        statement = (
            f"UPDATE pbx.agent_states s SET {_SET[what]} "  # noqa: S608 - one of ours above
            "FROM pbx.agents a WHERE a.id = s.agent_id AND a.enabled AND a.id = $1 RETURNING a.name"
        )
        async with self._database.connection() as connection, connection.transaction():
            name: str | None = await connection.fetchval(statement, agent, *values)
            if name is not None:
                after: dict[str, Any] = {"state": what} | ({"reason": reason} if reason else {})
                await write(connection, actor, [Entry("changed", "agent", name, None, after)])
        return name is not None

    async def set_call_back(self, agent: UUID, wanted: bool, actor: Actor) -> None:
        """Whether the agent's phone rings when a user accepts an invitation of this agent's."""
        async with self._database.connection() as connection, connection.transaction():
            name = await connection.fetchval(
                "UPDATE pbx.agents SET call_back = $2 WHERE id = $1 AND call_back <> $2 RETURNING name", agent, wanted
            )
            if name is not None:
                before, after = {"call_back": not wanted}, {"call_back": wanted}
                await write(connection, actor, Entry.of_change("agent", name, before, after))
