"""What the contact centre does not forget, in a real PostgreSQL: nodes, letters, groups' memories."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from ari_app.flows.nodes import ABSENT_SECONDS, Node
from ari_app.queueing import Memory
from ari_app.store.calls import CallStore
from ari_app.store.database import Database
from ari_app.store.group_memory import GroupMemoryStore
from ari_app.store.letters import LetterStore
from ari_app.store.nodes import NodeStore
from ari_app.store.voicemails import Voicemail, VoicemailStore


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Database]:
    async with Database(database) as opened:
        yield opened


async def open_call(sql: asyncpg.Connection, node: str) -> uuid.UUID:
    identifier: uuid.UUID = await sql.fetchval(
        "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, node) "
        "VALUES (gen_random_uuid(), gen_random_uuid()::text, 'Voice', 'inbound', '100', $1) RETURNING id",
        node,
    )
    return identifier


async def still_open(sql: asyncpg.Connection) -> set[str]:
    return {row["node"] for row in await sql.fetch("SELECT node FROM pbx.calls WHERE state <> 'ended'")}


async def test_an_application_that_starts_ends_its_predecessors_calls_and_nobody_elses(
    opened: Database, sql: asyncpg.Connection
) -> None:
    nodes = NodeStore(opened)
    await Node("berlin", nodes, CallStore(opened, "berlin")).begin()
    for node in ("berlin", "paris", ""):
        await open_call(sql, node)
    await sql.execute("INSERT INTO pbx.nodes (name, run) VALUES ('paris', gen_random_uuid())")
    await Node("berlin", nodes, CallStore(opened, "berlin")).begin()
    assert await still_open(sql) == {"paris"}


async def test_the_calls_of_an_application_that_does_not_come_back_are_ended_by_another(
    opened: Database, sql: asyncpg.Connection
) -> None:
    for node in ("paris", "london", "nobody ever saw this one"):
        await open_call(sql, node)
    await sql.execute(
        "INSERT INTO pbx.nodes (name, run, seen_at) VALUES "
        "('paris', gen_random_uuid(), now() - ($1 + 1) * interval '1 second'), "
        "('london', gen_random_uuid(), now() - ($1 - 60) * interval '1 second')",
        ABSENT_SECONDS,
    )
    await Node("berlin", NodeStore(opened), CallStore(opened, "berlin")).begin()
    assert await still_open(sql) == {"london"}
    reasons = await sql.fetch("SELECT DISTINCT reason FROM pbx.calls WHERE state = 'ended'")
    assert [row["reason"] for row in reasons] == ["the application that had the call is gone"]


async def test_two_applications_of_one_name_are_complained_of(
    opened: Database, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = NodeStore(opened)
    await Node("berlin", nodes, CallStore(opened)).begin()
    assert not caplog.records
    await Node("berlin", nodes, CallStore(opened)).begin()
    assert "give each its own name" in caplog.text


@pytest.fixture
async def message(sql: asyncpg.Connection) -> Voicemail:
    return Voicemail(
        uuid.uuid4(), await open_call(sql, "berlin"), "100", None, "/x.wav", 3.5, datetime.now(UTC), "", ""
    )


async def test_a_letter_waits_over_a_restart_and_is_taken_by_one_process_of_its_node(
    opened: Database, sql: asyncpg.Connection, message: Voicemail
) -> None:
    await VoicemailStore(opened, "berlin").add(message)
    berlin, paris = LetterStore(opened, "berlin"), LetterStore(opened, "paris")
    assert await paris.take() is None
    taken = await asyncio.gather(berlin.take(), LetterStore(opened, "berlin").take())
    (letter,) = [found for found in taken if found is not None]
    assert (letter.message, letter.attempts) == (message, 1)
    await berlin.failed(letter, "connection refused", 0.0)
    again = await LetterStore(opened, "berlin").take()
    assert again is not None
    assert again.attempts == 2
    assert await sql.fetchval("SELECT error FROM pbx.voicemail_letters") == "connection refused"
    await berlin.sent(again)
    assert await sql.fetchval("SELECT count(*) FROM pbx.voicemail_letters") == 0


async def test_a_letter_that_is_given_up_is_not_tried_again_and_says_why(
    opened: Database, sql: asyncpg.Connection, message: Voicemail
) -> None:
    await VoicemailStore(opened, "berlin").add(message)
    letters = LetterStore(opened, "berlin")
    letter = await letters.take()
    assert letter is not None
    await letters.failed(letter, "x" * 900, None)
    assert await letters.take() is None
    assert await letters.next_in() is None
    assert await sql.fetchval("SELECT length(error) FROM pbx.voicemail_letters") == 500


async def test_without_mail_no_letters_are_written(
    opened: Database, sql: asyncpg.Connection, message: Voicemail
) -> None:
    await VoicemailStore(opened).add(message)
    assert await sql.fetchval("SELECT count(*) FROM pbx.voicemail_letters") == 0


async def test_what_is_remembered_of_groups_is_there_after_a_restart(opened: Database, sql: asyncpg.Connection) -> None:
    await sql.execute("INSERT INTO pbx.groups (name) VALUES ('Sales'), ('Support')")
    agent = await sql.fetchval("INSERT INTO pbx.agents (name, endpoint) VALUES ('Ada', 'PJSIP/1') RETURNING id")
    store = GroupMemoryStore(opened)
    memories = {"Sales": Memory(12.5, ("Ada", agent)), "Support": Memory(3.0), "Gone": Memory(1.0)}
    await store.save(list(memories.items()))
    del memories["Gone"]
    assert await GroupMemoryStore(opened).load() == memories
    await store.save([("Sales", Memory(9.0))])
    await sql.execute("DELETE FROM pbx.agents")
    assert (await store.load())["Sales"] == Memory(9.0, None)
