"""Who gets whom."""

from bisect import bisect_right
from heapq import heapify, heappop, heappush

from ari_app.queueing.desk import Desk
from ari_app.queueing.place import Assignment, Decision, Departure, Key, Place
from ari_app.queueing.rules import Strategy
from ari_app.queueing.state import State


def decide(state: State, now: float) -> Decision:
    """Give free agents to callers, in the callers' order, and send on those who wait in vain.

    What is decided is noted in `state`: the agents are taken, and who is sent on has left. From the same state
    at the same time follows the same decision. A caller who can get nobody (they refused, they are not
    allowed) holds up nobody behind.
    """
    state.advance(now)
    departures = _departures(state, now)
    return Decision(tuple(_assignments(state, now)), departures)


def _departures(state: State, now: float) -> tuple[Departure, ...]:
    found = []
    for call in sorted(state.to_check & state.places.keys(), key=lambda call: state.places[call].key):
        if (why := state.why_leave(state.places[call], now)) is not None:
            found.append(Departure(call, why))
            state.leave(call)
    state.to_check.clear()
    return tuple(found)


def _assignments(state: State, now: float) -> list[Assignment]:
    """Goes through the callers of all groups that have somebody free, in the order of their places."""
    found: list[Assignment] = []
    heads = [
        (waiting[0], name, voip_only)
        for name, desk in state.desks.items()
        for voip_only, waiting in desk.open.items()
        if waiting and desk.has_free(voip_only=voip_only)
    ]
    heapify(heads)
    while heads:
        key, name, voip_only = heappop(heads)
        place = state.places[key[-1]]
        if not place.ringing:
            found += _assign(state, place, now)
        desk = state.desks[name]
        if (following := _next(desk, key, voip_only=voip_only)) is not None:
            heappush(heads, (following, name, voip_only))
    return found


def _assign(state: State, place: Place, now: float) -> list[Assignment]:
    """Agents for one caller; of several groups the first that has somebody, and every one that rings all."""
    found: list[Assignment] = []
    for name in place.groups:
        desk = state.desks[name]
        if found and desk.rules.strategy is not Strategy.RING_ALL:
            continue
        for agent in desk.choose(state.may(place, now), state.rng):
            state.offer(place, agent, now)
            found.append(Assignment(place.call, agent, name))
        if found and desk.rules.strategy is not Strategy.RING_ALL:
            break
    return found


def _next(desk: Desk, key: Key, *, voip_only: bool) -> Key | None:
    """Who comes after `key` in this group, while somebody is free."""
    if not desk.has_free(voip_only=voip_only):
        return None
    waiting = desk.open[voip_only]
    index = bisect_right(waiting, key)
    return waiting[index] if index < len(waiting) else None
