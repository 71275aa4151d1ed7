"""Rules that hold whatever happens: a machine that does everything that agents and callers can do."""

import copy
import uuid
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ari_app.queueing import Agent, JoinEmpty, LeaveEmpty, Rules, State, Strategy, decide

GROUPS = ("Sales", "Support", "Night")
COOL_DOWN = 60.0
MAX_WAIT = 300.0


class Queue(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.state = State(seed=7)
        self.offers: dict[uuid.UUID, uuid.UUID] = {}  # agent → call
        self.cooling: dict[tuple[uuid.UUID, uuid.UUID], float] = {}
        self.keys: dict[uuid.UUID, tuple[int, float, uuid.UUID]] = {}
        self.deadlines: dict[uuid.UUID, float] = {}
        self.departed: set[uuid.UUID] = set()
        self.count = 0

    @rule(
        name=st.sampled_from(GROUPS),
        strategy=st.sampled_from(Strategy),
        join=st.sampled_from(JoinEmpty),
        leave=st.sampled_from(LeaveEmpty),
    )
    def configure(self, name: str, strategy: Strategy, join: JoinEmpty, leave: LeaveEmpty) -> None:
        rules = Rules(name, strategy, join_empty=join, leave_empty=leave, max_waiting=20, max_wait_seconds=MAX_WAIT)
        self.state.put_group(rules, self.now)

    @precondition(lambda self: len(self.state.agents) < 6)
    @rule(groups=st.dictionaries(st.sampled_from(GROUPS), st.integers(1, 3), min_size=1), voip=st.booleans())
    def hire(self, groups: dict[str, int], voip: bool) -> None:
        self.count += 1
        agent = Agent(uuid.UUID(int=self.count), f"Agent {self.count}", groups, voip, idle_since=self.now)
        self.state.put_agent(agent, self.now)

    @precondition(lambda self: self.state.agents)
    @rule(data=st.data(), change=st.sampled_from(["login", "pause", "phone", "use", "fire", "mark"]))
    def change(self, data: st.DataObject, change: str) -> None:
        agent = self.state.agents[data.draw(st.sampled_from(sorted(self.state.agents)))]
        values: dict[str, dict[str, Any]] = {
            "login": {"logged_in": not agent.logged_in},
            "pause": {"paused": not agent.paused},
            "phone": {"reachable": not agent.reachable},
            "use": {"busy": not agent.busy},
            "mark": {"marked_until": self.now + 15},
        }
        if change == "fire":
            if agent.id not in self.offers:
                self.state.remove_agent(agent.id, self.now)
        else:
            self.state.put_agent(Agent(**{**agent.__dict__, **values[change]}), self.now)

    @precondition(lambda self: self.state.desks)
    @rule(data=st.data(), priority=st.integers(1, 3), voip=st.booleans(), early=st.integers(0, 50))
    def call(self, data: st.DataObject, priority: int, voip: bool, early: int) -> None:
        self.count += 1
        call = uuid.UUID(int=self.count)
        groups = data.draw(st.lists(st.sampled_from(sorted(self.state.desks)), min_size=1, max_size=3, unique=True))
        joined_at = self.now - early
        why = self.state.join(call, groups, self.now, priority=priority, joined_at=joined_at, voip_only=voip)
        if why is None:
            self.keys[call] = (priority, joined_at, call)
            self.deadlines[call] = self.now + MAX_WAIT

    @precondition(lambda self: self.offers)
    @rule(data=st.data(), result=st.sampled_from(["refuses", "fails", "answers"]))
    def phone(self, data: st.DataObject, result: str) -> None:
        agent = data.draw(st.sampled_from(sorted(self.offers)))
        call = self.offers.pop(agent)
        standing = self.state.agents[agent]
        if result == "answers":
            self.state.answered(call, "Sales", self.now)
            self.keys.pop(call)
            for loser in [a for a, c in self.offers.items() if c == call]:
                del self.offers[loser]
                self.free(loser)
            self.free(agent, wrap_up_until=self.now + 5, answered=standing.answered + 1, idle_since=self.now)
            return
        until = self.now + COOL_DOWN if result == "refuses" else 0.0
        if until:
            self.cooling[call, agent] = until
        self.free(agent)
        self.state.offer_over(call, agent, self.now, not_before=until)

    def free(self, agent: uuid.UUID, **changes: float) -> None:
        fields = {**self.state.agents[agent].__dict__, "taken": False, **changes}
        self.state.put_agent(Agent(**fields), self.now)

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted(self.keys)))
        self.state.leave(call)
        self.keys.pop(call)
        for agent in [a for a, c in self.offers.items() if c == call]:
            del self.offers[agent]
            self.free(agent)

    @rule(seconds=st.sampled_from([0.5, 5, 30, 61, 200]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def decide(self) -> None:
        twin = copy.deepcopy(self.state)
        free_before = {a.id for a in self.state.agents.values() if a.is_free(self.now)}
        ringing_before = {c for c, place in self.state.places.items() if place.ringing}
        decision = decide(self.state, self.now)
        assert decide(twin, self.now) == decision, "the same state, another decision"
        assert not decide(copy.deepcopy(self.state), self.now).assignments, "a second look finds more"
        for departure in decision.departures:
            self.keys.pop(departure.call)
        self.check_assignments(decision.assignments, free_before, ringing_before)
        self.check_nobody_starves()

    def check_assignments(
        self, assignments: tuple[object, ...], free_before: set[uuid.UUID], ringing_before: set[uuid.UUID]
    ) -> None:
        by_agent = {}
        for a in assignments:
            call, agent, group = a.call, a.agent, a.group  # type: ignore[attr-defined]
            assert agent not in self.offers, "an agent is offered two calls"
            assert agent not in by_agent, "an agent is offered two calls"
            assert call not in ringing_before, "a caller for whom phones ring already"
            assert agent in free_before
            assert group in self.state.agents[agent].groups
            assert self.cooling.get((call, agent), 0) <= self.now, "rung again within the cool-down"
            place = self.state.places[call]
            assert self.state.agents[agent].voip_only or not place.voip_only
            by_agent[agent] = call
        self.offers |= by_agent
        for agent, call in by_agent.items():
            for other, place in self.state.places.items():
                if other != call and not place.ringing and place.key < self.keys[call]:
                    assert not self.could_get(place, agent), "somebody behind was served first"

    def could_get(self, place: object, agent: uuid.UUID) -> bool:
        standing = self.state.agents[agent]
        return (
            bool(set(place.groups) & set(standing.groups))  # type: ignore[attr-defined]
            and self.cooling.get((place.call, agent), 0) <= self.now  # type: ignore[attr-defined]
            and (standing.voip_only or not place.voip_only)  # type: ignore[attr-defined]
        )

    def check_nobody_starves(self) -> None:
        free = [a.id for a in self.state.agents.values() if a.is_free(self.now)]
        for place in self.state.places.values():
            if not place.ringing:
                assert not [a for a in free if self.could_get(place, a)], "somebody waits while an agent is free"
                assert place.deadline > self.now, "somebody waits longer than the longest wait"

    @invariant()
    def places_are_kept(self) -> None:
        assert {call: place.key for call, place in self.state.places.items()} == self.keys
        for name, desk in self.state.desks.items():
            here = [place for place in self.state.places.values() if name in place.groups]
            assert desk.places == sorted(place.key for place in here)
            for voip, waiting in desk.open.items():
                assert waiting == sorted(p.key for p in here if not p.ringing and p.voip_only == voip)

    @invariant()
    def who_rings_is_taken(self) -> None:
        for agent, call in self.offers.items():
            assert self.state.agents[agent].taken
            assert agent in self.state.places[call].ringing


Queue.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueue = Queue.TestCase
