"""An offer: one attempt to ring one agent for one call, and what came of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Outcome(StrEnum):
    ANSWERED = "answered"
    REJECTED = "rejected"
    MISSED = "missed"
    CANCELLED = "cancelled"
    FAILED = "failed"


#: Q.850 causes (ITU-T Q.850, table 1) as Asterisk maps SIP answers to them.
NORMAL_CLEARING = 16
USER_BUSY = 17
NO_USER_RESPONSE = 18
NO_ANSWER = 19
SUBSCRIBER_ABSENT = 20
CALL_REJECTED = 21
ANSWERED_ELSEWHERE = 26
TEMPORARY_FAILURE = 41
SWITCH_CONGESTION = 42


@dataclass(frozen=True)
class Agent:
    """A person who takes calls, at an endpoint of the PBX (`PJSIP/1001`)."""

    id: UUID
    name: str
    endpoint: str
    voip_only: bool = False
    "No telephone network behind the endpoint: WhatsApp calls may be joined to it."


@dataclass(frozen=True)
class Offer:
    id: UUID
    call_id: UUID
    agent: Agent
    started_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    cause: int | None = None
    "Q.850, where the agent did not answer."
    reason: str = ""
    "In words for people."
    group: str | None = None
    "On whose behalf the agent was rung."

    def answered(self, at: datetime) -> "Offer":
        return self._end(at, Outcome.ANSWERED, None, f"{self.agent.name} answered")

    def cancelled(self, at: datetime, reason: str) -> "Offer":
        """The call ended first: the caller hung up, or we had to end it."""
        return self._end(at, Outcome.CANCELLED, None, reason)

    def failed(self, at: datetime, reason: str) -> "Offer":
        return self._end(at, Outcome.FAILED, None, reason)

    def unanswered(self, at: datetime, ring_seconds: int, *, rang: bool) -> "Offer":
        """The time is up. A phone that never said that it rings cannot have been missed by anybody."""
        if rang:
            return self._end(at, Outcome.MISSED, NO_ANSWER, f"{self.agent.name} did not answer in {ring_seconds} s")
        reason = f"{self.agent.endpoint} did not ring within {ring_seconds} s (cause {NO_USER_RESPONSE})"
        return self._end(at, Outcome.FAILED, NO_USER_RESPONSE, reason)

    def refused(self, at: datetime, cause: int, *, rang: bool) -> "Offer":
        """The agent's channel ended with `cause` before it was answered.

        The reject key of SIP phones sends 603 (cause 21) or 486 (cause 17), so both count as a rejection.
        """
        name, endpoint = self.agent.name, self.agent.endpoint
        match cause:
            case 21:
                return self._end(at, Outcome.REJECTED, cause, f"{name} rejected the call (cause {cause})")
            case 17:
                return self._end(at, Outcome.REJECTED, cause, f"{name} is busy (cause {cause})")
            case 19:
                return self._end(at, Outcome.MISSED, cause, f"{name} did not answer (cause {cause})")
            case 16 | 26 if rang:
                return self._end(at, Outcome.MISSED, cause, f"{name} did not take the call (cause {cause})")
            case _:
                return self._end(at, Outcome.FAILED, cause, f"{endpoint} is unreachable (cause {cause})")

    def _end(self, at: datetime, outcome: Outcome, cause: int | None, reason: str) -> "Offer":
        if self.outcome is not None:
            raise ValueError(f"offer {self.id} has already ended: {self.outcome}")
        return replace(self, ended_at=max(at, self.started_at), outcome=outcome, cause=cause, reason=reason)
