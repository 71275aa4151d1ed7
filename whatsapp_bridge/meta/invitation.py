"""An invitation to allow calls, and the permission that comes of it: the state machine, without I/O.

wanted ── sent ──┬─ accepted ──┬─ expired    the temporary permission ran out
   │             ├─ declined   └─ revoked    the user, or Meta after calls not answered, took it back
   │             └─ expired                  no answer within seven days, or a newer one was answered
   └─ failed                                 Meta refused; or nobody knows whether it was sent

A user may change an answer for seven days, so accepted, declined, expired and revoked lead to each other; and an
answer to an invitation that failed for want of Meta's reply shows that it had been sent. Source: Meta, "User call
permissions" (life of a request, limits, automatic revocation).
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from whatsapp_bridge.meta.number_events import PermissionReply

#: How long a user can answer a request after its delivery.
REQUEST_LIFE = timedelta(days=7)

Status = Literal["unknown", "none", "temporary", "permanent"]


class State(StrEnum):
    WANTED = "wanted"
    SENT = "sent"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    REVOKED = "revoked"
    FAILED = "failed"


@dataclass(frozen=True)
class Invitation:
    """A row of `whatsapp.permission_requests`, as far as answers and time change it."""

    id: uuid.UUID
    state: State
    wanted_at: datetime
    claimed_at: datetime | None = None
    "When a bridge began to send it; None: not yet."
    message_id: str | None = None
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    permanent: bool = False
    granted_until: datetime | None = None

    @property
    def open(self) -> bool:
        """The user may have it, and has not answered."""
        return self.state is State.SENT or self.unconfirmed

    @property
    def unconfirmed(self) -> bool:
        """It was on its way to Meta, and Meta's reply is not known (yet)."""
        return self.claimed_at is not None and self.message_id is None and self.state in (State.WANTED, State.FAILED)

    @property
    def granted(self) -> bool:
        return self.permanent or self.granted_until is not None

    def answered(self, reply: PermissionReply) -> "Invitation":
        """After the user's answer; an older answer than the one that is known changes nothing."""
        if self.answered_at is not None and reply.at < self.answered_at:
            return self
        known = replace(self, answered_at=reply.at, message_id=self.message_id or reply.context_id)
        if reply.accepted:
            return replace(known, state=State.ACCEPTED, permanent=reply.permanent, granted_until=reply.expires_at)
        return replace(known, state=State.REVOKED if self.granted else State.DECLINED)

    def lapsed(self, now: datetime) -> "Invitation":
        """After time has passed."""
        unanswered = self.state is State.SENT and self.sent_at is not None and self.sent_at + REQUEST_LIFE <= now
        run_out = self.state is State.ACCEPTED and self.granted_until is not None and self.granted_until <= now
        return replace(self, state=State.EXPIRED) if unanswered or run_out else self


def settle(invitations: Iterable[Invitation], reply: PermissionReply) -> list[Invitation]:
    """What a reply changes of all invitations of one user by one number: those that are different now."""
    known = sorted(invitations, key=lambda each: each.wanted_at)
    if reply.context_id is None and not reply.accepted:
        accepted = [each for each in known if each.state is State.ACCEPTED]
        return _changed(accepted, [each.answered(reply) for each in accepted])
    answered = _which(known, reply)
    if answered is None:
        return []
    older = [each for each in known if each.wanted_at < answered.wanted_at and each.state is State.SENT]
    return _changed(
        [*older, answered], [*(replace(each, state=State.EXPIRED) for each in older), answered.answered(reply)]
    )


def _which(known: list[Invitation], reply: PermissionReply) -> Invitation | None:
    """The invitation that a reply answers."""
    if reply.context_id is not None:
        for each in known:
            if each.message_id == reply.context_id:
                return each
        # The answer has overtaken Meta's reply to us, or that reply was lost. A callback names the user's call instead.
        unconfirmed = [each for each in known if each.unconfirmed]
        return unconfirmed[-1] if unconfirmed and not reply.automatic else None
    # Allowed in the business's profile rather than in the message: as good as an answer.
    waiting = [each for each in known if each.open]
    return waiting[-1] if waiting and not reply.automatic else None


def _changed(before: list[Invitation], after: list[Invitation]) -> list[Invitation]:
    return [new for old, new in zip(before, after, strict=True) if new != old]


@dataclass(frozen=True)
class Permission:
    """A row of `whatsapp.permissions`, as far as replies and time change it."""

    status: Status = "unknown"
    expires_at: datetime | None = None
    reply_at: datetime | None = None

    def after(self, reply: PermissionReply, *, takes_back: bool) -> "Permission":
        """After a reply. `takes_back`: a rejection that is more than declining a new request.

        A user who has a permission and declines a further request keeps what they gave.
        """
        if self.reply_at is not None and reply.at < self.reply_at:
            return self
        known = replace(self, reply_at=reply.at)
        if reply.accepted:
            status: Status = "permanent" if reply.permanent else "temporary"
            return replace(known, status=status, expires_at=reply.expires_at)
        if takes_back or self.status not in ("temporary", "permanent"):
            return replace(known, status="none", expires_at=None)
        return known

    def lapsed(self, now: datetime) -> "Permission":
        if self.status == "temporary" and self.expires_at is not None and self.expires_at <= now:
            return replace(self, status="none", expires_at=None)
        return self


def takes_back(invitations: Iterable[Invitation], reply: PermissionReply) -> bool:
    """Whether a rejection ends what was granted: from the profile, by Meta, or on an invitation accepted before."""
    if reply.accepted:
        return False
    if reply.context_id is None:
        return True
    return any(each.message_id == reply.context_id and each.granted for each in invitations)
