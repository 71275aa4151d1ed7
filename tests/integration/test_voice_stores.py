"""Prompts, schedules, admissions and voicemail in a real PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from ari_app.calls.hours import DAY, Interval, ScheduleError
from ari_app.store.admissions import AdmissionStore
from ari_app.store.database import Database, StoreError
from ari_app.store.prompts import Prompt, PromptStore
from ari_app.store.schedules import ScheduleStore
from ari_app.store.voicemails import Counts, Voicemail, VoicemailStore

NUMBER = "15550783881"


@pytest.fixture
async def sql(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


async def call(sql: asyncpg.Connection) -> uuid.UUID:
    identifier: uuid.UUID = await sql.fetchval(
        "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_name) "
        "VALUES (gen_random_uuid(), gen_random_uuid()::text, 'Voice', 'inbound', $1, 'Anna') RETURNING id",
        NUMBER,
    )
    return identifier


async def test_two_processes_together_let_in_no_more_calls_than_the_limit(
    database: str, sql: asyncpg.Connection
) -> None:
    await sql.execute("INSERT INTO pbx.routes (number, calling_enabled, max_calls) VALUES ($1, true, 7)", NUMBER)
    calls = [await call(sql) for _ in range(40)]
    async with AsyncExitStack() as stack:
        stores = [AdmissionStore(await stack.enter_async_context(Database(database))) for _ in range(2)]
        tries = (stores[number % 2].admit(identifier, NUMBER, 7) for number, identifier in enumerate(calls))
        admitted = await asyncio.gather(*tries)
        assert sum(admitted) == 7
        first = calls[admitted.index(True)]
        assert await stores[0].admit(first, NUMBER, 7)
        await sql.execute(
            "UPDATE pbx.calls SET state = 'ended', status = 'Answered', ended_at = now() WHERE id = $1", first
        )
        late = calls[admitted.index(False)]
        assert await stores[1].admit(late, NUMBER, 7)
        assert not await stores[0].admit(calls[-1] if not admitted[-1] else await call(sql), NUMBER, 7)


async def test_a_schedule_is_read_with_its_midnight_and_its_holidays(database: str, sql: asyncpg.Connection) -> None:
    await sql.execute(
        "INSERT INTO pbx.schedules VALUES ('office', 'Europe/Berlin'), ('nowhere', 'Mars/Olympus_Mons');"
        "INSERT INTO pbx.schedule_hours VALUES ('office', 1, '13:00', '24:00'), ('office', 1, '08:30', '12:00');"
        "INSERT INTO pbx.holidays VALUES ('office', '2026-12-25', NULL, NULL), "
        "('office', '2026-12-28', '10:00', '24:00')"
    )
    async with Database(database) as opened:
        store = ScheduleStore(opened)
        office = await store.find("office")
        assert office is not None
        afternoon = Interval(timedelta(hours=13), DAY)
        assert office.hours == {1: (Interval(timedelta(hours=8, minutes=30), timedelta(hours=12)), afternoon)}
        assert office.holidays == {date(2026, 12, 25): None, date(2026, 12, 28): Interval(timedelta(hours=10), DAY)}
        assert office.is_open(datetime(2026, 11, 23, 22, 59, tzinfo=UTC))
        assert await store.find("unheard of") is None
        with pytest.raises(ScheduleError, match="no time zone 'Mars/Olympus_Mons'"):
            await store.find("nowhere")
    assert await store.find("office") == office
    with pytest.raises(StoreError):
        await store.find("never asked for")


async def test_a_prompt_is_found_wherever_it_is_in_use(database: str, sql: asyncpg.Connection) -> None:
    async with Database(database) as opened:
        store = PromptStore(opened)
        assert await store.save(Prompt("welcome", "/prompts/welcome-1", 2.345, None, "a" * 64)) is None
        assert await store.uses("welcome") == []
        await sql.execute(
            "INSERT INTO pbx.menus (name, prompt, no_input) VALUES ('main', 'prompt:welcome', 'hangup:prompt:welcome');"
            "INSERT INTO pbx.menu_options VALUES ('main', '1', 'hangup:prompt:welcome'), ('main', '2', 'voicemail');"
            "INSERT INTO pbx.groups (name, whisper) VALUES ('Sales', 'prompt:welcome');"
            f"INSERT INTO pbx.routes (number, consent_prompt) VALUES ('{NUMBER}', 'prompt:welcome')"
        )
        assert await store.uses("welcome") == [
            "group Sales, whisper",
            "menu main, digits 1",
            "menu main, no input",
            "menu main, prompt",
            f"number {NUMBER}, consent",
        ]
        assert await store.uses("elsewhere") == []
        again = Prompt("welcome", "/prompts/welcome-2", 3.0, "Welcome!", "b" * 64)
        assert await store.save(again) == "/prompts/welcome-1"
        assert await store.all() == [again]
        assert await store.uri("prompt:welcome") == "sound:/prompts/welcome-2"
        assert await store.remove("welcome") == again
        assert await store.remove("welcome") is None


async def test_messages_are_counted_by_mailbox(database: str, sql: asyncpg.Connection) -> None:
    await sql.execute(
        "INSERT INTO pbx.groups (name, voicemail_mailbox) "
        "VALUES ('Sales', 'team@office'), ('Support', 'team@office'), ('Empty', 'empty@office'), ('None', NULL)"
    )
    async with Database(database) as opened:
        store = VoicemailStore(opened)
        messages: list[Voicemail] = []
        for group in ("Sales", "Sales", "Support", "None", None):
            at = datetime(2026, 11, 22, 18, len(messages), tzinfo=UTC)
            identifier = await call(sql)
            messages.append(Voicemail(uuid.uuid4(), identifier, NUMBER, group, "/x.wav", 2.5, at, "", "Anna"))
            await store.add(messages[-1])
        await store.add(messages[0])
        assert await store.all() == messages
        assert await store.counts() == {"team@office": Counts(3, 0), "empty@office": Counts(0, 0)}
        await store.mark_heard(messages[0].id)
        assert (await store.counts())["team@office"] == Counts(2, 1)
        assert [message.id for message in await store.all(unheard=True)] == [message.id for message in messages[1:]]
        assert [found.id for found in await store.find(str(messages[1].id)[:13].upper())] == [messages[1].id]
        assert len(await store.find("")) == 2
        await store.delete(messages[1].id)
        assert (await store.counts())["team@office"] == Counts(1, 1)
        assert (await store.mailbox("Support"), await store.mailbox("None")) == ("team@office", None)
        with pytest.raises(StoreError):
            await store.add(Voicemail(uuid.uuid4(), uuid.uuid4(), NUMBER, None, "/x", 2.0, datetime.now(UTC), "", ""))
