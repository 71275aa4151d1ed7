"""Which number an agent calls with, what Meta does not allow it, and what the user is called: on a real PostgreSQL."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from ari_app.store.database import Database
from ari_app.store.outgoing import OutgoingStore

SALES, SERVICE, UNUSED = "4930111111", "4930222222", "4930333333"
USER = "4915112345678"


@dataclass
class Books:
    store: OutgoingStore
    db: "asyncpg.Connection[asyncpg.Record]"
    agent: uuid.UUID

    async def groups(self, *names: str) -> None:
        """The agent is in these, the first before the others."""
        for priority, name in enumerate(names, 1):
            await self.db.execute(
                "INSERT INTO pbx.group_members (group_name, agent_id, priority) VALUES ($1, $2, $3)",
                name,
                self.agent,
                priority,
            )

    async def calls_with(self, named: str | None = None) -> tuple[str, str | None] | None:
        """Number and group."""
        found = await self.store.business(self.agent, named)
        return None if found is None else (found.number, found.group)

    async def was_called(self, number: str, name: str, *, by_bridge: bool = True) -> None:
        if by_bridge:
            await self.db.execute(
                "INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number,"
                " user_name) VALUES ($1, $2, '1', 'inbound', $3, $4, $5)",
                uuid.uuid4(),
                uuid.uuid4().hex,
                number,
                number if number.isdigit() else None,
                name,
            )
        else:
            await self.db.execute(
                "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name)"
                " VALUES ($1, $2, 'WhatsApp Call', 'inbound', $3, $4, $5)",
                uuid.uuid4(),
                uuid.uuid4().hex,
                SALES,
                f"+{number}",
                name,
            )


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    db = await asyncpg.connect(database)
    async with Database(database) as ours:
        for key, number in enumerate((SALES, SERVICE, UNUSED), 1):
            await db.execute("INSERT INTO whatsapp.numbers VALUES ($1, $2)", str(key), number)
        for group, number in (("Sales", SALES), ("Service", SERVICE)):
            await db.execute("INSERT INTO pbx.groups (name) VALUES ($1)", group)
            await db.execute("INSERT INTO pbx.routes (number, calling_enabled) VALUES ($1, true)", number)
            await db.execute(
                "INSERT INTO pbx.route_groups (number, position, group_name) VALUES ($1, 1, $2)", number, group
            )
        agent = await db.fetchval("INSERT INTO pbx.agents (name, endpoint) VALUES ('Grace', 'PJSIP/7') RETURNING id")
        yield Books(OutgoingStore(ours), db, agent)
    await db.close()


async def test_an_agent_of_several_groups_calls_with_the_first_ones_number(books: Books) -> None:
    await books.groups("Service", "Sales")
    assert await books.calls_with() == (SERVICE, "Service")


async def test_a_named_number_calls_on_behalf_of_the_group_that_has_it(books: Books) -> None:
    await books.groups("Service", "Sales")
    assert await books.calls_with(SALES) == (SALES, "Sales")
    assert await books.calls_with(SERVICE) == (SERVICE, "Service")


async def test_a_named_number_of_no_group_calls_on_behalf_of_the_first_group(books: Books) -> None:
    await books.groups("Service", "Sales")
    assert await books.calls_with(UNUSED) == (UNUSED, "Service")
    assert await books.calls_with("49999") is None


async def test_a_groups_own_choice_of_number_counts(books: Books) -> None:
    await books.db.execute("UPDATE pbx.groups SET calls_from = $1 WHERE name = 'Service'", UNUSED)
    await books.groups("Service", "Sales")
    assert await books.calls_with() == (UNUSED, "Service")
    assert await books.calls_with(SALES) == (SALES, "Sales")


async def test_an_agent_without_a_group_needs_a_named_number(books: Books) -> None:
    assert await books.calls_with() is None
    assert await books.calls_with(SALES) == (SALES, None)


async def test_only_restrictions_in_force_count(books: Books) -> None:
    await books.db.execute(
        """INSERT INTO whatsapp.number_settings (phone_number_id, restrictions) VALUES ('1', jsonb_build_array(
             jsonb_build_object('type', 'RESTRICTED_BUSINESS_INITIATED_CALLING', 'reason', 'over',
                                'expires_at', now() - interval '1 minute'),
             jsonb_build_object('type', 'RESTRICTED_USER_INITIATED_CALLING', 'reason', 'on',
                                'expires_at', now() + interval '1 minute')))"""
    )
    found = await books.store.business(books.agent, SALES)
    assert found is not None
    assert [(each.reason, each.stops_calling_out) for each in found.restrictions] == [("on", False)]


async def test_a_user_has_the_name_of_the_newest_call(books: Books) -> None:
    assert await books.store.name_of(USER) == ""
    await books.was_called(USER, "Ada from elsewhere", by_bridge=False)
    assert await books.store.name_of(USER) == "Ada from elsewhere"
    await books.was_called(USER, "Ada")
    await books.was_called(USER, "Ada Lovelace")
    assert await books.store.name_of(USER) == "Ada Lovelace"


async def test_a_hidden_number_and_its_id_are_one_user(books: Books) -> None:
    await books.was_called("DE.abc", "Ada")
    await books.db.execute(
        "INSERT INTO whatsapp.permissions (phone_number_id, user_key, scoped_id) VALUES ('1', $1, 'DE.abc')", USER
    )
    assert await books.store.name_of(USER) == "Ada"
    await books.was_called("4917000000", "Grace")
    assert await books.store.name_of("DE.other") == ""
