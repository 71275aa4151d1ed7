"""May the business call this user, by what Meta said last? Pure: the time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: A yes is believed so long: Meta refuses the call itself if it is wrong. A no is asked again each time.
YES_HOLDS = timedelta(minutes=5)


class Status(StrEnum):
    UNKNOWN = "unknown"
    NONE = "none"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


class May(StrEnum):
    YES = "yes"
    NO = "no"
    LIMIT = "limit"
    "There is a permission, but too many calls were made."
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Permission:
    """A row of whatsapp.permissions."""

    status: Status = Status.UNKNOWN
    expires_at: datetime | None = None
    can_call: bool | None = None
    can_request: bool | None = None
    call_limit_until: datetime | None = None
    request_limit_until: datetime | None = None
    checked_at: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether the user allows calls at that time."""
        if self.status is Status.TEMPORARY:
            return self.expires_at is None or at < self.expires_at
        return self.status is Status.PERMANENT

    def may_call(self, at: datetime) -> May:
        if self.status is Status.UNKNOWN:
            return May.UNKNOWN
        if not self.holds(at):
            return May.NO
        if self.call_limit_until is not None and at < self.call_limit_until:
            return May.LIMIT
        return May.LIMIT if self.can_call is False and self.call_limit_until is None else May.YES

    def may_request(self, at: datetime) -> bool:
        """Whether Meta takes a further request; one that nobody knows of may be tried."""
        if self.request_limit_until is not None:
            return at >= self.request_limit_until
        return self.can_request is not False

    def is_fresh(self, at: datetime) -> bool:
        """Whether it need not be asked for again now."""
        if self.checked_at is None or self.may_call(at) is not May.YES:
            return False
        return at - self.checked_at < YES_HOLDS

    def remaining(self, at: datetime) -> str:
        """How long calls are still allowed, as agents see it: `6d 4h`, `3h 20m`, `5m`, `permanent`; empty when not."""
        if not self.holds(at):
            return ""
        if self.status is Status.PERMANENT or self.expires_at is None:
            return "permanent"
        minutes = int((self.expires_at - at) / timedelta(minutes=1))
        days, hours = minutes // 1440, minutes // 60 % 24
        if days:
            return f"{days}d {hours}h"
        return f"{hours}h {minutes % 60}m" if hours else f"{minutes}m"
