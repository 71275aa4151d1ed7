"""The queue of this process: hears of agents and callers, decides, reserves agents, tells callers' flows.

One worker does all of it, one thing after the other; flows tell it what happened without waiting, and hear
from it by events in their caller's own queue.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import UUID

from ari_app.ari import AriClient, Subscription
from ari_app.calls.call import Call
from ari_app.calls.offer import Agent, Outcome
from ari_app.flows.devices import Devices
from ari_app.flows.group_memory import GroupMemory
from ari_app.flows.notices import Offered, SentOn
from ari_app.flows.roster import DIRECT, Roster
from ari_app.queueing import Assignment, Rules, State, Why, decide
from ari_app.store.agents import AgentStore, Release
from ari_app.store.database import StoreError
from ari_app.store.group_memory import GroupMemoryStore
from ari_app.store.groups import GroupStore
from ari_app.store.queue import QueueStore, Waiting

logger = logging.getLogger(__name__)

#: The shortest cool-down, s: a phone that refuses at once must not be rung in a tight loop.
SHORTEST_COOL_DOWN = 1.0

#: An agent whom another process had first is looked at again after so long, s, at the latest.
TAKEN_SECONDS = 0.2

#: While PostgreSQL is away, nobody is reserved; it is tried again after so long, s.
AWAY_SECONDS = 1.0

#: Everything is read anew so often, s: a notification that got lost costs so much and no more.
SAFETY_SECONDS = 30.0

#: Limit for the last writes when the application stops, s.
CLOSE_SECONDS = 3.0


@dataclass(frozen=True)
class Held:
    """An agent whom this process has reserved."""

    call: UUID
    group: str


class Exchange:
    """One for all calls of the process. Opened with `async with`; raises StoreError or AriError then."""

    def __init__(
        self, ari: AriClient, agents: AgentStore, queue: QueueStore, groups: GroupStore, memory: GroupMemoryStore
    ) -> None:
        self._agents = agents
        self._queue = queue
        self._state = State(random.getrandbits(64))
        self._memory = GroupMemory(self._state, memory)
        self._wake = asyncio.Event()
        self._roster = Roster(ari, agents, groups, self._state, self._wake.set)
        self._waiters: dict[UUID, Subscription] = {}
        self._refused: dict[UUID, dict[UUID, float]] = {}
        self._held: dict[UUID, Held] = {}
        self._releases: list[Release] = []
        self._joined: dict[UUID, Waiting] = {}
        self._left: set[UUID] = set()
        self._rows: set[UUID] = set()
        self._look_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if count := await self._agents.clear_ended():
            logger.warning("%d agents were reserved for calls that are over: freed", count)
        self._roster.devices.open()
        await self._roster.read(self._held)
        await self._memory.load()
        self._task = asyncio.create_task(self._run(), name="exchange")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                logger.error("the queue had ended before: %r", error)
        self._roster.devices.close()
        try:
            await asyncio.wait_for(self._write(), CLOSE_SECONDS)
        except (StoreError, TimeoutError) as error:
            logger.error("agents stay reserved until the next start: %r", error)

    @property
    def devices(self) -> Devices:
        """How the agents' phones stand."""
        return self._roster.devices

    def agent_by_extension(self, extension: str) -> Agent | None:
        """An agent to be dialled directly."""
        return self._roster.by_extension(extension)

    def is_taken(self, agent: UUID) -> bool:
        """Whether this agent talks, or is being rung."""
        known = self._state.agents.get(agent)
        return known is not None and (known.taken or known.busy)

    def kept_out(self, groups: Iterable[str]) -> list[str]:
        """Names of agents of these groups to whom the telephone network may be attached."""
        return self._roster.kept_out(groups)

    def join(
        self,
        call: Call,
        rules: Sequence[Rules],
        events: Subscription,
        *,
        priority: int,
        joined_at: float,
        voip_only: bool,
    ) -> Why | None:
        """Let a caller wait for agents of these groups together; why not, if not.

        From now on `Offered` and `SentOn` come to `events`, until `leave`.
        """
        now = time.time()
        for group in rules:
            self._state.put_group(group, now)
        refused = self._refused.setdefault(call.id, {})
        names = [group.name for group in rules]
        why = self._state.join(
            call.id,
            names,
            now,
            priority=priority,
            joined_at=joined_at,
            voip_only=voip_only,
            refused=refused,
        )
        if why is None:
            self._waiters[call.id] = events
            if not names[0].startswith(DIRECT):
                self._joined[call.id] = Waiting(call.id, names[0], priority, joined_at)
            self._wake.set()
        return why

    def leave(self, call: UUID) -> None:
        """The caller is gone, or sent on. Agents offered to the caller are free again, but for one who talks."""
        self._state.leave(call)
        self._waiters.pop(call, None)
        if self._joined.pop(call, None) is None and call in self._rows:
            self._left.add(call)
        self._wake.set()

    def over(self, call: UUID, agent: UUID, outcome: Outcome) -> None:
        """An offer has ended. After `ANSWERED` the agent stays reserved until `talked`."""
        if (held := self._held.get(agent)) is None or held.call != call:
            return
        now = time.time()
        rules = self._rules(held.group)
        if outcome is Outcome.ANSWERED:
            self._state.answered(call, held.group, now)
            return
        not_before = 0.0
        match outcome:
            case Outcome.REJECTED | Outcome.MISSED:
                not_before = now + max(SHORTEST_COOL_DOWN, rules.cool_down_seconds)
            case Outcome.FAILED:
                not_before = self._roster.mark(agent)
        if not_before and call in self._refused:
            self._refused[call][agent] = not_before
        self._state.offer_over(call, agent, now, not_before=not_before)
        self._release(Release(agent, call, outcome, pause_after_misses=rules.auto_pause_misses))

    def talked(self, call: UUID, agent: UUID) -> None:
        """Agent and caller talk no longer: wrap-up begins."""
        if (held := self._held.get(agent)) is not None and held.call == call:
            self._release(Release(agent, call, Outcome.ANSWERED, self._rules(held.group).wrap_up_seconds))

    def forget(self, call: UUID) -> None:
        """The call is over; nothing is kept for it, whatever its flow has left."""
        self.leave(call)
        self._refused.pop(call, None)
        for agent, held in list(self._held.items()):
            if held.call == call:
                self._release(Release(agent, call, Outcome.CANCELLED))

    def hold(self, call: UUID, agent: UUID, group: str | None) -> None:
        """This agent talks on this call since before we were here, and is reserved in PostgreSQL."""
        self._held[agent] = Held(call, group or "")

    async def occupy(self, call: UUID, agent: UUID, group: str | None) -> bool:
        """Reserve an agent who calls out, until `talked` or `forget`; False for one with another call. StoreError."""
        if not await self._agents.occupy(agent, call):
            return False
        self._held[agent] = Held(call, group or "")  # PostgreSQL tells everybody else
        return True

    def position(self, call: UUID) -> int:
        """The caller's place: 1 for the next one. The caller must be waiting."""
        return self._state.position(call)

    def estimate(self, call: UUID) -> float | None:
        """How long the caller still waits, s; None when nobody was before. The caller must be waiting."""
        return self._state.estimate(call, time.time())

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._roster.devices.run(), name="device-states")
            group.create_task(self._queue.listen(self._told, self._listening), name="agent-changes")
            group.create_task(self._work(), name="queue")

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            pause = SAFETY_SECONDS
            try:
                await self._write()
                await self._read()
                await self._hand_out()
            except StoreError as error:
                logger.error("no agent can be reserved for now: %s", error)
                pause = AWAY_SECONDS
            except Exception:
                logger.exception("the queue stumbles over a fault of ours, and goes on")
                pause = AWAY_SECONDS
                self._roster.all_stale()
            if (due := self._state.wake_at()) is not None:
                pause = min(pause, max(0.0, due - time.time()))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _write(self) -> None:
        """Write what flows told. What cannot be written is kept."""
        if releases := self._releases[:]:
            await self._agents.release(releases)
            del self._releases[: len(releases)]
            for release in releases:
                self._held.pop(release.agent, None)
            self._roster.stale(release.agent for release in releases)
        if joined := dict(self._joined):
            await self._queue.join(list(joined.values()))
            for call in joined:
                self._rows.add(call)
                if self._joined.pop(call, None) is None:
                    self._left.add(call)
        if left := set(self._left):
            await self._queue.leave(list(left))
            self._left -= left
            self._rows -= left
        await self._memory.save()

    async def _read(self) -> None:
        """Read what changed, and now and then everything."""
        if time.time() >= self._look_at:
            self._look_at = time.time() + SAFETY_SECONDS
            self._roster.all_stale()
            await self._agents.clear_ended()
            await self._queue.clear_ended()
        await self._roster.read(self._held)

    async def _hand_out(self) -> None:
        """Decide, reserve, tell."""
        decision = decide(self._state, time.time())
        for departure in decision.departures:
            if (events := self._waiters.pop(departure.call, None)) is not None:
                events.put(SentOn(why=departure.why))
        if not decision.assignments:
            return
        try:
            reserved = await self._agents.reserve([(a.agent, a.call) for a in decision.assignments])
        except StoreError:
            for assignment in decision.assignments:
                self._take_back(assignment)
            raise
        for assignment in decision.assignments:
            if assignment.agent not in reserved:
                self._take_back(assignment)
                continue
            self._held[assignment.agent] = Held(assignment.call, assignment.group)
            events, place = self._waiters.get(assignment.call), self._state.places.get(assignment.call)
            if events is None or place is None or assignment.agent not in place.ringing:
                self._release(Release(assignment.agent, assignment.call, Outcome.CANCELLED))
            else:
                events.put(Offered(agent=self._roster.agent(assignment.agent), group=assignment.group))

    def _take_back(self, assignment: Assignment) -> None:
        """Somebody else had the agent first, or nobody can say."""
        now = time.time()
        self._roster.postpone(assignment.agent, now + TAKEN_SECONDS)
        self._state.offer_over(assignment.call, assignment.agent, now)
        self._wake.set()

    def _release(self, release: Release) -> None:
        if not any(r.agent == release.agent and r.call == release.call for r in self._releases):
            self._releases.append(release)
        self._wake.set()

    def _told(self, kind: str, key: str) -> None:
        """PostgreSQL says that something changed."""
        self._roster.told(kind, key)
        self._wake.set()

    def _listening(self) -> None:
        self._roster.all_stale()
        self._wake.set()

    def _rules(self, group: str) -> Rules:
        return desk.rules if (desk := self._state.desks.get(group)) is not None else Rules(group)
