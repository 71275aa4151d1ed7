"""All that a decision depends on: agents, groups, waiting callers. Whatever happens is told to it."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from heapq import heappop, heappush
from uuid import UUID

from ari_app.queueing.agent import Agent
from ari_app.queueing.desk import Desk, Memory
from ari_app.queueing.place import Place, Why
from ari_app.queueing.rules import JoinEmpty, LeaveEmpty, Rules


class State:
    """Times are in s since 1970, UTC. `seed` is what the random strategy draws from."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.agents: dict[UUID, Agent] = {}
        self.desks: dict[str, Desk] = {}
        self.places: dict[UUID, Place] = {}
        self.to_check: set[UUID] = set()
        "Callers who may have to go on: something changed for them."
        self._vexed: set[UUID] = set()
        "Callers whom somebody did not take."
        self._agent_timers: list[tuple[float, UUID]] = []
        self._place_timers: list[tuple[float, UUID]] = []

    def put_group(self, rules: Rules, now: float) -> None:
        """A group is there, or has other rules. Callers who wait keep their place."""
        old = self.desks.get(rules.name)
        if old is not None and old.rules == rules:
            return
        desk = self.desks[rules.name] = Desk(rules)
        if old is not None:
            desk.places, desk.open, desk.memory = old.places, old.open, old.memory
            self.to_check.update(key[-1] for key in desk.places)
        for agent in self.agents.values():
            if rules.name in agent.groups:
                self._enter(desk, agent, now)

    def remember(self, memories: Mapping[str, Memory]) -> None:
        """Go on where a predecessor was, in groups that are here."""
        for name, memory in memories.items():
            if (desk := self.desks.get(name)) is not None:
                desk.memory = memory

    def memories(self) -> dict[str, Memory]:
        """What is new to remember, once."""
        changed = [desk for desk in self.desks.values() if desk.changed]
        for desk in changed:
            desk.changed = False
        return {desk.rules.name: desk.memory for desk in changed}

    def put_agent(self, agent: Agent, now: float) -> None:
        """An agent is there, or stands otherwise than before."""
        old = self.agents.get(agent.id)
        if old is not None and old.groups != agent.groups:
            self.remove_agent(agent.id, now)
        self.agents[agent.id] = agent
        for name in agent.groups:
            if (desk := self.desks.get(name)) is not None:
                self._enter(desk, agent, now)
        for moment in (agent.wrap_up_until, agent.marked_until):
            if moment > now:
                heappush(self._agent_timers, (moment, agent.id))

    def remove_agent(self, agent: UUID, now: float) -> None:
        if (old := self.agents.get(agent)) is None:
            return
        for name in old.groups:
            if (desk := self.desks.get(name)) is not None:
                self._enter(desk, replace(old, logged_in=False), now)
        del self.agents[agent]

    def join(
        self,
        call: UUID,
        groups: Iterable[str],
        now: float,
        *,
        priority: int = 10,
        joined_at: float | None = None,
        voip_only: bool = False,
        refused: Mapping[UUID, float] | None = None,
    ) -> Why | None:
        """Give a caller a place for all of `groups` that may be joined; why not, if it is none.

        `joined_at` is `now` but for callers who waited before, who keep their time; `refused` is as in Place.
        """
        entered, why = [], Why.NOBODY
        for name in groups:
            if (desk := self.desks.get(name)) is None:
                continue
            if len(desk.places) >= desk.rules.max_waiting:
                why = Why.FULL
            elif self._may_join(desk, voip_only=voip_only):
                entered.append(desk)
        if not entered:
            return why
        place = Place(
            call,
            priority,
            now if joined_at is None else joined_at,
            tuple(desk.rules.name for desk in entered),
            voip_only,
            now + max(desk.rules.max_wait_seconds for desk in entered),
            dict(refused or {}),
        )
        self.places[call] = place
        for desk in entered:
            desk.join(place)
            desk.set_open(place, is_open=True)
        if place.refused:
            self._vexed.add(call)
            self.to_check.add(call)
        for moment in (place.deadline, *place.refused.values()):
            heappush(self._place_timers, (moment, call))
        return None

    def leave(self, call: UUID) -> None:
        """The caller is no longer in the queue. Agents who are being rung are told `offer_over` each."""
        if (place := self.places.pop(call, None)) is not None:
            for desk in self._desks_of(place):
                desk.leave(place)
                desk.set_open(place, is_open=False)
            self.to_check.discard(call)
            self._vexed.discard(call)

    def offer(self, place: Place, agent: UUID, now: float) -> None:
        """The agent is being rung for the caller, and for nobody else."""
        place.ringing.add(agent)
        for desk in self._desks_of(place):
            desk.set_open(place, is_open=False)
        self.put_agent(replace(self.agents[agent], taken=True), now)

    def offer_over(self, call: UUID, agent: UUID, now: float, *, not_before: float = 0.0) -> None:
        """The agent's phone rings no longer for this call; it is not rung again for it before `not_before`.

        When it was the last one the caller waits on, in the same place.
        """
        if (place := self.places.get(call)) is None:
            return
        place.ringing.discard(agent)
        if not_before:
            place.refused[agent] = not_before
            self._vexed.add(call)
            heappush(self._place_timers, (not_before, call))
        if not place.ringing:
            self.to_check.add(call)
            for desk in self._desks_of(place):
                desk.set_open(place, is_open=True)

    def answered(self, call: UUID, group: str, now: float) -> None:
        """An agent of the group took the call; it is no longer in the queue."""
        if (place := self.places.get(call)) is not None:
            if (desk := self.desks.get(group)) is not None:
                desk.learn(max(0.0, now - place.joined_at))
            self.leave(call)

    def may(self, place: Place, now: float) -> Callable[[UUID], bool]:
        """Who may be asked for this caller, of those who are free."""

        def allowed(agent: UUID) -> bool:
            return not place.was_refused_by(agent, now) and (not place.voip_only or self.agents[agent].voip_only)

        return allowed

    def why_leave(self, place: Place, now: float) -> Why | None:
        """Why this caller is to wait no longer; None to go on waiting."""
        if place.ringing:
            return None
        if place.deadline <= now:
            return Why.TOO_LONG
        desks = self._desks_of(place)
        if place.refused and self._all_refused(place, desks, now):
            return Why.REFUSED
        if all(self._is_empty(desk, voip_only=place.voip_only) for desk in desks):
            return Why.NOBODY
        return None

    def position(self, call: UUID) -> int:
        """1 for the next one, in the first group of the caller."""
        place = self.places[call]
        return self.desks[place.groups[0]].position(place.key)

    def estimate(self, call: UUID, now: float) -> float | None:
        """How long this caller still waits, judged by those before, s; None if nobody was before."""
        place = self.places[call]
        mean = self.desks[place.groups[0]].mean_wait
        return None if mean is None else max(0.0, mean - (now - place.joined_at))

    def advance(self, now: float) -> None:
        """Let time go on: end what is over by now."""
        while self._agent_timers and self._agent_timers[0][0] <= now:
            _, agent = heappop(self._agent_timers)
            if agent in self.agents:
                self.put_agent(self.agents[agent], now)
        while self._place_timers and self._place_timers[0][0] <= now:
            _, call = heappop(self._place_timers)
            if call in self.places:
                self.to_check.add(call)

    def wake_at(self) -> float | None:
        """When the next decision is due though nothing happens."""
        moments = [timers[0][0] for timers in (self._agent_timers, self._place_timers) if timers]
        return min(moments, default=None)

    def _enter(self, desk: Desk, agent: Agent, now: float) -> None:
        desk.set_free(agent, free=agent.is_free(now))
        is_here, serves = agent.is_here(now), agent.serves(now)
        if is_here == (agent.id in desk.here) and serves == (agent.id in desk.serving):
            return
        (desk.here.add if is_here else desk.here.discard)(agent.id)
        (desk.serving.add if serves else desk.serving.discard)(agent.id)
        self._look_round(desk)

    def _look_round(self, desk: Desk) -> None:
        """Somebody came or went: who was refused before looks who is left, and everybody when nobody is."""
        self.to_check.update(self._vexed)
        if any(self._is_empty(desk, voip_only=voip_only) for voip_only in desk.open):
            self.to_check.update(key[-1] for waiting in desk.open.values() for key in waiting)

    def _may_join(self, desk: Desk, *, voip_only: bool) -> bool:
        match desk.rules.join_empty:
            case JoinEmpty.ALWAYS:
                return True
            case JoinEmpty.LOGGED_IN:
                return self._any(desk.here, voip_only=voip_only)
            case JoinEmpty.AVAILABLE:
                return self._any(desk.serving, voip_only=voip_only)

    def _is_empty(self, desk: Desk, *, voip_only: bool) -> bool:
        match desk.rules.leave_empty:
            case LeaveEmpty.NEVER:
                return False
            case LeaveEmpty.LOGGED_IN:
                return not self._any(desk.here, voip_only=voip_only)
            case LeaveEmpty.AVAILABLE:
                return not self._any(desk.serving, voip_only=voip_only)

    def _any(self, agents: set[UUID], *, voip_only: bool) -> bool:
        return any(self.agents[agent].voip_only for agent in agents) if voip_only else bool(agents)

    def _all_refused(self, place: Place, desks: list[Desk], now: float) -> bool:
        """Everybody who serves was asked in vain, and so was somebody. Looks at hardly more agents than have
        refused.
        """
        for agent in (agent for desk in desks for agent in desk.serving):
            if (self.agents[agent].voip_only or not place.voip_only) and not place.was_refused_by(agent, now):
                return False
        return any(until > now for until in place.refused.values())

    def _desks_of(self, place: Place) -> list[Desk]:
        return [self.desks[name] for name in place.groups]
