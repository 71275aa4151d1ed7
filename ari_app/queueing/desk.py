"""One group: who waits, who is free, whom to ask first.

Both are lists that stay sorted: finding is a bisection, and taking one out moves memory, which is far cheaper
than looking at every agent or caller.
"""

import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ari_app.queueing.agent import Agent
from ari_app.queueing.place import Key, Place
from ari_app.queueing.rules import Rules, Strategy

#: Weight of the newest wait in the mean (Asterisk's queues count alike).
NEWEST_WEIGHT = 0.25


@dataclass(frozen=True)
class Memory:
    """What is remembered of a group over a restart."""

    mean_wait: float | None = None
    "How long those waited who were answered, s."
    last: tuple[str, UUID] | None = None
    "Name and id of the agent who was asked last, where the strategy goes by it."


#: (priority, what the strategy goes by, …, agent)
Rank = tuple[Any, ...]


class Desk:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.here: set[UUID] = set()
        self.serving: set[UUID] = set()
        self.places: list[Key] = []
        "All who wait, also those for whom phones ring."
        self.open: dict[bool, list[Key]] = {False: [], True: []}
        "Those for whom no phone rings, apart by whether only `voip_only` agents may take them."
        self.mean_wait: float | None = None
        "How long those waited who were answered, s; None before the first."
        self._free: list[Rank] = []
        self._ranks: dict[UUID, Rank] = {}
        self._free_voip: set[UUID] = set()
        self._last: Rank = ()
        self.changed = False
        "There is something new to remember."

    def has_free(self, *, voip_only: bool) -> bool:
        return bool(self._free_voip if voip_only else self._free)

    def set_free(self, agent: Agent, *, free: bool) -> None:
        """Put the agent where he belongs among the free, or take him out."""
        if (old := self._ranks.pop(agent.id, None)) is not None:
            del self._free[bisect_left(self._free, old)]
            self._free_voip.discard(agent.id)
        if free:
            rank = self._ranks[agent.id] = (agent.groups[self.rules.name], *self._order(agent), agent.id)
            insort(self._free, rank)
            if agent.voip_only:
                self._free_voip.add(agent.id)

    def choose(self, may: Callable[[UUID], bool], rng: random.Random) -> list[UUID]:
        """Whom to ring now, of those who `may`: one, or with ring-all everybody of the first priority."""
        for begin, end in self._priorities():
            match self.rules.strategy:
                case Strategy.RING_ALL:
                    found = [rank[-1] for rank in self._free[begin:end] if may(rank[-1])]
                    if found:
                        return found
                    continue
                case Strategy.RANDOM:
                    start = rng.randrange(begin, end)
                case Strategy.ROUND_ROBIN:
                    start = min(max(bisect_right(self._free, (self._free[begin][0], *self._last)), begin), end)
                case _:
                    start = begin
            for index in (*range(start, end), *range(begin, start)):
                rank = self._free[index]
                if may(rank[-1]):
                    self._last = rank[1:]
                    self.changed = self.changed or self.rules.strategy is Strategy.ROUND_ROBIN
                    return [rank[-1]]
        return []

    @property
    def memory(self) -> Memory:
        by_name = self.rules.strategy is Strategy.ROUND_ROBIN and self._last
        return Memory(self.mean_wait, (self._last[0], self._last[1]) if by_name else None)

    @memory.setter
    def memory(self, memory: Memory) -> None:
        self.mean_wait, self._last = memory.mean_wait, memory.last or ()

    def join(self, place: Place) -> None:
        insort(self.places, place.key)

    def leave(self, place: Place) -> None:
        del self.places[bisect_left(self.places, place.key)]

    def set_open(self, place: Place, *, is_open: bool) -> None:
        """Whether agents are sought for this caller."""
        waiting = self.open[place.voip_only]
        index = bisect_left(waiting, place.key)
        there = index < len(waiting) and waiting[index] == place.key
        if is_open and not there:
            waiting.insert(index, place.key)
        elif there and not is_open:
            del waiting[index]

    def position(self, key: Key) -> int:
        """1 for the next one."""
        return bisect_left(self.places, key) + 1

    def learn(self, waited: float) -> None:
        """Somebody was answered after `waited` s."""
        self.changed = True
        if self.mean_wait is None:
            self.mean_wait = waited
        else:
            self.mean_wait += (waited - self.mean_wait) * NEWEST_WEIGHT

    def _order(self, agent: Agent) -> tuple[float | str, ...]:
        match self.rules.strategy:
            case Strategy.LONGEST_IDLE:
                return agent.idle_since, agent.name
            case Strategy.FEWEST_CALLS:
                return agent.answered, agent.idle_since, agent.name
            case _:
                return (agent.name,)

    def _priorities(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each priority among the free, in order."""
        begin = 0
        while begin < len(self._free):
            end = bisect_left(self._free, (self._free[begin][0] + 1,))
            yield begin, end
            begin = end
