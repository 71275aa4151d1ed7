"""Two Asterisks, each with its application, on one database and one set of agents."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from ari_app.ari import AriClient, channel_id
from ari_app.ari.events import ChannelDestroyed, StasisStart
from ari_app.runtime.asterisk import ARI_USER, AsteriskOptions, EmbeddedAsterisk
from ari_app.runtime.debian import Closure
from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.processes import Process
from ari_app.runtime.settings import write_toml
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.office import AGENTS, PATIENCE, office_of


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


class Second:
    """The other Asterisk and its application."""

    def __init__(self, asterisk: EmbeddedAsterisk, app: Process) -> None:
        self.asterisk = asterisk
        self.app = app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(stack: Stack, closure: Closure) -> AsyncIterator[Second]:
    with RunFolder() as folder, PortBlock() as ports:
        asterisk = EmbeddedAsterisk(
            closure,
            folder.path / "asterisk",
            folder.logs,
            ports,
            AsteriskOptions(f"127.0.0.1:{ports.take()}", None, AGENTS),
        )
        config = folder.path / "second.toml"
        folders = {f"{what}_folder": str(folder.path / what) for what in ("prompts", "recordings", "voicemail")}
        write_toml(
            config,
            {
                "postgres": {"dsn": stack.dsn},
                "ari": {"url": asterisk.ari_url, "username": ARI_USER, "password": asterisk.ari_password},
                "app": {"node": "second", **folders},
                "app.calling_out": {"business_countries": []},  # Meta's test number is one of the United States
            },
        )
        app = Process(
            "second app",
            [sys.executable, "-m", "ari_app", "--config", str(config)],
            folder.logs / "app.log",
            folder=Path(folder.path),
            notifies=True,
        )
        try:
            await asterisk.start()
            await app.start()
            yield Second(asterisk, app)
        finally:
            await app.stop()
            await asterisk.stop()


async def call(ari: AriClient, number: str, whatsapp_id: str) -> None:
    """Somebody who calls and stays until hung up on."""
    channel = await ari.channels.create(
        endpoint=f"Local/{number}@whatsapp-in/n",
        channel_id=channel_id(),
        other_channel_id=channel_id(),
        variables={"__WHATSAPP_CALL_ID": whatsapp_id, "__WHATSAPP_FROM": "4915112345678"},
    )
    with channel:
        await channel.wait_for(StasisStart, timeout=PATIENCE)
        await channel.dial(timeout=60)
        await channel.wait_for(ChannelDestroyed, timeout=60)


async def offered_twice(database: asyncpg.Connection) -> int:
    """How often an agent was offered a call before the one of before was over."""
    found: int = await database.fetchval(
        """SELECT count(*) FROM pbx.offers a JOIN pbx.calls ca ON ca.id = a.call_id
             JOIN pbx.offers b ON b.agent_id = a.agent_id AND b.id <> a.id
            WHERE b.started_at > a.started_at
              AND b.started_at + interval '0.3 s'
                  < CASE a.outcome WHEN 'answered' THEN ca.ended_at ELSE a.ended_at END"""
    )
    return found


async def rung(ari: AriClient, phones: list[str]) -> None:
    """Write down each agent's phone that has rung, until cancelled."""
    with ari.events(ChannelDestroyed) as events:
        async for event in events:
            if isinstance(event, ChannelDestroyed) and event.channel.name.endswith(";1"):
                phones.append(event.channel.name.partition("@")[0])


async def test_a_call_that_is_wanted_rings_one_phone_once(stack: Stack, second: Second) -> None:
    """Both applications hear of it, and one takes it. These agents hang up before anybody else is called."""
    phones: list[str] = []
    async with (
        office_of(stack) as office,
        AriClient(
            second.asterisk.ari_url, ARI_USER, second.asterisk.ari_password, "tester", subscribe_all=True
        ) as other,
    ):
        await office.agents(*(f"Local/short{n}@test-agents" for n in range(8)))
        listening = [asyncio.create_task(rung(ari, phones)) for ari in (office.ari, other)]
        try:
            await office.database.execute(
                "INSERT INTO pbx.call_requests (agent_id, number, user_key, origin, requested_by, not_after) "
                "SELECT id, $1, '4915112345678', 'command', 'test', now() + interval '1 minute' FROM pbx.agents",
                stack.number.display_number,
            )
            async with asyncio.timeout(PATIENCE):
                while await office.database.fetchval(
                    "SELECT count(*) FROM pbx.call_requests WHERE state IN ('wanted', 'taken')"
                ) or [*await office.ari.channels.list(), *await other.channels.list()]:
                    await asyncio.sleep(0.05)
                while len(phones) < 8:
                    await asyncio.sleep(0.05)
        finally:
            for task in listening:
                task.cancel()
            await asyncio.wait(listening)
        assert sorted(phones) == [f"Local/short{n}" for n in range(8)]
        rows = await office.database.fetch("SELECT node, status, agent_id FROM pbx.calls")
        assert [row["status"] for row in rows] == ["Cancelled"] * 8
        assert len({row["agent_id"] for row in rows}) == 8
        requests = await office.database.fetch("SELECT state, call_id FROM pbx.call_requests")
        assert {row["state"] for row in requests} == {"done"}
        assert len({row["call_id"] for row in requests}) == 8


async def test_agents_are_shared_and_each_application_ends_its_own_calls_only(stack: Stack, second: Second) -> None:
    async with (
        office_of(stack) as office,
        AriClient(
            second.asterisk.ari_url, ARI_USER, second.asterisk.ari_password, "tester", subscribe_all=True
        ) as other,
    ):
        await office.agents(*(f"Local/short{n}@test-agents" for n in range(3)))
        await office.database.execute("UPDATE pbx.group_members SET priority = 1")
        number = stack.number.display_number
        async with asyncio.TaskGroup() as group:
            for index in range(6):
                group.create_task(call(office.ari, number, f"wacid.first.{index}"))
                group.create_task(call(other, number, f"wacid.second.{index}"))
        async with asyncio.timeout(PATIENCE):
            while await office.database.fetchval("SELECT count(*) FROM pbx.calls WHERE state <> 'ended'"):
                await asyncio.sleep(0.05)
        rows = await office.database.fetch("SELECT node, status, count(*) FROM pbx.calls GROUP BY 1, 2")
        assert sorted((row["status"], row["count"]) for row in rows) == [("Answered", 6), ("Answered", 6)]
        assert len({row["node"] for row in rows}) == 2
        assert "second" in {row["node"] for row in rows}
        assert await offered_twice(office.database) == 0

        await office.database.execute("DELETE FROM pbx.calls")
        await office.database.execute("DELETE FROM pbx.agents")
        await office.group(join_empty="always", leave_empty="never")
        waiting = [
            asyncio.create_task(call(office.ari, number, "wacid.stays")),
            asyncio.create_task(call(other, number, "wacid.goes")),
        ]
        try:
            for whatsapp_id in ("wacid.stays", "wacid.goes"):
                await office.record(whatsapp_id, "queued")
            await office.database.execute("UPDATE pbx.calls SET linkedid = id::text")  # so that nothing can be adopted
            second.app.kill()
            await second.app.stop()
            await second.app.start()
            gone = await office.record("wacid.goes")
            assert (gone["status"], gone["reason"]) == ("Failed", "the application was restarted")
            assert (await office.record("wacid.stays", "queued"))["ended_at"] is None
        finally:
            for channel in await office.ari.channels.list():
                await channel.hangup()
            with contextlib.suppress(TimeoutError):
                await asyncio.gather(*waiting)
