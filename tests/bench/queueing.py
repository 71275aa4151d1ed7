"""How long a decision of the queue takes, from 10 to 10,000 waiting callers.

Each decision is one as it comes in life: an agent's phone becomes free (or a caller joins), and somebody gets
somebody. 1,000 agents in one group, of whom all but one are in a call.
"""

import statistics
import sys
import time
import uuid
from dataclasses import replace

from ari_app.queueing import Agent, Rules, State, Strategy, decide

AGENTS = 1000
DECISIONS = 2000
START = 1_000_000.0


def measure(strategy: Strategy, waiting: int) -> list[float]:
    """Milliseconds of each decision."""
    state = State(seed=1)
    state.put_group(Rules("Sales", strategy, max_waiting=20_000, max_wait_seconds=1e9), START)
    agents = [
        Agent(uuid.UUID(int=n), f"Agent {n:04}", {"Sales": 1 + n % 3}, voip_only=True, taken=True, idle_since=START - n)
        for n in range(AGENTS)
    ]
    for agent in agents:
        state.put_agent(agent, START)
    for n in range(waiting):
        state.join(uuid.UUID(int=AGENTS + n), ["Sales"], START + n, priority=n % 5, voip_only=bool(n % 2))
    now, call, times = START + waiting, AGENTS + waiting, []
    for n in range(DECISIONS):
        now += 0.01
        agent = state.agents[agents[n * 7919 % AGENTS].id]
        state.join(uuid.UUID(int=call), ["Sales"], now, priority=n % 5, voip_only=bool(n % 2))
        call += 1
        begun = time.perf_counter()
        state.put_agent(replace(agent, taken=False, idle_since=now, answered=agent.answered + 1), now)
        decision = decide(state, now)
        times.append((time.perf_counter() - begun) * 1000)
        for assignment in decision.assignments:
            state.answered(assignment.call, "Sales", now)
    return times


def measure_morning(agents: int, waiting: int) -> float:
    """Milliseconds to give all of so many agents, who log in at once, a caller each."""
    state = State(seed=1)
    state.put_group(Rules("Sales", max_waiting=20_000, max_wait_seconds=1e9), START)
    for n in range(agents):
        state.put_agent(Agent(uuid.UUID(int=n), f"Agent {n:04}", {"Sales": 1}, voip_only=True), START)
    for n in range(waiting):
        state.join(uuid.UUID(int=AGENTS + n), ["Sales"], START + n)
    begun = time.perf_counter()
    found = decide(state, START + waiting)
    assert len(found.assignments) == min(agents, waiting)
    return (time.perf_counter() - begun) * 1000 / len(found.assignments)


def show(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    worst = 0.0
    show(f"One decision among {AGENTS} agents, ms")
    show(f"{'strategy':14}{'waiting':>9}{'p50':>9}{'p99':>9}")
    for strategy in Strategy:
        for waiting in (10, 100, 1_000, 10_000):
            times = sorted(measure(strategy, waiting))
            p99 = times[int(len(times) * 0.99)]
            worst = max(worst, p99)
            show(f"{strategy:14}{waiting:9}{statistics.median(times):9.3f}{p99:9.3f}")
    show(f"all agents free at once, 10,000 waiting: {measure_morning(AGENTS, 10_000):.3f} ms per assignment")
    show(f"worst p99: {worst:.3f} ms (limit 5)")
    return int(worst > 5)


if __name__ == "__main__":
    sys.exit(main())
