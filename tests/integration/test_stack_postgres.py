"""PostgreSQL of the embedded stack."""

import os
import pwd
from pathlib import Path

import asyncpg
import pytest

from ari_app.runtime import postgres as module
from ari_app.runtime.postgres import ACCOUNT, EmbeddedPostgres


async def test_it_is_version_18_and_asks_for_a_password(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        assert (await connection.fetchval("SHOW server_version")).startswith("18.")
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    finally:
        await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn().replace(postgres.password(module.OWNER), "guess"))


async def test_each_database_is_another_and_migrated(postgres: EmbeddedPostgres, database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM cdr.cdr") == 0
    finally:
        await connection.close()
    assert database != postgres.dsn()


async def test_data_outlives_a_stop(postgres: EmbeddedPostgres, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    await postgres.stop()
    await postgres.start()
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT number FROM kept") == 7
    finally:
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
async def test_root_runs_it_as_nobody_from_a_copy_where_nobody_may_not_enter(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_open_to_all", lambda program: False)
    from ari_app.runtime.ports import PortBlock

    with PortBlock() as ports:
        server = EmbeddedPostgres(run_folder / "closed-off", ports.take())
        try:
            await server.start()
            assert Path(f"/proc/{server.server.pid}").stat().st_uid == pwd.getpwnam(ACCOUNT).pw_uid
            assert Path(f"/proc/{server.server.pid}/exe").readlink().is_relative_to(run_folder)
        finally:
            await server.stop()
