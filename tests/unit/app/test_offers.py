"""What becomes of an offer, by what the agent's phone did."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.offer import Agent, Offer, Outcome

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def new_offer() -> Offer:
    return Offer(uuid.uuid4(), uuid.uuid4(), Agent(uuid.uuid4(), "Agent 1001", "PJSIP/1001"), START)


@pytest.mark.parametrize(
    ("cause", "rang", "outcome", "reason"),
    [
        (21, True, Outcome.REJECTED, "Agent 1001 rejected the call (cause 21)"),
        (17, True, Outcome.REJECTED, "Agent 1001 is busy (cause 17)"),
        (19, True, Outcome.MISSED, "Agent 1001 did not answer (cause 19)"),
        (16, True, Outcome.MISSED, "Agent 1001 did not take the call (cause 16)"),
        (26, True, Outcome.MISSED, "Agent 1001 did not take the call (cause 26)"),
        (16, False, Outcome.FAILED, "PJSIP/1001 is unreachable (cause 16)"),
        (20, False, Outcome.FAILED, "PJSIP/1001 is unreachable (cause 20)"),
        (34, False, Outcome.FAILED, "PJSIP/1001 is unreachable (cause 34)"),
        (18, False, Outcome.FAILED, "PJSIP/1001 is unreachable (cause 18)"),
        (0, False, Outcome.FAILED, "PJSIP/1001 is unreachable (cause 0)"),
    ],
)
def test_the_hangup_cause_tells_a_rejection_from_a_miss_and_from_a_dead_phone(
    cause: int, *, rang: bool, outcome: Outcome, reason: str
) -> None:
    offer = new_offer().refused(START, cause, rang=rang)
    assert (offer.outcome, offer.cause, offer.reason) == (outcome, cause, reason)


def test_a_phone_that_rang_in_vain_was_missed() -> None:
    offer = new_offer().unanswered(START + timedelta(seconds=25), 25, rang=True)
    assert (offer.outcome, offer.reason) == (Outcome.MISSED, "Agent 1001 did not answer in 25 s")


def test_a_phone_that_never_rang_was_not_missed_by_its_agent() -> None:
    offer = new_offer().unanswered(START + timedelta(seconds=25), 25, rang=False)
    assert offer.outcome is Outcome.FAILED
    assert offer.reason == "PJSIP/1001 did not ring within 25 s (cause 18)"


@given(st.integers(0, 127), st.booleans(), st.integers(-100, 100))
def test_every_cause_ends_an_offer_with_an_outcome_and_a_reason(cause: int, rang: bool, late: int) -> None:
    offer = new_offer().refused(START + timedelta(seconds=late), cause, rang=rang)
    assert offer.outcome in {Outcome.REJECTED, Outcome.MISSED, Outcome.FAILED}
    assert f"cause {cause}" in offer.reason
    assert offer.ended_at is not None
    assert offer.ended_at >= offer.started_at


def test_an_offer_ends_once() -> None:
    offer = new_offer().answered(START)
    with pytest.raises(ValueError, match="already ended"):
        offer.cancelled(START, "too late")
