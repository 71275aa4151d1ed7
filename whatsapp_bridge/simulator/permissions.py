"""Who may be called by whom, and how often that may be asked: Meta's rules, without I/O. Times are unix seconds.

Sources: Meta's pages on user call permissions (limits, life of a request, revocation) and on business-initiated calls
(100 connected calls in 24 h), as of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .config import NumberConfig, PermissionLimits
from .errors import GraphError

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY

Status = Literal["no_permission", "temporary", "permanent", "always"]
"""`always` is not Meta's: permanent, and beyond all limits. It keeps demos and load tests from being stopped."""


@dataclass
class Request:
    """A message that asked for permission."""

    message_id: str
    at: float
    decided_at: float | None = None
    granted: bool = False

    def alive(self, now: float) -> bool:
        """Seven days from delivery, or from the user's last decision on it."""
        return now < (self.decided_at or self.at) + WEEK


@dataclass
class Pair:
    """One business number and one user."""

    status: Status = "always"
    expires_at: float | None = None
    window_until: float = 0.0
    "End of the customer service window."
    asked: list[float] = field(default_factory=list)
    "Requests since the last connected call."
    requests: list[Request] = field(default_factory=list)
    connected: list[float] = field(default_factory=list)
    "Connected calls of the business in the last day."
    unanswered: int = 0
    system_messages: int = 0
    "How often the user was told about calls that were not answered."

    def at(self, now: float) -> Pair:
        """Brought up to date: what has run out is gone. Meta sends no word of it."""
        if self.status == "temporary" and self.expires_at is not None and now >= self.expires_at:
            self.status, self.expires_at = "no_permission", None
        self.asked = [moment for moment in self.asked if moment > now - WEEK]
        self.connected = [moment for moment in self.connected if moment > now - DAY]
        self.requests = [request for request in self.requests if request.alive(now)]
        return self

    def grant(self, status: Status, expires_at: float | None = None) -> None:
        self.status, self.expires_at = status, expires_at if status == "temporary" else None
        self.unanswered = 0


class Permissions:
    """All pairs. A pair nobody spoke of yet is `always`."""

    def __init__(self, limits: PermissionLimits) -> None:
        self._limits = limits
        self._pairs: dict[tuple[str, str], Pair] = {}

    def pair(self, number: NumberConfig, user: str, now: float) -> Pair:
        return self._pairs.setdefault((number.phone_number_id, user), Pair()).at(now)

    def pairs(self, now: float) -> dict[tuple[str, str], Pair]:
        """By phone_number_id and the user's number."""
        return {key: pair.at(now) for key, pair in self._pairs.items()}

    def check_call(self, number: NumberConfig, user: str, now: float) -> None:
        """Raises GraphError 138006 or 138012."""
        pair = self.pair(number, user, now)
        if pair.status == "always":
            return
        if pair.status == "no_permission":
            raise GraphError(138006)
        if len(pair.connected) >= self._limits.connected_per_day:
            raise GraphError(138012, f"The next call is possible at {int(pair.connected[0] + DAY)}")

    def check_request(self, number: NumberConfig, user: str, now: float) -> None:
        """Raises GraphError 138017 or 138009."""
        pair = self.pair(number, user, now)
        if pair.status in ("permanent", "always"):
            raise GraphError(138017)
        for period, most, moments in self._request_limits(number, pair, now):
            if len(moments) >= most:
                raise GraphError(138009, f"{len(moments)} of {most} requests in {period}")

    def requested(self, number: NumberConfig, user: str, message_id: str, now: float) -> None:
        pair = self.pair(number, user, now)
        pair.asked.append(now)
        pair.requests.append(Request(message_id, now))

    def answer(self, number: NumberConfig, user: str, message_id: str, status: Status, now: float) -> float | None:
        """The user answers a request; when a temporary permission ends. Raises LookupError for one that is dead."""
        pair = self.pair(number, user, now)
        request = next((each for each in pair.requests if each.message_id == message_id), None)
        if request is None:
            raise LookupError("there is no such request any more")
        request.decided_at = now
        pair.requests = [each for each in pair.requests if each.at >= request.at]
        pair.window_until = now + DAY
        granted, request.granted = request.granted, status != "no_permission"
        if not request.granted:
            # Declined, a permission from elsewhere stays; an acceptance that is taken back is gone.
            if granted:
                pair.grant("no_permission")
            return None
        expires_at = now + WEEK if status == "temporary" else None
        pair.grant(status, expires_at)
        return expires_at

    def user_called(self, number: NumberConfig, user: str, now: float) -> None:
        """A user's call opens the service window, answered or not."""
        self.pair(number, user, now).window_until = now + DAY

    def call_connected(self, number: NumberConfig, user: str, now: float, *, outbound: bool) -> None:
        """Any connected call gives the right to ask anew; the business's own ones are counted."""
        pair = self.pair(number, user, now)
        pair.asked.clear()
        pair.unanswered = 0
        pair.window_until = now + DAY
        if outbound:
            pair.connected.append(now)

    def call_unanswered(self, number: NumberConfig, user: str, now: float) -> bool:
        """A call of the business was refused or not answered; whether that cost the permission."""
        pair = self.pair(number, user, now)
        if pair.status == "always":
            return False
        pair.unanswered += 1
        warn, revoke = self._limits.unanswered(number.test_number)
        if pair.unanswered == warn:
            pair.system_messages += 1
        if pair.unanswered < revoke or pair.status == "no_permission":
            return False
        pair.grant("no_permission")
        return True

    def report(self, number: NumberConfig, user: str, now: float) -> dict[str, Any]:
        """The reply to GET call_permissions."""
        pair = self.pair(number, user, now)
        status = "permanent" if pair.status == "always" else pair.status
        permission: dict[str, Any] = {"status": status}
        if pair.expires_at is not None:
            permission["expiration_time"] = int(pair.expires_at)
        asking = [
            _limit(period, most, moments, DAY if period == "PT24H" else WEEK)
            for period, most, moments in self._request_limits(number, pair, now)
        ]
        calling = [_limit("PT24H", self._limits.connected_per_day, pair.connected, DAY)]
        return {
            "messaging_product": "whatsapp",
            "permission": permission,
            "actions": [
                _action("send_call_permission_request", status != "permanent", asking),
                _action("start_call", status != "no_permission", calling),
            ],
        }

    def _request_limits(self, number: NumberConfig, pair: Pair, now: float) -> list[tuple[str, int, list[float]]]:
        a_day, a_week = self._limits.requests(number.test_number)
        return [
            ("PT24H", a_day, [moment for moment in pair.asked if moment > now - DAY]),
            ("P7D", a_week, list(pair.asked)),
        ]


def _limit(period: str, most: int, moments: list[float], seconds: float) -> dict[str, Any]:
    limit: dict[str, Any] = {"time_period": period, "max_allowed": most, "current_usage": len(moments)}
    if len(moments) >= most:
        limit["limit_expiration_time"] = int(moments[len(moments) - most] + seconds)
    return limit


def _action(name: str, permitted: bool, limits: list[dict[str, Any]]) -> dict[str, Any]:
    free = all(limit["current_usage"] < limit["max_allowed"] for limit in limits)
    return {"action_name": name, "can_perform_action": permitted and free, "limits": limits}
