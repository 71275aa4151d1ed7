"""Calls that somebody wants an agent to make: the agent's phone rings, shows whom, and when it is answered, calls.

Wanted by commands, the console, or because a user accepted an invitation (sql/0015); whoever takes the row first, does
it. A user who accepted is called when the agent can be rung: within the hours of the number, free, and not too late.
"""

import asyncio
import logging
import uuid
from functools import partial

from ari_app.ari import AriError, AriHttpError, channel_id
from ari_app.ari.events import ChannelDestroyed, ChannelStateChange, Event, StasisStart
from ari_app.calls.caller import Caller
from ari_app.calls.hours import ScheduleError
from ari_app.calls.offer import NORMAL_CLEARING, SUBSCRIBER_ABSENT, TEMPORARY_FAILURE, USER_BUSY, Agent
from ari_app.flows.calling_out import CallingOut, Order
from ari_app.flows.entrance import now
from ari_app.flows.facts import WANTED
from ari_app.flows.legs import CallerLeg
from ari_app.flows.ringing import CHANNEL_SECONDS, DIAL_RESERVE
from ari_app.flows.worker import keep_working
from ari_app.store.call_requests import CallRequest, CallRequestStore
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

#: How long the agent's phone rings, s.
RING_SECONDS = 25

#: Requests that wait are looked at so often, s; a new one at once.
LOOK_SECONDS = 10.0

#: An agent who could not be rung for a user who accepted is tried again after so long, s.
AGAIN_SECONDS = 30.0

#: So long after it was taken, a request without a call is a leftover, s.
PATIENCE_SECONDS = RING_SECONDS + 35.0


class CannotRing(Exception):
    """The agent's phone was not answered; the message says why."""

    def __init__(self, reason: str, cause: int) -> None:
        super().__init__(reason)
        self.cause = cause


class CallBack:
    """One for the process."""

    def __init__(self, outgoing: CallingOut, store: CallRequestStore) -> None:
        self._outgoing = outgoing
        self._store = store
        self._wake = asyncio.Event()
        self._not_before: dict[uuid.UUID, float] = {}
        "By request: the agent could not be rung just now."
        self._agents: set[uuid.UUID] = set()
        "Those for whom a request is on the way: one has one ear."
        outgoing.room.facts.wake(WANTED, "call_request:", self._wake.set)

    async def run(self) -> None:
        """Take requests until cancelled; those on the way end with it."""
        async with asyncio.TaskGroup() as group:
            await keep_working("calls that are wanted", partial(self._look_round, group), self._wake, LOOK_SECONDS)

    async def _look_round(self, group: asyncio.TaskGroup) -> None:
        await self._store.tidy(PATIENCE_SECONDS)
        waiting = await self._store.waiting()
        clock = asyncio.get_running_loop().time
        known = {request.id for request in waiting}
        self._not_before = {key: moment for key, moment in self._not_before.items() if key in known}
        for request in waiting:
            if request.agent_id in self._agents or self._not_before.get(request.id, 0.0) > clock():
                continue
            if request.may_wait and not await self._is_time_for(request):
                continue
            if await self._store.take(request.id):
                self._agents.add(request.agent_id)
                group.create_task(self._serve(request), name=f"call-request-{request.id}")

    async def _is_time_for(self, request: CallRequest) -> bool:
        """Whether the agent's number is open, and the agent free. What cannot be looked up stops nobody."""
        services = self._outgoing.services
        if services.exchange.is_taken(request.agent_id):
            return False
        route = await services.routes.find(request.number) if request.number else None
        if route is None or route.schedule is None:
            return True
        try:
            schedule = await services.schedules.find(route.schedule)
        except ScheduleError as error:
            logger.error("the opening hours of number %s are not known: %s", request.number, error)
            return True
        return schedule is None or schedule.is_open(now())

    async def _serve(self, request: CallRequest) -> None:
        """Nothing that goes wrong in it leaves this task."""
        try:
            await self._ring_and_call(request)
        except (AriError, StoreError) as error:
            logger.error("call request %s: %s", request.id, error)
            await self._close(request, "failed", reason=str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("call request %s: a fault of ours", request.id)
            await self._close(request, "failed", reason=f"internal error ({type(error).__name__})")
        finally:
            self._agents.discard(request.agent_id)
            self._wake.set()

    async def _ring_and_call(self, request: CallRequest) -> None:
        outgoing, store = self._outgoing, self._store
        agent = await outgoing.room.store.agent(request.agent_id)
        if agent is None:
            await self._close(request, "failed", reason="the agent may not take calls any more")
            return
        order = Order(request.user_key, request.number)
        errand = await outgoing.room.clearance.errand(agent, order.dialled, order.named)
        if refusal := outgoing.room.clearance.refuse(errand):
            await self._close(request, "failed", refusal=refusal.rule, reason=refusal.reason)
            return
        shown = Caller.of_whatsapp(errand.called.user_key, await outgoing.room.store.name_of(errand.called.user_key))
        leg = CallerLeg(outgoing.services.ari, outgoing.services.ari.channels.handle(channel_id()))
        with outgoing.leg(leg.id):
            try:
                await self._ring(leg, agent, shown)
                await leg.channel.refresh()
                ended = await outgoing.call(leg, agent, order, partial(store.called, request.id))
            except CannotRing as failure:
                await leg.channel.hangup(reason_code=NORMAL_CLEARING)
                await self._could_not_ring(request, failure)
                return
            finally:
                leg.close()
        state = "failed" if ended.refusal else "done"
        reason = ended.ending.reason if ended.ending is not None else None
        await store.close(request.id, state, refusal=ended.refusal, reason=reason)

    async def _ring(self, leg: CallerLeg, agent: Agent, shown: Caller) -> None:
        """Until the agent answers; the phone shows who will be called. Raises CannotRing."""
        names = {"CONNECTEDLINE(num,i)": shown.number, "CONNECTEDLINE(name,i)": shown.name or shown.number}
        try:
            await self._outgoing.services.ari.channels.create(
                endpoint=agent.endpoint,
                app_args=["agent", "call-request"],
                channel_id=leg.id,
                variables=names,
                events=leg.events,
            )
        except AriHttpError as error:
            raise CannotRing(f"{agent.endpoint} cannot be called: {error}", SUBSCRIBER_ABSENT) from error
        try:
            event = await self._next(leg, StasisStart, timeout=CHANNEL_SECONDS)
            if isinstance(event, StasisStart):
                await leg.channel.dial(timeout=RING_SECONDS + DIAL_RESERVE)
                async with asyncio.timeout(RING_SECONDS):
                    while not isinstance(event, ChannelDestroyed) and not _is_up(event):
                        event = await self._next(leg, ChannelStateChange, timeout=RING_SECONDS)
        except AriHttpError as error:
            raise CannotRing(f"{agent.name}'s phone was gone at once", TEMPORARY_FAILURE) from error
        except TimeoutError:
            raise CannotRing(f"{agent.name} did not answer in {RING_SECONDS} s", NORMAL_CLEARING) from None
        if isinstance(event, ChannelDestroyed):
            busy = event.cause in (USER_BUSY, 21)
            what = "is busy or rejected the call" if busy else "could not be rung"
            raise CannotRing(f"{agent.name} {what} (cause {event.cause})", event.cause)

    async def _next(self, leg: CallerLeg, *types: type[Event], timeout: float) -> Event:
        return await leg.events.wait_for(
            *types,
            ChannelDestroyed,
            timeout=timeout,
            where=lambda event: getattr(event, "channel", leg.channel).id == leg.id,
        )

    async def _could_not_ring(self, request: CallRequest, failure: CannotRing) -> None:
        """An agent who rejects does not want it; for a user who accepted, one who is away may come back."""
        logger.info("call request %s: %s", request.id, failure)
        if request.may_wait and failure.cause == SUBSCRIBER_ABSENT:
            self._not_before[request.id] = asyncio.get_running_loop().time() + AGAIN_SECONDS
            await self._store.put_back(request.id, str(failure))
        else:
            await self._close(request, "failed", reason=str(failure))

    async def _close(self, request: CallRequest, state: str, *, refusal: str | None = None, reason: str) -> None:
        logger.info("call request %s is %s: %s", request.id, state, reason)
        try:
            await self._store.close(request.id, state, refusal=refusal, reason=reason)
        except StoreError as error:
            logger.error("call request %s stays open in PostgreSQL: %s", request.id, error)


def _is_up(event: Event) -> bool:
    return isinstance(event, ChannelStateChange) and event.channel.state == "Up"
