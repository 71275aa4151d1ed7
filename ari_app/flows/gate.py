"""The gate: whether a call may come in, decided before it is answered.

A call that may not is refused with a cause, so that it costs the caller nothing and the far end (Meta, a
trunk) learns that it was refused.
"""

import logging
from datetime import datetime

from ari_app.calls.call import ChannelType
from ari_app.calls.ending import EndedBy, Ending, Status
from ari_app.calls.hours import ScheduleError
from ari_app.calls.offer import CALL_REJECTED, USER_BUSY
from ari_app.calls.route import Route
from ari_app.flows.entrance import now
from ari_app.flows.visit import Visit
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)


async def admit(visit: Visit) -> Ending | None:
    """None when the call may come in; otherwise how it ends, with the cause in `visit.hangup_cause`.

    The route must be there, and the call recorded. What cannot be looked up refuses nobody.
    """
    route = visit.route
    if route is None:
        return None
    if not route.calling_enabled and visit.call.channel_type is ChannelType.WHATSAPP:
        return _refuse(visit, CALL_REJECTED, f"calling is switched off for number {route.number}")
    if reason := await _closed(visit, route, now()):
        return _refuse(visit, CALL_REJECTED, reason)
    if reason := await _full(visit, route):
        return _refuse(visit, USER_BUSY, reason)
    return None


async def _closed(visit: Visit, route: Route, at: datetime) -> str:
    """Why the number is closed, in words; empty while it is open."""
    if route.schedule is None:
        return ""
    try:
        schedule = await visit.services.schedules.find(route.schedule)
        if schedule is None:
            raise ScheduleError(f"there is no schedule {route.schedule}")
    except (StoreError, ScheduleError) as error:
        logger.error("call %s comes in, because the opening hours are not known: %s", visit.call.id, error)
        return ""
    if schedule.is_open(at):
        return ""
    opening = schedule.next_opening(at)
    if opening is None:
        return f"outside business hours ({schedule.name}), without an opening in sight"
    return f"outside business hours ({schedule.name}), opens again at {opening:%Y-%m-%d %H:%M} {schedule.zone.key}"


async def _full(visit: Visit, route: Route) -> str:
    """Why no further call fits in, in words; empty while one does."""
    if route.max_calls is None:
        return ""
    try:
        if await visit.services.admissions.admit(visit.call.id, route.number, route.max_calls):
            return ""
    except StoreError as error:
        logger.error("call %s comes in, because calls cannot be counted: %s", visit.call.id, error)
        return ""
    return f"all lines are busy: number {route.number} takes {route.max_calls} calls at once"


def _refuse(visit: Visit, cause: int, reason: str) -> Ending:
    visit.hangup_cause = cause
    return Ending(Status.REJECTED, EndedBy.SYSTEM, reason)
