"""A call's states, and how calls end: rules that hold whatever happens."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls import ending
from ari_app.calls.call import NEXT, Call, ChannelType, IllegalTransition, State
from ari_app.calls.caller import Caller
from ari_app.calls.ending import REASON_LENGTH, EndedBy, Ending, Status
from ari_app.calls.offer import Agent, Offer, Outcome

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AGENT = Agent(uuid.uuid4(), "Agent 1001", "PJSIP/1001")
ANY_ENDING = st.builds(Ending, st.sampled_from(Status), st.sampled_from(EndedBy), st.text(max_size=900))
#: Clocks are set, also backwards.
MOMENTS = st.integers(-3600, 3600).map(lambda seconds: START + timedelta(seconds=seconds))


def new_call() -> Call:
    return Call(uuid.uuid4(), "1.1", ChannelType.VOICE, "100", Caller(), START)


def step(call: Call, state: State, at: datetime, end: Ending) -> Call:
    match state:
        case State.QUEUED:
            return call.queued(at)
        case State.RINGING:
            return call.ringing()
        case State.CONNECTED:
            return call.connected(AGENT.id, at)
        case State.ENDED:
            return call.ended(end, at)
        case State.DIALING:
            return call.dialing()
        case State.RECEIVED | State.REQUESTED:
            raise IllegalTransition


@given(
    st.sampled_from([State.RECEIVED, State.REQUESTED]),
    st.lists(st.tuples(st.sampled_from(State), MOMENTS, ANY_ENDING), max_size=12),
)
def test_a_record_is_whole_and_in_order_whatever_is_attempted(
    first: State,
    steps: list[tuple[State, datetime, Ending]],
) -> None:
    call = replace(new_call(), state=first)
    for state, at, end in steps:
        before = call
        try:
            call = step(call, state, at, end)
        except IllegalTransition:
            assert state not in NEXT[before.state]
            continue
        assert state in NEXT[before.state]
        assert call.state is state
        assert (call.state is State.ENDED) == (call.ended_at is not None) == (call.ending is not None)
        assert call.agent_id is None or call.connected_at is not None
        times = [t for t in (call.received_at, call.queued_at, call.connected_at, call.ended_at) if t]
        assert times == sorted(times)


def test_an_ended_call_stays_as_it_ended() -> None:
    call = new_call().ended(ending.no_route("100"), START)
    for state in State:
        with pytest.raises(IllegalTransition):
            step(call, state, START, ending.no_route("100"))


def test_a_caller_who_goes_back_into_the_queue_has_waited_from_the_beginning() -> None:
    call = new_call().queued(START).ringing().queued(START + timedelta(seconds=25))
    assert call.queued_at == START


@pytest.mark.parametrize(
    ("offers", "reason"),
    [
        (["Agent 1001 rejected the call (cause 21)"], "Agent 1001 rejected the call (cause 21)"),
        (["a", "b", "a"], "a; b"),
        ([], "no agent could be asked"),
    ],
)
def test_a_call_that_nobody_took_is_missed_and_says_why(offers: list[str], reason: str) -> None:
    made = [Offer(uuid.uuid4(), uuid.uuid4(), AGENT, START, START, Outcome.FAILED, 20, text) for text in offers]
    assert ending.nobody_answered(made) == Ending(Status.MISSED, EndedBy.SYSTEM, reason)


def test_whoever_hangs_up_after_talking_it_is_an_answered_call() -> None:
    for by in EndedBy:
        result = ending.talked(by, "Agent 1001")
        assert (result.status, result.ended_by) == (Status.ANSWERED, by)
    assert ending.talked(EndedBy.AGENT, "Agent 1001").reason == "Agent 1001 hung up"


def test_a_caller_who_leaves_before_an_answer_abandons_and_the_record_says_when() -> None:
    result = ending.abandoned("during the entry prompt")
    assert result == Ending(Status.USER_ABANDON, EndedBy.USER, "the caller hung up during the entry prompt")


def test_leaving_during_the_no_agent_prompt_does_not_change_that_the_call_was_missed() -> None:
    result = ending.nobody_answered([]).hung_up_by_user()
    assert (result.status, result.ended_by) == (Status.MISSED, EndedBy.USER)


def test_a_fault_fails_a_call_but_not_one_that_had_been_answered() -> None:
    assert ending.fault("x", connected=False).status is Status.FAILED
    assert ending.fault("x", connected=True).status is Status.ANSWERED


@given(ANY_ENDING)
def test_reasons_are_bounded(end: Ending) -> None:
    assert len(end.reason) <= REASON_LENGTH


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=20))
def test_holding_is_counted_once_and_only_while_it_lasts(changes: list[tuple[bool, int]]) -> None:
    """The phone may say the same twice, and the call may end while it holds."""
    call, at = new_call().ringing().connected(AGENT.id, START), START
    held, since = 0, None
    for holds, seconds in changes:
        at += timedelta(seconds=seconds)
        call = call.held(at) if holds else call.resumed(at)
        if holds:
            since = since or at
        elif since is not None:
            held, since = held + int((at - since).total_seconds()), None
    at += timedelta(seconds=5)
    call = call.ended(ending.talked(EndedBy.USER), at)
    assert call.hold_seconds == held + (0 if since is None else (at - since).total_seconds())
    assert call.held_at is None
