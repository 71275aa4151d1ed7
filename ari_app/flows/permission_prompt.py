"""What an agent sees of a caller's permission: how long the caller may still be called, where the number wants it."""

import logging

from ari_app.calls.call import ChannelType
from ari_app.flows.entrance import now
from ari_app.flows.visit import Visit
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)


async def permission_prompt(visit: Visit) -> str:
    """`6d 4h`, `permanent`, as Meta said last; empty when nothing is to be shown or allowed, or nobody knows."""
    route, store, call = visit.route, visit.services.permissions, visit.call
    if route is None or not route.permission_prompt or store is None or call.channel_type is not ChannelType.WHATSAPP:
        return ""
    try:
        permission = await store.of_number(route.number, call.caller.number.removeprefix("+"))
    except StoreError as error:
        logger.warning("call %s: the caller's permission cannot be read: %s", call.id, error)
        return ""
    return permission.remaining(now())
