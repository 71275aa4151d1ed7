"""Listening to PostgreSQL, and workers that outlive its absence."""

import asyncio
import uuid

import asyncpg
import pytest

from whatsapp_bridge import wanted
from whatsapp_bridge.wanted import Wanted, keep_working


async def test_a_listener_whose_connection_is_cut_listens_again_and_wakes_everybody(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanted, "RECONNECT_AFTER", 0.05)
    listener = Wanted(database)
    request, check = listener.wake("request"), listener.wake("check")
    task = asyncio.create_task(listener.run())
    db = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(10):
            await request.wait()  # it listens, and everybody looks what was missed
            request.clear()
            check.clear()
            await db.execute("SELECT pg_notify('whatsapp_wanted', $1)", f"request:{uuid.uuid4()}")
            await request.wait()
            assert not check.is_set()
            await db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE '%LISTEN%' AND datname = current_database() AND pid <> pg_backend_pid()"
            )
            await check.wait()
            request.clear()
            await db.execute("SELECT pg_notify('whatsapp_wanted', 'request:')")
            await request.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await db.close()


async def test_a_worker_survives_outages_and_bugs_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(wanted, "PAUSE", 0.01)
    rounds, done = (
        iter((OSError("away"), OSError("away"), OSError("away"), None, ValueError("bug"), None)),
        asyncio.Event(),
    )

    async def work() -> float | None:
        match next(rounds, "end"):
            case "end":
                done.set()
            case Exception() as error:
                raise error
        return 0.01

    task = asyncio.create_task(keep_working("the worker", work, asyncio.Event(), 0.05))
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "away" in text] == ["the worker: away; again every 0.01 s"]
    assert "the worker: works again" in said
    assert any("unexpected error" in text for text in said)
