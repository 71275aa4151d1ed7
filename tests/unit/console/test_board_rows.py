"""What each reader sees of the board, for any board."""

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ari_app.console.board_rows import Scope, rows_of
from ari_app.store.console.board import LiveAgent, LiveCall, Ring, Snapshot, Standing, standing

AT = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
GROUPS = ("Sales", "Support", "Night")
AGENTS = [uuid.UUID(int=n) for n in range(1, 5)]

moments = st.integers(0, 3600).map(lambda s: AT - timedelta(seconds=s))
some_groups = st.lists(st.sampled_from(GROUPS), unique=True, max_size=3).map(tuple)
agents = st.tuples(
    *(
        st.builds(
            LiveAgent,
            id=st.just(agent),
            name=st.just(f"Agent {agent.int}"),
            endpoint=st.just(f"PJSIP/{agent.int}"),
            extension=st.none(),
            logged_in=st.booleans(),
            pause_reason=st.none() | st.just("Lunch"),
            call_id=st.none(),
            idle_since=moments,
            standing_since=moments,
            available_after=st.none() | st.just(AT + timedelta(seconds=5)),
            device=st.none() | st.sampled_from(["NOT_INUSE", "INUSE", "UNAVAILABLE"]),
            device_since=st.none(),
            groups=some_groups,
        )
        for agent in AGENTS
    )
)
calls = st.lists(
    st.builds(
        LiveCall,
        id=st.uuids(),
        channel_type=st.just("WhatsApp Call"),
        direction=st.sampled_from(["inbound", "outbound"]),
        number=st.just("15550783881"),
        caller_number=st.just("+4915112345678"),
        caller_name=st.text(max_size=5),
        state=st.sampled_from(["received", "queued", "ringing", "connected"]),
        agent_id=st.none() | st.sampled_from(AGENTS),
        received_at=moments,
        connected_at=st.none(),
        path=some_groups.map(lambda groups: tuple(f"group:{group}" for group in groups)),
        waits_for=st.none() | st.sampled_from(GROUPS),
        joined_at=moments,
        priority=st.integers(1, 3),
        rings=st.lists(
            st.builds(Ring, st.sampled_from(AGENTS), st.none() | st.sampled_from(GROUPS), moments, st.booleans()),
            max_size=2,
        ).map(tuple),
    ),
    max_size=8,
    unique_by=lambda call: call.id,
).map(tuple)
boards = st.builds(Snapshot, at=st.just(AT), calls=calls, agents=agents, orders=st.just(()))


@given(boards, some_groups)
def test_a_supervisor_sees_what_an_administrator_sees_less_what_is_not_theirs(
    board: Snapshot, groups: tuple[str, ...]
) -> None:
    everything, seen = rows_of(board, {}, Scope(None)), rows_of(board, {}, Scope(frozenset(groups)))
    assert set(seen.waiting) <= set(everything.waiting)
    assert set(seen.calls) <= set(everything.calls)
    assert set(seen.agents) <= set(everything.agents)
    ids = {row.id for row in seen.waiting} | {row.id for row in seen.calls}
    members = {agent.id for agent in board.agents if set(agent.groups) & set(groups)}
    for call in board.calls:
        assert (call.id in ids) is (bool(call.groups & set(groups)) if call.groups else call.agent_id in members)
    assert {row.id for row in seen.agents} == members
    assert {row.name for row in seen.groups} <= set(groups)


@given(boards)
def test_every_call_is_in_one_list_and_places_are_one_to_n_by_priority(board: Snapshot) -> None:
    rows = rows_of(board, {}, Scope(None))
    listed = [row.id for row in rows.waiting] + [row.id for row in rows.calls]
    assert sorted(listed) == sorted(call.id for call in board.calls)
    by_id = {call.id: call for call in board.calls}
    for group in GROUPS:
        queue = [call for call in board.calls if call.waits_for == group]
        places = {row.position: by_id[row.id] for row in rows.waiting if row.group == group}
        ordered = [places[place] for place in sorted(places)]
        assert ordered == sorted(ordered, key=lambda call: (call.priority, call.joined_at, call.id))
        assert len(places) <= len(queue)


@given(boards)
def test_only_who_can_be_rung_counts_as_free(board: Snapshot) -> None:
    for agent in board.agents:
        how, _ = standing(agent, None, AT)
        can = agent.logged_in and agent.pause_reason is None and agent.available_after is None
        assert (how is Standing.FREE) is (can and agent.device in (None, "NOT_INUSE"))


def test_a_call_that_one_has_is_what_counts_even_when_paused() -> None:
    talk = uuid.UUID(int=9)
    agent = LiveAgent(
        id=AGENTS[0],
        name="Ada",
        endpoint="PJSIP/1",
        extension=None,
        logged_in=True,
        pause_reason="Lunch",
        call_id=talk,
        idle_since=AT,
        standing_since=AT,
        available_after=None,
        device="INUSE",
        device_since=None,
        groups=("Sales",),
    )
    call = LiveCall(
        id=talk,
        channel_type="WhatsApp Call",
        direction="inbound",
        number="1",
        caller_number="+2",
        caller_name="Zoë",
        state="connected",
        agent_id=AGENTS[0],
        received_at=AT,
        connected_at=AT,
        path=(),
        waits_for=None,
        joined_at=None,
        priority=None,
    )
    assert standing(agent, call, AT) == (Standing.TALKING, AT)
