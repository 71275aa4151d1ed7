"""A business number at Meta: its switches, and what they allow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from .config import NumberConfig
from .errors import GraphError
from .settings import NumberSettings

_DAY: Final = 86_400.0


@dataclass
class BusinessNumber:
    """A business number. Times are unix seconds."""

    config: NumberConfig
    sip_enabled: bool = False
    outbound_available: bool = True
    "Meta lets numbers of this country call users."
    outbound_suspended: bool = False
    payment_valid: bool = True
    concurrent_calls: int = 1000
    new_calls_a_day: int = 10_000
    allowed_users: list[str] = field(default_factory=list)
    "The only users whom a test number may call; empty: everybody."
    dialled_at: deque[float] = field(default_factory=deque)
    "When calls to users began, the last day."
    settings: NumberSettings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = NumberSettings(self.config)

    @property
    def calling_enabled(self) -> bool:
        """The setting `calling.status`."""
        return self.settings.calling_enabled

    @calling_enabled.setter
    def calling_enabled(self, value: bool) -> None:
        self.settings.calling["status"] = "ENABLED" if value else "DISABLED"

    def refusal(self, now: float) -> str | None:
        """Why users cannot call it, None if they can."""
        if not self.calling_enabled or self.sip_enabled:
            return "calling is off or it is in SIP mode"
        if self.settings.restricted("USER_INITIATED", now):
            return "Meta has restricted it"
        return None if self.settings.open_at(now) else "it is outside its call hours"

    def may_dial(self, now: float) -> None:
        """Raises GraphError when the number may call nobody."""
        if not self.outbound_available:
            raise GraphError(138013)
        if self.outbound_suspended or self.settings.restricted("BUSINESS_INITIATED", now):
            raise GraphError(138014)

    def may_dial_user(self, user: str) -> None:
        """Raises GraphError when it may not call this user, or not pay for it."""
        if self.allowed_users and user not in self.allowed_users:
            raise GraphError(131030)
        if not self.payment_valid:
            raise GraphError(131044)

    def may_dial_more(self, live_calls: int, now: float) -> None:
        """Raises GraphError when it has as many calls as it may, or has begun as many in a day."""
        if live_calls >= self.concurrent_calls:
            raise GraphError(138002)
        while self.dialled_at and self.dialled_at[0] < now - _DAY:
            self.dialled_at.popleft()
        if len(self.dialled_at) >= self.new_calls_a_day:
            raise GraphError(138005)
