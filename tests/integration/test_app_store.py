"""Calls, offers and routes in a real PostgreSQL."""

import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ari_app.calls import ending
from ari_app.calls.call import Call, ChannelType
from ari_app.calls.caller import Caller
from ari_app.calls.offer import Agent, Offer
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.calls import CallStore
from ari_app.store.database import Database, StoreError, StoreUnavailable
from ari_app.store.routes import RouteStore

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AGENT = Agent(uuid.UUID(int=1), "Agent 1001", "PJSIP/1001")


@pytest.fixture
async def rows(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO pbx.agents (id, name, endpoint) VALUES ($1, 'Agent 1001', 'PJSIP/1001')", AGENT.id
    )
    await connection.execute("INSERT INTO pbx.routes (number) VALUES ('100')")
    await connection.execute("INSERT INTO pbx.groups (name) VALUES ('Agents')")
    await connection.execute("INSERT INTO pbx.route_groups VALUES ('100', 1, 'Agents')")
    yield connection
    await connection.close()


@pytest.fixture
async def opened(database: str, rows: asyncpg.Connection) -> AsyncIterator[Database]:
    async with Database(database) as pool:
        yield pool


def new_call(**changes: object) -> Call:
    values: dict[str, object] = {
        "id": uuid.uuid4(),
        "linkedid": uuid.uuid4().hex,
        "channel_type": ChannelType.WHATSAPP,
        "number": "100",
        "caller": Caller("+4915112345678", "Zoë"),
        "received_at": NOW,
        "whatsapp_call_id": "wacid.1",
    }
    return Call(**{**values, **changes})  # type: ignore[arg-type]


async def test_a_call_is_written_step_by_step_or_all_at_once(opened: Database, rows: asyncpg.Connection) -> None:
    store = CallStore(opened)
    steps = new_call()
    await store.save(steps)
    offer = Offer(uuid.uuid4(), steps.id, AGENT, NOW)
    steps = steps.queued(NOW).ringing()
    await store.save(steps, [offer])
    steps = steps.connected(AGENT.id, NOW + timedelta(seconds=3))
    await store.save(steps, [offer.answered(NOW + timedelta(seconds=3))])
    steps = steps.ended(ending.talked(ending.EndedBy.AGENT, "Agent 1001"), NOW + timedelta(seconds=9))
    await store.save(steps)
    late = new_call().queued(NOW).ended(ending.abandoned("while waiting"), NOW)
    await store.save(late, [Offer(uuid.uuid4(), late.id, AGENT, NOW).cancelled(NOW, "the caller hung up")])

    row = await rows.fetchrow("SELECT * FROM pbx.calls WHERE id = $1", steps.id)
    assert row is not None
    assert (row["status"], row["ended_by"], row["reason"]) == ("Answered", "agent", "Agent 1001 hung up")
    assert row["ended_at"] - row["connected_at"] == timedelta(seconds=6)
    assert await rows.fetchval("SELECT outcome FROM pbx.offers WHERE call_id = $1", steps.id) == "answered"
    assert await rows.fetchval("SELECT status FROM pbx.calls WHERE id = $1", late.id) == "User Abandon"
    assert await rows.fetchval("SELECT count(*) FROM pbx.offers") == 2


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=300), number=st.text(max_size=100), whatsapp=st.text(max_size=50))
async def test_whatever_a_caller_says_of_himself_can_be_stored(
    database: str, rows: asyncpg.Connection, name: str, number: str, whatsapp: str
) -> None:
    async with Database(database) as opened:
        call = new_call(caller=Caller.of_whatsapp(number, name))
        await CallStore(opened).save(call)
        stored = await rows.fetchval("SELECT caller_name FROM pbx.calls WHERE id = $1", call.id)
        assert stored == call.caller.name


async def test_what_a_predecessor_left_open_is_ended(opened: Database, rows: asyncpg.Connection) -> None:
    store = CallStore(opened)
    waiting = new_call().queued(NOW).ringing()
    await store.save(waiting, [Offer(uuid.uuid4(), waiting.id, AGENT, NOW)])
    await store.save(new_call().queued(NOW).ringing().connected(AGENT.id, NOW))
    await store.save(new_call().ended(ending.no_route("100"), NOW))
    assert await store.end_left_by("", "the application was restarted", NOW - timedelta(hours=1)) == 2
    assert await store.end_left_by("", "again", NOW) == 0
    statuses = await rows.fetch("SELECT status, reason FROM pbx.calls ORDER BY status, reason")
    assert [tuple(row) for row in statuses] == [
        ("Answered", "the application was restarted"),
        ("Failed", "no route for number 100"),
        ("Failed", "the application was restarted"),
    ]
    assert await rows.fetchval("SELECT outcome FROM pbx.offers") == "cancelled"


async def test_a_call_is_written_wholly_or_not_at_all(opened: Database, rows: asyncpg.Connection) -> None:
    call = new_call()
    stranger = Agent(uuid.uuid4(), "Nobody", "PJSIP/1")
    with pytest.raises(StoreError) as caught:
        await CallStore(opened).save(call, [Offer(uuid.uuid4(), call.id, stranger, NOW)])
    assert not isinstance(caught.value, StoreUnavailable)
    assert await rows.fetchval("SELECT count(*) FROM pbx.calls") == 0


async def test_routes_are_found_with_their_groups(opened: Database, rows: asyncpg.Connection) -> None:
    routes = RouteStore(opened)
    route = await routes.find("100")
    assert route is not None
    assert (str(route.first), route.groups, route.entry_prompt) == ("group:Agents", ("Agents",), "sound:queue-thankyou")
    assert await routes.find("999") is None
    assert await routes.find("x'; DROP TABLE pbx.routes; --") is None


async def test_a_route_is_remembered_while_postgresql_is_away(
    postgres: EmbeddedPostgres, opened: Database, rows: asyncpg.Connection
) -> None:
    routes = RouteStore(opened)
    found = await routes.find("100")
    assert found is not None
    await rows.close()
    await postgres.stop()
    try:
        assert await routes.find("100") == found
        with pytest.raises(StoreUnavailable):
            await routes.find("101")
        with pytest.raises(StoreUnavailable):
            await CallStore(opened).save(new_call())
    finally:
        await postgres.start()
    await CallStore(opened).save(new_call())


async def test_a_database_that_is_not_there_is_told_after_the_time_limit(database: str) -> None:
    with pytest.raises(StoreUnavailable, match="PostgreSQL cannot be reached"):
        async with Database(re.sub(r":[0-9]+/", ":1/", database), start_timeout=0.3):
            pytest.fail("there is no PostgreSQL")
