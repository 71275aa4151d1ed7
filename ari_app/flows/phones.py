"""The phones that ring for one caller."""

import asyncio

from ari_app.ari.events import Event
from ari_app.calls.offer import ANSWERED_ELSEWHERE, NORMAL_CLEARING, Agent
from ari_app.flows.ringing import Ringing
from ari_app.flows.visit import Visit


class RingingOver(Event):
    """To the caller's flow: a phone was answered, or rings no longer."""

    type: str = "RingingOver"
    channel_id: str
    answered: bool


class Phones:
    """Each rings in a task of its own; what becomes of it comes as `RingingOver` to the caller's events.

    Left as a context manager, no phone rings any more; one that was answered stays.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._tasks: dict[str, asyncio.Task[bool]] = {}

    @property
    def ringing(self) -> list[Ringing]:
        return [self._visit.rung[channel] for channel in self._tasks]

    def ring(self, agent: Agent, group: str | None, seconds: int) -> Ringing:
        """Begin to ring this agent."""
        visit = self._visit
        ringing = Ringing(visit.ari, visit.caller, visit.call, agent, group, seconds)
        visit.rung[ringing.channel.id] = ringing
        task = asyncio.create_task(self._run(ringing), name=f"ring-{ringing.channel.id}")
        self._tasks[ringing.channel.id] = task
        return ringing

    async def result(self, event: RingingOver) -> Ringing:
        """The phone an event is about, which rings no longer. Raises what went wrong in its task."""
        ringing = self._visit.rung[event.channel_id]
        await self._tasks.pop(event.channel_id)
        if not event.answered:
            self._give_up(ringing)
        return ringing

    async def silence(self, cause: int = NORMAL_CLEARING, reason: str = "the caller hung up") -> list[Ringing]:
        """Stop all that still ring, at once; those that were answered at this very moment too."""
        tasks, self._tasks = self._tasks, {}
        for channel in tasks:
            self._visit.rung[channel].withdraw(cause, reason)
        if tasks:
            await asyncio.wait(tasks.values())
        stopped = [self._visit.rung[channel] for channel in tasks]
        for ringing in stopped:
            if ringing.offer.outcome is None:
                ringing.abandon(reason)
                await ringing.stop(cause)
            self._give_up(ringing)
        return stopped

    async def answered_elsewhere(self, by: Agent) -> list[Ringing]:
        """Somebody else took the call: phones show no missed call (cause 26)."""
        return await self.silence(ANSWERED_ELSEWHERE, f"{by.name} answered first")

    async def _run(self, ringing: Ringing) -> bool:
        answered = False
        try:
            answered = await ringing.run()
        finally:
            self._visit.caller.events.put(RingingOver(channel_id=ringing.channel.id, answered=answered))
        return answered

    def _give_up(self, ringing: Ringing) -> None:
        """The leg is no longer one of the call; its offer is part of the record."""
        del self._visit.rung[ringing.channel.id]
        self._visit.offers.append(ringing.offer)
