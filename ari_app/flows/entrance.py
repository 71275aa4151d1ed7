"""How a call comes in: from a channel in Stasis to a `Call`.

The dialplan says `Stasis(asterisk-whatsapp,whatsapp,<WhatsApp call id>)`, with the number called as the
extension, or `Stasis(asterisk-whatsapp,voice,<number called>)` for a call of any trunk.
"""

import uuid
from datetime import UTC, datetime

from ari_app.ari import Channel, NotFound
from ari_app.ari.events import StasisStart
from ari_app.calls.call import Call, ChannelType
from ari_app.calls.caller import Caller, clean_number

#: Longest id of Meta's that is kept (the bridge refuses longer ones).
WHATSAPP_ID_LENGTH = 512


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


async def read_call(start: StasisStart, channel: Channel) -> Call:
    """What is known of a call as it comes in. Of a caller who is gone already it is what the event said."""
    whatsapp = start.args[:1] == ["whatsapp"]
    argument = start.args[1] if len(start.args) > 1 else ""
    called = start.channel.dialplan.exten if whatsapp else argument or start.channel.dialplan.exten
    try:
        linkedid = await channel.get_variable("CHANNEL(linkedid)")
        caller = await _whatsapp_caller(start, channel) if whatsapp else _voice_caller(start)
    except NotFound:
        linkedid, caller = None, _voice_caller(start)
    return Call(
        id=uuid.uuid4(),
        linkedid=linkedid or channel.id,
        channel_type=ChannelType.WHATSAPP if whatsapp else ChannelType.VOICE,
        number=clean_number(called).removeprefix("+"),
        caller=caller,
        received_at=now(),
        whatsapp_call_id=_whatsapp_id(argument) if whatsapp else None,
    )


async def _whatsapp_caller(start: StasisStart, channel: Channel) -> Caller:
    user = await channel.get_variable("WHATSAPP_FROM") or start.channel.caller.number
    name = await channel.get_variable("WHATSAPP_NAME") or start.channel.caller.name
    return Caller.of_whatsapp(user, name)


def _voice_caller(start: StasisStart) -> Caller:
    return Caller.of_channel(start.channel.caller.number, start.channel.caller.name)


def _whatsapp_id(text: str) -> str | None:
    """Meta's id is opaque, but it is short and printable."""
    return "".join(c for c in text[:WHATSAPP_ID_LENGTH] if c.isprintable()) or None
