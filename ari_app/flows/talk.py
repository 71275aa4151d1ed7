"""Caller and agent talk."""

import logging
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from ari_app.ari import AriHttpError, AriUnavailable, Channel, NotFound
from ari_app.ari.events import (
    ChannelConnectedLine,
    ChannelHold,
    ChannelStateChange,
    ChannelUnhold,
    Event,
    StasisStart,
)
from ari_app.calls import ending
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.flows.entrance import now
from ari_app.flows.legs import GONE_SECONDS, left
from ari_app.flows.transfer import TransferRefused, follow, takes_place_of
from ari_app.flows.visit import Visit, bridge_prefix

logger = logging.getLogger(__name__)

#: While two people talk, we look so often whether both are still there, s: an event that got lost costs a
#: minute.
LOOK_SECONDS = 60.0


class EndTalk(Event):
    """To the flow of two who talk: hang both up."""

    type: str = "EndTalk"
    reason: str


async def prepare(visit: Visit) -> None:
    """Have a bridge ready, so that `join` need not wait for it. Raises AriError."""
    if visit.bridge is None:
        visit.bridge = await visit.ari.bridges.create(name=f"{bridge_prefix(visit.ari.app)}{visit.call.id}")


async def join(visit: Visit, channel: Channel, agent_id: UUID | None) -> bool:
    """Bring the caller together with an answered channel; False when that one has hung up meanwhile.

    Raises CallerLeft.
    """
    try:
        await prepare(visit)
        assert visit.bridge is not None
        await visit.bridge.add_channel(visit.caller.id, channel.id, inhibit_connected_line_updates=True)
    except AriHttpError as error:
        if not await _has_left(visit, channel):
            raise
        logger.info("call %s: %s left while being joined: %s", visit.call.id, channel.id, error)
        return False
    visit.call = visit.call.connected(agent_id, now())
    return True


async def leave(visit: Visit) -> None:
    """Take the caller out of the bridge, alone. Raises CallerLeft."""
    if visit.bridge is not None:
        async with visit.caller.asking():
            await visit.bridge.remove_channel(visit.caller.id)


@dataclass(frozen=True)
class Unanswered:
    """The other side transferred the caller to somebody, called `name`, who did not answer."""

    name: str


async def talk(visit: Visit, channel: Channel, name: str) -> Ending:
    """Until the other side, called `name`, hangs up; that the caller does is a CallerLeft, as in every stage."""
    result = await talk_or_come_back(visit, channel, name)
    if isinstance(result, Unanswered):
        return Ending(Status.ANSWERED, EndedBy.SYSTEM, f"transferred to {result.name}, where nobody answered")
    return result


async def talk_or_come_back(visit: Visit, channel: Channel, name: str) -> Ending | Unanswered:
    """As `talk`; after a blind transfer in vain the caller is left alone in the bridge.

    A transfer by the other side's phone changes who that is. When those to whom a caller was transferred transfer on,
    nothing changes in our bridge; Asterisk tells it as another connected line of the caller (measured, 22.10.1).
    """
    answered, look = True, LOOK_SECONDS
    visit.other_side = channel
    while True:
        try:
            event = await visit.caller.wait_for(
                Event, timeout=look, where=partial(_changes, visit.caller.id, channel.id)
            )
        except TimeoutError:
            if await both_there(visit, channel):
                continue
            event = None
        match event:
            case EndTalk():
                return visit.fault(event.reason)
            case ChannelConnectedLine():
                await visit.other_side_changed()
            case ChannelStateChange():
                answered = True
            case ChannelHold():
                visit.call = visit.call.held(now())
            case ChannelUnhold():
                visit.call = visit.call.resumed(now())
            case StasisStart():
                visit.call = visit.call.resumed(now())
                try:
                    channel, name = await follow(visit, event)
                except TransferRefused as refusal:
                    return visit.fault(str(refusal))
                visit.other_side = channel
                answered = event.channel.state == "Up"
                await visit.other_side_changed()
                if not (answered or await both_there(visit, channel)):
                    look = GONE_SECONDS  # it may have been over before we listened
            case _:
                return ending.talked(EndedBy.AGENT, name) if answered else Unanswered(name)


def _changes(caller_id: str, channel_id: str, event: Event) -> bool:
    """Whether `event` says that this channel is the other side no longer, that it speaks for somebody else now, that it
    holds the caller or does so no longer, or that they have talked enough.
    """
    match event:
        case EndTalk():
            return True
        case ChannelConnectedLine():
            return event.channel.id == caller_id
        case ChannelStateChange():
            return event.channel.id == channel_id and event.channel.state == "Up"
        case ChannelHold() | ChannelUnhold():
            return event.channel.id == channel_id
    return left(event, channel_id) or takes_place_of(event, channel_id)


async def _has_left(visit: Visit, channel: Channel) -> bool:
    """After a refused request: whether it was the agent who is gone. Raises CallerLeft if it was the caller."""
    try:
        await channel.refresh()
        await visit.caller.wait_for(Event, timeout=GONE_SECONDS, where=lambda event: left(event, channel.id))
    except NotFound:
        return True
    except TimeoutError:
        return False
    return True


async def both_there(visit: Visit, channel: Channel) -> bool:
    """Ask Asterisk; False when the agent is gone. Raises CallerLeft."""
    try:
        async with visit.caller.asking():
            await visit.caller.channel.refresh()
        await channel.refresh()
    except NotFound:
        return False
    except AriUnavailable as error:
        logger.warning("call %s: cannot look after the legs: %s", visit.call.id, error)
    return True
