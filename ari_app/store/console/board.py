"""What is going on just now: calls, who waits, agents, orders; and how the groups did today."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.store.database import Database

#: Orders that are over are shown so long, s.
ORDER_SECONDS = 20

#: Today's figures may take longer than what a call waits for, s.
FIGURES_SECONDS = 10.0

_CALLS = """
SELECT c.id, c.channel_type, c.direction, c.number, c.caller_number, c.caller_name, c.state, c.agent_id,
       c.received_at, c.connected_at, c.path, w.group_name AS waits_for, w.joined_at, w.priority
  FROM pbx.calls c LEFT JOIN pbx.waiting w ON w.call_id = c.id
 WHERE c.state <> 'ended'
 ORDER BY c.received_at, c.id
"""

_OFFERS = """
SELECT o.call_id, o.agent_id, o.group_name, o.started_at, o.outcome
  FROM pbx.calls c JOIN pbx.offers o ON o.call_id = c.id
 WHERE c.state <> 'ended' AND (o.outcome IS NULL OR o.outcome = 'answered')
 ORDER BY o.started_at
"""

_AGENTS = """
SELECT a.id, a.name, a.endpoint, a.extension, s.logged_in, s.pause_reason, s.call_id, s.idle_since, s.standing_since,
       s.available_after, d.state AS device, d.since AS device_since,
       array(SELECT group_name FROM pbx.group_members m WHERE m.agent_id = a.id ORDER BY 1) AS groups
  FROM pbx.agents a
  JOIN pbx.agent_states s ON s.agent_id = a.id
  LEFT JOIN pbx.device_states d ON d.endpoint = a.endpoint
 WHERE a.enabled
 ORDER BY a.name, a.id
"""

_ORDERS = """
SELECT id, kind, call_id, user_id, requested_by, state, reason, wanted_at, active_at
  FROM pbx.orders
 WHERE state IN ('wanted', 'taken', 'active') OR ended_at > now() - $1::interval
 ORDER BY wanted_at DESC
"""

_FIGURES = """
SELECT group_name, sum(calls - passed_on)::bigint AS calls, sum(answered)::bigint AS answered,
       sum(answered_in_time)::bigint AS in_time, sum(abandoned)::bigint AS abandoned,
       round(100.0 * sum(answered_in_time) / nullif(sum(calls - passed_on), 0))::integer AS service_level,
       (sum(average_wait_seconds * answered) / nullif(sum(answered), 0))::float8 AS average_wait,
       max(service_level_seconds) AS target_seconds
  FROM reports.group_hour($1, $2)
 GROUP BY group_name
"""


class Standing(StrEnum):
    """An agent's state, as people read it."""

    FREE = "free"
    RINGING = "ringing"
    CALLING = "calling"
    TALKING = "talking"
    WRAP_UP = "wrap-up"
    PAUSED = "paused"
    ON_THE_PHONE = "on the phone"
    UNREACHABLE = "phone unreachable"
    LOGGED_OUT = "logged out"


@dataclass(frozen=True)
class Ring:
    """A phone that rings, or was answered, for a call."""

    agent_id: UUID
    group: str | None
    since: datetime
    answered: bool


@dataclass(frozen=True)
class LiveCall:
    id: UUID
    channel_type: str
    direction: str
    number: str
    caller_number: str
    caller_name: str
    state: str
    agent_id: UUID | None
    received_at: datetime
    connected_at: datetime | None
    path: tuple[str, ...]
    waits_for: str | None
    joined_at: datetime | None
    priority: int | None
    rings: tuple[Ring, ...] = ()

    @property
    def groups(self) -> frozenset[str]:
        """That had or have it."""
        on_the_way = (step.removeprefix("group:") for step in self.path if step.startswith("group:"))
        rung = (ring.group for ring in self.rings if ring.group is not None)
        return frozenset((*on_the_way, *rung, *((self.waits_for,) if self.waits_for else ())))

    @property
    def group(self) -> str | None:
        """That it is with now."""
        if self.waits_for is not None:
            return self.waits_for
        rung = [ring.group for ring in self.rings if ring.group is not None]
        on_the_way = [step.removeprefix("group:") for step in self.path if step.startswith("group:")]
        return next(iter((*rung[-1:], *on_the_way[-1:])), None)

    @property
    def stage(self) -> str:
        """Where it is, in words, while nobody talks."""
        if self.direction == "outbound":
            return {"requested": "being checked", "dialing": "calling", "ringing": "ringing"}.get(self.state, "")
        last = self.path[-1] if self.path else ""
        kind, _, where = last.partition(":")
        match kind:
            case "menu" | "digit":
                menus = [step.removeprefix("menu:") for step in self.path if step.startswith("menu:")]
                return f"in menu {menus[-1]}" if menus else "in a menu"
            case "voicemail":
                return "leaving a message"
            case "sip":
                return "at a SIP system"
            case "dialplan":
                return "in the dialplan"
            case "group":
                return f"for {where}"
        return "arriving"


@dataclass(frozen=True)
class LiveAgent:
    id: UUID
    name: str
    endpoint: str
    extension: str | None
    logged_in: bool
    pause_reason: str | None
    call_id: UUID | None
    idle_since: datetime
    standing_since: datetime
    available_after: datetime | None
    device: str | None
    device_since: datetime | None
    groups: tuple[str, ...]


@dataclass(frozen=True)
class LiveOrder:
    id: UUID
    kind: str
    call_id: UUID
    user_id: UUID | None
    requested_by: str
    state: str
    reason: str | None
    wanted_at: datetime
    active_at: datetime | None


@dataclass(frozen=True)
class Figures:
    """A group's day so far."""

    group_name: str
    calls: int = 0
    answered: int = 0
    in_time: int = 0
    "Answered within `target_seconds`."
    abandoned: int = 0
    service_level: int | None = None
    "These, in per cent of all calls."
    average_wait: float | None = None
    "Of answered calls, s."
    target_seconds: int | None = None


@dataclass(frozen=True)
class Snapshot:
    at: datetime
    "By PostgreSQL's clock."
    calls: tuple[LiveCall, ...]
    agents: tuple[LiveAgent, ...]
    orders: tuple[LiveOrder, ...]
    by_agent: dict[UUID, LiveCall] = field(default_factory=dict)
    "The call that an agent talks in, or has reserved."


class BoardStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def snapshot(self) -> Snapshot:
        """All of it at one moment."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            at = await connection.fetchval("SELECT now()")
            calls = await connection.fetch(_CALLS)
            offers = await connection.fetch(_OFFERS)
            agents = await connection.fetch(_AGENTS)
            orders = await connection.fetch(_ORDERS, timedelta(seconds=ORDER_SECONDS))
        rings: dict[UUID, list[Ring]] = {}
        for row in offers:
            ring = Ring(row["agent_id"], row["group_name"], row["started_at"], row["outcome"] is not None)
            rings.setdefault(row["call_id"], []).append(ring)
        live = tuple(_call(row, rings.get(row["id"], ())) for row in calls)
        people = tuple(LiveAgent(**dict(row) | {"groups": tuple(row["groups"])}) for row in agents)
        return Snapshot(at, live, people, tuple(LiveOrder(*row) for row in orders), _taken(live, people))

    async def figures(self, since: datetime, until: datetime) -> dict[str, Figures]:
        """By group; one that had no call is not there."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_FIGURES, since, until, timeout=FIGURES_SECONDS)
        return {row["group_name"]: Figures(*row) for row in rows}


def _call(row: asyncpg.Record, rings: Iterable[Ring]) -> LiveCall:
    columns: dict[str, Any] = dict(row)
    return LiveCall(**columns | {"path": tuple(row["path"])}, rings=tuple(rings))


def _taken(calls: tuple[LiveCall, ...], agents: tuple[LiveAgent, ...]) -> dict[UUID, LiveCall]:
    by_id = {call.id: call for call in calls}
    taken = {agent.id: by_id[agent.call_id] for agent in agents if agent.call_id in by_id}
    for call in calls:  # who calls out while reserved for another call
        if call.direction == "outbound" and call.agent_id is not None:
            taken.setdefault(call.agent_id, call)
    return taken


def standing(agent: LiveAgent, call: LiveCall | None, at: datetime) -> tuple[Standing, datetime | None]:
    """How an agent stands, and since when; `call` is the one that the agent has. What keeps calls away comes first."""
    if call is not None:
        return _in_call(agent, call)
    if not agent.logged_in:
        return Standing.LOGGED_OUT, agent.standing_since
    if agent.pause_reason is not None:
        return Standing.PAUSED, agent.standing_since
    if agent.device in ("UNAVAILABLE", "INVALID"):
        return Standing.UNREACHABLE, agent.device_since
    if agent.available_after is not None and agent.available_after > at:
        return Standing.WRAP_UP, agent.idle_since
    if agent.device in ("INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD"):
        return Standing.ON_THE_PHONE, agent.device_since
    return Standing.FREE, max(agent.idle_since, agent.standing_since)


def _in_call(agent: LiveAgent, call: LiveCall) -> tuple[Standing, datetime | None]:
    if call.direction == "outbound":
        if call.state == "connected":
            return Standing.TALKING, call.connected_at
        return Standing.CALLING, call.received_at
    if call.state == "connected" and call.agent_id == agent.id:
        return Standing.TALKING, call.connected_at
    mine = [ring.since for ring in call.rings if ring.agent_id == agent.id]
    return Standing.RINGING, mine[-1] if mine else None
