"""The agent transfers the caller, by the phone's own transfer key (SIP REFER).

Asterisk does it by itself: in our bridge, half of a Local channel takes the agent's place, and its other half goes to
the extension (blind) or joins the agent's second call (attended). We are told by a StasisStart, before the agent's
StasisEnd, that says which channel was replaced (measured, 22.10.1). The caller's channel stays where it is, and so do
its recording and its record.
"""

import logging
import re

from ari_app.ari import Channel
from ari_app.ari.events import BridgeAttendedTransfer, Event, StasisStart
from ari_app.flows.visit import Visit

logger = logging.getLogger(__name__)

#: Limit for Asterisk to tell the rest of an attended transfer, s. It takes some ms.
TOLD_SECONDS = 2.0

#: The extension that Asterisk writes into the name of the Local channel of an attended transfer.
ATTENDED = "_attended"

_LOCAL = re.compile(r"Local/([^@]*)@(.*?)(?:/[a-z]+)?-[0-9a-f]{8};[12]")


class TransferRefused(Exception):
    """The PSTN guard does not let the caller go there; the message says so for the record."""


def takes_place_of(event: Event, channel_id: str) -> bool:
    """Whether `event` says that another channel takes the place of this one."""
    return (
        isinstance(event, StasisStart) and event.replace_channel is not None and event.replace_channel.id == channel_id
    )


async def follow(visit: Visit, start: StasisStart) -> tuple[Channel, str]:
    """The channel that is now at the other side, and what to call it. The agent is free for others.

    Raises TransferRefused, CallerLeft.
    """
    channel = visit.ari.channels.handle(start.channel.id, start.channel)
    visit.legs[channel.id] = channel
    visit.caller.events.watch(f"channel:{channel.id}")
    if visit.call.agent_id is not None:
        visit.services.exchange.talked(visit.call.id, visit.call.agent_id)
    extension, context = await _where(visit, start)
    if start.replace_channel is not None:
        visit.caller.events.unwatch(f"channel:{start.replace_channel.id}")  # its ChannelDestroyed may never come
    name = f"extension {extension}"
    logger.info("call %s was transferred to %s in %s", visit.call.id, name, context)
    await visit.step(f"transfer:{extension}")
    if not visit.services.guard.may_enter(visit.call, context):
        remedy = f"add {context} to voip_contexts"
        raise TransferRefused(visit.services.guard.refuse(visit.call, f"{name} of context {context}", remedy))
    return channel, name


async def _where(visit: Visit, start: StasisStart) -> tuple[str, str]:
    """Extension and context that the caller goes to; of an attended transfer, where the agent's second call went."""
    match = _LOCAL.fullmatch(start.channel.name)
    extension, context = (
        (match[1], match[2]) if match else (start.channel.dialplan.exten, start.channel.dialplan.context)
    )
    if extension != ATTENDED:
        return extension, context
    try:
        told = await visit.caller.wait_for(BridgeAttendedTransfer, timeout=TOLD_SECONDS)
    except TimeoutError:
        logger.warning("call %s: Asterisk does not say where it was transferred to", visit.call.id)
        return "unknown", ""
    return told.transferer_second_leg.dialplan.exten, told.transferer_second_leg.dialplan.context
