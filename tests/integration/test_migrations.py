"""Migrations, on a real PostgreSQL."""

import asyncio
import shutil
import uuid
from pathlib import Path

import asyncpg
import pytest

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.migrate import MigrationError, default_folder, load, migrate


@pytest.fixture
async def empty(postgres: EmbeddedPostgres) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_folder(), tmp_path / "sql"))


async def test_all_are_applied_in_order_and_only_once(empty: str) -> None:
    names = [m.name for m in load(default_folder())]
    assert await migrate(empty) == names
    assert await migrate(empty) == []


async def test_two_processes_at_once_do_it_once(empty: str) -> None:
    results = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(len(r) for r in results) == [0, 0, 0, len(load(default_folder()))]


async def test_a_file_changed_afterwards_is_refused(empty: str, folder: Path) -> None:
    await migrate(empty, folder)
    first = folder / "0001_schemas.sql"
    first.write_text(first.read_text() + "\n-- changed\n")
    with pytest.raises(MigrationError, match=r"0001_schemas\.sql was changed"):
        await migrate(empty, folder)


async def test_a_failing_migration_leaves_those_before_it(empty: str, folder: Path) -> None:
    number = len(load(folder)) + 1
    bad = folder / f"{number:04}_bad.sql"
    bad.write_text("CREATE TABLE pbx.half (id integer); SELECT no_such_function();")
    with pytest.raises(MigrationError, match=rf"{number:04}_bad.sql: .*no_such_function"):
        await migrate(empty, folder)
    connection = await asyncpg.connect(empty)
    try:
        assert await connection.fetchval("SELECT to_regclass('pbx.half')") is None
        assert await connection.fetchval("SELECT to_regclass('pbx.calls')") == "pbx.calls"
    finally:
        await connection.close()
    bad.write_text("CREATE TABLE pbx.half (id integer);")
    assert await migrate(empty, folder) == ["bad"]


async def test_a_database_of_a_newer_program_is_left_alone(empty: str, folder: Path) -> None:
    (folder / f"{len(load(folder)) + 1:04}_later.sql").write_text("CREATE TABLE pbx.later (id integer);")
    await migrate(empty, folder)
    with pytest.raises(MigrationError, match="upgrade the program"):
        await migrate(empty)


def test_a_gap_in_the_numbers_is_an_error(folder: Path) -> None:
    (folder / "0002_whatsapp.sql").unlink()
    with pytest.raises(MigrationError, match="without gaps"):
        load(folder)
