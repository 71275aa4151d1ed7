"""The board's rows, as a reader may see them. Pure: what is shown follows from a snapshot alone.

Rows hold no time that passes: a row that has not changed looks the same, and is not drawn again. Clocks run in the
browser, from `since`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.console.board import Figures, LiveAgent, LiveCall, Snapshot, Standing, standing


@dataclass(frozen=True)
class Scope:
    """Whose calls and agents a reader sees."""

    groups: frozenset[str] | None
    "None: all."

    def sees(self, call: LiveCall, snapshot: Snapshot) -> bool:
        """By the groups of the call; a call that no group has had belongs to those of its agent."""
        if self.groups is None:
            return True
        if call.groups:
            return bool(call.groups & self.groups)
        return any(agent.id == call.agent_id and self.has(agent) for agent in snapshot.agents)

    def has(self, agent: LiveAgent) -> bool:
        return self.groups is None or not self.groups.isdisjoint(agent.groups)

    def has_group(self, group: str) -> bool:
        return self.groups is None or group in self.groups


@dataclass(frozen=True)
class Row:
    """A line of a list."""

    id: UUID

    @property
    def key(self) -> str:
        """Unique in its list."""
        return str(self.id)


@dataclass(frozen=True)
class WaitingRow(Row):
    name: str
    number: str
    is_whatsapp: bool
    group: str
    position: int
    since: datetime
    rings: tuple[str, ...]
    "Names of agents whose phones ring for this caller."


@dataclass(frozen=True)
class CallRow(Row):
    name: str
    number: str
    is_whatsapp: bool
    is_outbound: bool
    business: str
    group: str | None
    agent: str | None
    stage: str
    "Empty while they talk."
    since: datetime


@dataclass(frozen=True)
class AgentRow(Row):
    name: str
    extension: str
    standing: Standing
    detail: str
    since: datetime | None
    groups: tuple[str, ...]


@dataclass(frozen=True)
class GroupRow:
    name: str
    waiting: int
    longest_since: datetime | None
    free: int
    logged_in: int
    today: Figures

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True)
class Totals:
    waiting: int
    longest_since: datetime | None
    talking: int
    free: int
    logged_in: int
    calls: int
    "Today, over already; so are the following."
    answered: int
    in_time: int
    abandoned: int


@dataclass(frozen=True)
class OrderRow(Row):
    kind: str
    whom: str
    state: str
    reason: str | None
    since: datetime


@dataclass(frozen=True)
class Rows:
    totals: Totals
    waiting: tuple[WaitingRow, ...]
    calls: tuple[CallRow, ...]
    agents: tuple[AgentRow, ...]
    groups: tuple[GroupRow, ...]


def rows_of(snapshot: Snapshot, figures: Mapping[str, Figures], scope: Scope) -> Rows:
    """What a reader with this scope sees."""
    names = {agent.id: agent.name for agent in snapshot.agents}
    seen = [call for call in snapshot.calls if scope.sees(call, snapshot)]
    places = _places(snapshot.calls)
    waiting = sorted((_waiting(c, names, places[c.id]) for c in seen if _waits(c)), key=lambda row: row.since)
    calls = tuple(_call(call, names) for call in seen if not _waits(call))
    agents = [(agent, _agent(agent, snapshot)) for agent in snapshot.agents if scope.has(agent)]
    today = [one for one in figures.values() if scope.has_group(one.group_name)]
    totals = Totals(
        waiting=len(waiting),
        longest_since=waiting[0].since if waiting else None,
        talking=sum(not call.stage for call in calls),
        free=sum(row.standing is Standing.FREE for _, row in agents),
        logged_in=sum(agent.logged_in for agent, _ in agents),
        calls=sum(one.calls for one in today),
        answered=sum(one.answered for one in today),
        in_time=sum(one.in_time for one in today),
        abandoned=sum(one.abandoned for one in today),
    )
    groups = _groups(snapshot, agents, figures, scope)
    return Rows(totals, tuple(waiting), calls, tuple(row for _, row in agents), groups)


def order_rows(snapshot: Snapshot, user: UUID) -> tuple[OrderRow, ...]:
    """The reader's own orders. To hang up needs no word when it is done: the call is gone."""
    callers = {call.id: call.caller_name or call.caller_number or "unknown" for call in snapshot.calls}
    return tuple(
        OrderRow(o.id, o.kind, callers.get(o.call_id, ""), o.state, o.reason, o.active_at or o.wanted_at)
        for o in snapshot.orders
        if o.user_id == user and o.state != "done" and not (o.kind == "hangup" and o.state != "failed")
    )


def _waits(call: LiveCall) -> bool:
    return call.waits_for is not None and call.state != "connected"


def _places(calls: Iterable[LiveCall]) -> dict[UUID, int]:
    """Positions in their queues, 1 is next: by priority, then by the time that they came."""
    queues: dict[str, list[LiveCall]] = defaultdict(list)
    for call in calls:
        if call.waits_for is not None and call.joined_at is not None:
            queues[call.waits_for].append(call)
    found = {}
    for queue in queues.values():
        for place, call in enumerate(sorted(queue, key=lambda c: (c.priority, c.joined_at, c.id)), 1):
            found[call.id] = place
    return found


def _waiting(call: LiveCall, names: Mapping[UUID, str], position: int) -> WaitingRow:
    return WaitingRow(
        id=call.id,
        name=call.caller_name,
        number=call.caller_number,
        is_whatsapp=call.channel_type == "WhatsApp Call",
        group=call.waits_for or "",
        position=position,
        since=call.joined_at or call.received_at,
        rings=tuple(names.get(ring.agent_id, "somebody") for ring in call.rings if not ring.answered),
    )


def _call(call: LiveCall, names: Mapping[UUID, str]) -> CallRow:
    talking = call.state == "connected"
    return CallRow(
        id=call.id,
        name=call.caller_name,
        number=call.caller_number,
        is_whatsapp=call.channel_type == "WhatsApp Call",
        is_outbound=call.direction == "outbound",
        business=call.number,
        group=call.group,
        agent=names.get(call.agent_id) if call.agent_id is not None else None,
        stage="" if talking else call.stage,
        since=call.connected_at if talking and call.connected_at is not None else call.received_at,
    )


def _agent(agent: LiveAgent, snapshot: Snapshot) -> AgentRow:
    call = snapshot.by_agent.get(agent.id)
    how, since = standing(agent, call, snapshot.at)
    detail = (call.caller_name or call.caller_number) if call is not None else ""
    if how is Standing.PAUSED:
        detail = agent.pause_reason or ""
    return AgentRow(agent.id, agent.name, agent.extension or agent.endpoint, how, detail, since, agent.groups)


def _groups(
    snapshot: Snapshot, agents: Iterable[tuple[LiveAgent, AgentRow]], figures: Mapping[str, Figures], scope: Scope
) -> tuple[GroupRow, ...]:
    waiting: dict[str, list[datetime]] = defaultdict(list)
    for call in snapshot.calls:
        if _waits(call) and call.waits_for is not None:
            waiting[call.waits_for].append(call.joined_at or call.received_at)
    members: dict[str, list[tuple[LiveAgent, AgentRow]]] = defaultdict(list)
    for agent, row in agents:
        for group in agent.groups:
            members[group].append((agent, row))
    names = sorted(group for group in {*waiting, *members, *figures} if scope.has_group(group))
    return tuple(
        GroupRow(
            name=name,
            waiting=len(waiting[name]),
            longest_since=min(waiting[name], default=None),
            free=sum(row.standing is Standing.FREE for _, row in members[name]),
            logged_in=sum(agent.logged_in for agent, _ in members[name]),
            today=figures.get(name, Figures(name)),
        )
        for name in names
    )
