"""Whom each strategy asks first, and when callers come, wait and go."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ari_app.queueing import Agent, Departure, JoinEmpty, LeaveEmpty, Memory, Rules, State, Strategy, Why, decide

NOW = 1000.0


def number(n: int) -> uuid.UUID:
    return uuid.UUID(int=n)


def agent(n: int, priority: int = 1, *, idle: float = 0.0, answered: int = 0) -> Agent:
    return Agent(number(n), f"Agent {n}", {"Sales": priority}, idle_since=NOW - idle, answered=answered)


def office(rules: Rules, *agents: Agent) -> State:
    state = State(seed=3)
    state.put_group(rules, NOW)
    for one in agents:
        state.put_agent(one, NOW)
    return state


def asked(state: State, call: int, now: float = NOW) -> list[int]:
    """Who is rung for a new caller; they all refuse nothing and are free again."""
    assert state.join(number(call), ["Sales"], now) is None
    agents = [a.agent for a in decide(state, now).assignments]
    state.leave(number(call))
    for one in agents:
        state.put_agent(replace(state.agents[one], taken=False), now)
    return [one.int for one in agents]


@pytest.mark.parametrize(
    ("strategy", "agents", "order"),
    [
        (Strategy.LONGEST_IDLE, [agent(1, idle=5), agent(2, idle=50), agent(3, idle=20)], [2]),
        (Strategy.FEWEST_CALLS, [agent(1, answered=3), agent(2, answered=1), agent(3, answered=2)], [2]),
        (Strategy.LINEAR, [agent(1, 3), agent(2, 2), agent(3, 2)], [2]),
        (Strategy.RING_ALL, [agent(1), agent(2, 2), agent(3)], [1, 3]),
        (Strategy.LONGEST_IDLE, [agent(1, idle=5), agent(2, 2, idle=50)], [1]),
    ],
)
def test_a_strategy_asks_the_right_one_first(strategy: Strategy, agents: Sequence[Agent], order: list[int]) -> None:
    assert asked(office(Rules("Sales", strategy), *agents), 100) == order


def test_round_robin_goes_on_where_it_left_off() -> None:
    state = office(Rules("Sales", Strategy.ROUND_ROBIN), agent(1), agent(2), agent(3))
    assert [asked(state, call)[0] for call in range(100, 107)] == [1, 2, 3, 1, 2, 3, 1]


def test_round_robin_and_the_mean_wait_go_on_after_a_restart_and_when_the_rules_change() -> None:
    rules, agents = Rules("Sales", Strategy.ROUND_ROBIN), (agent(1), agent(2), agent(3))
    before = office(rules, *agents)
    assert [asked(before, call)[0] for call in (100, 101)] == [1, 2]
    assert before.join(number(102), ["Sales"], NOW) is None
    before.answered(number(102), "Sales", NOW + 40)
    memories = before.memories()
    assert before.memories() == {}, "it is told once"
    after = office(rules, *agents)
    after.remember(memories | {"Gone": Memory(1.0)})
    after.put_group(replace(rules, max_wait_seconds=99.0), NOW)
    assert asked(after, 103) == [3]
    assert after.join(number(104), ["Sales"], NOW) is None
    assert after.estimate(number(104), NOW) == 40


def test_random_asks_everybody_in_the_long_run_and_the_same_with_the_same_seed() -> None:
    def run() -> list[int]:
        state = office(Rules("Sales", Strategy.RANDOM), agent(1), agent(2), agent(3))
        return [asked(state, call)[0] for call in range(100, 130)]

    assert set(run()) == {1, 2, 3}
    assert run() == run()


def test_a_caller_whom_an_agent_refused_keeps_the_place_and_gets_the_next_agent() -> None:
    state = office(Rules("Sales", Strategy.LINEAR), agent(1))
    for call in (100, 101):
        assert state.join(number(call), ["Sales"], NOW + call) is None
    (first,) = decide(state, NOW + 200).assignments
    assert first.call == number(100)
    state.offer_over(number(100), number(1), NOW + 201, not_before=NOW + 261)
    state.put_agent(agent(2), NOW + 201)
    (second,) = decide(state, NOW + 201).assignments
    assert (second.call, second.agent) == (number(100), number(2))


def test_after_the_cool_down_the_agent_is_asked_again() -> None:
    state = office(Rules("Sales"), agent(1), replace(agent(2), busy=True))
    state.join(number(100), ["Sales"], NOW)
    decide(state, NOW)
    state.offer_over(number(100), number(1), NOW, not_before=NOW + 60)
    state.put_agent(agent(1), NOW)
    assert not decide(state, NOW + 59).assignments
    assert state.wake_at() == NOW + 60
    assert [a.agent for a in decide(state, NOW + 60).assignments] == [number(1)]


def test_when_everybody_refused_the_caller_goes_on() -> None:
    state = office(Rules("Sales", leave_empty=LeaveEmpty.NEVER), agent(1))
    state.join(number(100), ["Sales"], NOW)
    decide(state, NOW)
    state.offer_over(number(100), number(1), NOW + 1, not_before=NOW + 60)
    assert decide(state, NOW + 1).departures == (Departure(number(100), Why.REFUSED),)


def test_the_longest_wait_ends_at_its_end_but_not_while_a_phone_rings() -> None:
    state = office(Rules("Sales", max_wait_seconds=30), agent(1))
    for call in (100, 101):
        state.join(number(call), ["Sales"], NOW)
    decide(state, NOW)
    assert decide(state, NOW + 30).departures == (Departure(number(101), Why.TOO_LONG),)
    state.offer_over(number(100), number(1), NOW + 40)
    assert decide(state, NOW + 40).departures == (Departure(number(100), Why.TOO_LONG),)


@pytest.mark.parametrize(
    ("join", "who", "why"),
    [
        (JoinEmpty.ALWAYS, [], None),
        (JoinEmpty.LOGGED_IN, [], Why.NOBODY),
        (JoinEmpty.LOGGED_IN, [replace(agent(1), logged_in=False)], Why.NOBODY),
        (JoinEmpty.LOGGED_IN, [replace(agent(1), paused=True)], None),
        (JoinEmpty.AVAILABLE, [replace(agent(1), paused=True)], Why.NOBODY),
        (JoinEmpty.AVAILABLE, [replace(agent(1), taken=True)], None),
    ],
)
def test_who_may_join_depends_on_who_is_there(join: JoinEmpty, who: list[Agent], why: Why | None) -> None:
    assert office(Rules("Sales", join_empty=join), *who).join(number(100), ["Sales"], NOW) == why


def test_the_waiting_leave_when_the_last_agent_logs_out() -> None:
    state = office(Rules("Sales"), replace(agent(1), taken=True))
    state.join(number(100), ["Sales"], NOW)
    assert not decide(state, NOW).departures
    state.put_agent(replace(agent(1), logged_in=False), NOW)
    assert decide(state, NOW).departures == (Departure(number(100), Why.NOBODY),)


def test_a_full_queue_takes_nobody() -> None:
    state = office(Rules("Sales", max_waiting=1), replace(agent(1), taken=True))
    assert state.join(number(100), ["Sales"], NOW) is None
    assert state.join(number(101), ["Sales"], NOW) is Why.FULL


def test_position_and_estimate_are_told() -> None:
    state = office(Rules("Sales"), replace(agent(1), taken=True))
    for call, priority in ((100, 10), (101, 5), (102, 10)):
        state.join(number(call), ["Sales"], NOW + call, priority=priority)
    assert [state.position(number(call)) for call in (100, 101, 102)] == [2, 1, 3]
    assert state.estimate(number(102), NOW + 110) is None
    state.answered(number(101), "Sales", NOW + 141)
    assert state.estimate(number(102), NOW + 112) == 30
