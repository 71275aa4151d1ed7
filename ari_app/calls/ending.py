"""How calls end: the status that people read, who ended it, and why in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ari_app.calls.offer import Offer

#: Longest reason that goes into a record.
REASON_LENGTH = 500


class Status(StrEnum):
    ANSWERED = "Answered"
    USER_ABANDON = "User Abandon"
    MISSED = "Missed"
    VOICEMAIL = "Voicemail"
    REJECTED = "Rejected"
    FAILED = "Failed"
    DECLINED = "Declined"
    NO_ANSWER = "No Answer"
    CANCELLED = "Cancelled"


class EndedBy(StrEnum):
    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True)
class Ending:
    status: Status
    ended_by: EndedBy
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", self.reason[:REASON_LENGTH])

    def hung_up_by_user(self) -> "Ending":
        """The outcome was settled already when the caller hung up, for instance during the no-agent
        prompt.
        """
        return replace(self, ended_by=EndedBy.USER)


def talked(by: EndedBy, agent_name: str = "the agent", *, user: str = "the caller") -> Ending:
    """Caller and agent were connected, and one of them hung up (or `system` ended it)."""
    who = {EndedBy.USER: user, EndedBy.AGENT: agent_name, EndedBy.SYSTEM: "the system"}[by]
    return Ending(Status.ANSWERED, by, f"{who} hung up")


def abandoned(moment: str) -> Ending:
    """The caller hung up before an agent answered; `moment` says when (`during the entry prompt`)."""
    return Ending(Status.USER_ABANDON, EndedBy.USER, f"the caller hung up {moment}")


def nobody_answered(offers: Sequence[Offer], notes: Sequence[str] = ()) -> Ending:
    """All agents who could be asked were asked, and none took the call; `notes` say why nobody was asked."""
    reasons = dict.fromkeys(offer.reason for offer in offers if offer.reason)
    return Ending(
        Status.MISSED, EndedBy.SYSTEM, "; ".join(reasons or dict.fromkeys(notes)) or "no agent could be asked"
    )


def no_route(number: str) -> Ending:
    return Ending(Status.FAILED, EndedBy.SYSTEM, f"no route for number {number}")


def fault(reason: str, *, connected: bool) -> Ending:
    """Something on our side broke, or was stopped. A call that had been answered stays an answered one."""
    return Ending(Status.ANSWERED if connected else Status.FAILED, EndedBy.SYSTEM, reason)


def refused(reason: str) -> Ending:
    """An outbound call that did not go out."""
    return Ending(Status.FAILED, EndedBy.SYSTEM, reason)


def cancelled(moment: str) -> Ending:
    """The agent hung up before the user answered; `moment` says when."""
    return Ending(Status.CANCELLED, EndedBy.AGENT, f"the agent hung up {moment}")


def not_taken(cause: int, words: str | None) -> Ending:
    """The user did not take an outbound call: by the Q.850 cause of the leg, and what Meta or the bridge says."""
    match cause:
        case 17:
            return Ending(Status.DECLINED, EndedBy.USER, words or "the user declined")
        case 18 | 19:
            return Ending(Status.NO_ANSWER, EndedBy.SYSTEM, words or "the user did not answer")
        case _:
            return Ending(Status.FAILED, EndedBy.SYSTEM, words or f"the user could not be called (cause {cause})")


def of_one_who_talked(result: Ending) -> Ending:
    """How a call ends that had been answered, and was to be answered again after a transfer in vain."""
    if result.status in (Status.USER_ABANDON, Status.MISSED, Status.FAILED):
        return replace(result, status=Status.ANSWERED)
    return result
