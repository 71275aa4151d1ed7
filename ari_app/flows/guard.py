"""The PSTN guard: no leg of a WhatsApp call may touch the telephone network (Meta's terms of the Calling API).

Asterisk cannot tell what is behind an endpoint, so whoever configures it says so: `voip_only`.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from ari_app.calls.call import Call, ChannelType

logger = logging.getLogger(__name__)


def may_join(channel_type: ChannelType, *, voip_only: bool) -> bool:
    """Whether a call of this type may be joined to an endpoint that is marked so."""
    return voip_only or channel_type is not ChannelType.WHATSAPP


@dataclass(frozen=True)
class Guard:
    """On unless `[app] pstn_guard = false`."""

    on: bool = True
    voip_contexts: Collection[str] = frozenset()
    "Contexts of the dialplan that reach no telephone network."

    def may_join(self, call: Call, *, voip_only: bool) -> bool:
        """Whether this call may be joined to an agent or a SIP target that is marked so."""
        return not self.on or may_join(call.channel_type, voip_only=voip_only)

    def may_enter(self, call: Call, context: str) -> bool:
        """Whether this call may go on in this context of the dialplan."""
        return self.may_join(call, voip_only=context in self.voip_contexts)

    def refuse(self, call: Call, whom: str, remedy: str = "mark it voip_only") -> str:
        """Log that the call is kept from `whom`; the same in words for the record."""
        logger.error(
            "PSTN guard: WhatsApp call %s must not be joined to %s, which may reach the telephone network. "
            "If none is behind it, %s",
            call.id,
            whom,
            remedy,
        )
        return f"the PSTN guard keeps WhatsApp calls from {whom}"
