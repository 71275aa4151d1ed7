"""What becomes of recordings in PostgreSQL and on the disk; Asterisk is a fake one."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from ari_app.ari import AriClient
from ari_app.ari.testing import FakeAri
from ari_app.flows.recording_keeper import RecordingKeeper, Take, recorded_name
from ari_app.store.database import Database
from ari_app.store.recordings import RecordingRow, RecordingStore

NOW = datetime.now(UTC)


@dataclass
class Archive:
    ari: FakeAri
    client: AriClient
    database: Database
    store: RecordingStore
    connection: asyncpg.Connection
    folder: Path

    @property
    def keeper(self) -> RecordingKeeper:
        return RecordingKeeper(self.client, self.store, self.folder)

    async def row(self, *, days: int | None = None, started_at: datetime = NOW, write: bool = True) -> RecordingRow:
        call = uuid.uuid4()
        await self.connection.execute(
            "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, state, status, ended_by, ended_at) "
            "VALUES ($1, $2, 'Voice', 'inbound', '1', 'ended', 'Answered', 'user', $3)",
            call,
            str(call),
            started_at,
        )
        row = RecordingRow(uuid.uuid4(), call, f"2026/11/22/{call}.wav", started_at, days)
        if write:
            await self.store.save(row)
        return row

    async def now(self, row: RecordingRow) -> asyncpg.Record:
        found = await self.connection.fetchrow("SELECT * FROM pbx.recordings WHERE id = $1", row.id)
        assert found is not None
        return found

    def file(self, row: RecordingRow) -> Path:
        path = self.folder / row.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
        return path

    def asterisk_has(self, row: RecordingRow, seconds: float) -> None:
        names = [recorded_name(row.id, side) for side in ("caller", "heard")]
        self.ari.answer("GET", "/recordings/stored", [{"name": name, "format": "sln16"} for name in names])
        for name in names:
            self.ari.answer("GET", f"/recordings/stored/{name}/file", "\1" * round(seconds * 32_000))

    @property
    def deleted(self) -> set[str]:
        paths = (request.path for request in self.ari.requests if request.method == "DELETE")
        return {path.removeprefix("/recordings/stored/") for path in paths}


@pytest.fixture
async def archive(database: str, tmp_path: Path) -> AsyncIterator[Archive]:
    connection = await asyncpg.connect(database)
    try:
        async with FakeAri() as ari, AriClient(ari.url, ari.username, ari.password, "app") as client:
            ari.answer("GET", "/recordings/stored", [])
            async with Database(database) as opened:
                yield Archive(ari, client, opened, RecordingStore(opened), connection, tmp_path / "calls")
    finally:
        await connection.close()


async def test_an_expired_recording_is_deleted_and_others_stay(archive: Archive) -> None:
    old = await archive.row(days=30, started_at=NOW - timedelta(days=31))
    young = await archive.row(days=30, started_at=NOW - timedelta(days=29))
    eternal = await archive.row(started_at=NOW - timedelta(days=4000))
    files = [archive.file(row) for row in (old, young, eternal)]
    await archive.keeper.sweep()
    assert [file.exists() for file in files] == [False, True, True]
    assert (await archive.now(old))["deleted_at"] is not None
    assert (await archive.now(young))["deleted_at"] is None
    assert (await archive.now(eternal))["expires_at"] is None


async def test_a_file_that_cannot_be_deleted_is_not_called_deleted(archive: Archive) -> None:
    old = await archive.row(days=1, started_at=NOW - timedelta(days=2))
    (archive.folder / old.file).mkdir(parents=True)  # unlink refuses a folder
    await archive.keeper.sweep()
    assert (await archive.now(old))["deleted_at"] is None


async def test_two_applications_delete_a_recording_once(archive: Archive) -> None:
    rows = [await archive.row(days=1, started_at=NOW - timedelta(days=2)) for _ in range(5)]
    seen: list[str] = []

    async def remove(file: str) -> bool:
        seen.append(file)
        await asyncio.sleep(0.05)
        return True

    await asyncio.gather(archive.store.delete_expired(remove), archive.store.delete_expired(remove))
    assert sorted(seen) == sorted(row.file for row in rows)


async def test_what_a_killed_application_left_in_asterisk_is_fetched(archive: Archive) -> None:
    row = await archive.row()
    archive.asterisk_has(row, 2.0)
    await archive.keeper.sweep()
    assert float((await archive.now(row))["seconds"]) == 2.0
    assert (archive.folder / row.file).stat().st_size == 44 + 2 * 64_000
    assert archive.deleted == {recorded_name(row.id, side) for side in ("caller", "heard")}


async def test_what_is_being_recorded_just_now_is_left_alone(archive: Archive) -> None:
    row = await archive.row()
    archive.asterisk_has(row, 2.0)
    keeper = archive.keeper
    keeper.keep(Take(row))
    keeper._ours.add(row.id)
    await keeper.sweep()
    assert archive.deleted == set()


async def test_a_recording_of_no_known_call_is_deleted_in_asterisk(archive: Archive) -> None:
    row = await archive.row(write=False)
    archive.asterisk_has(row, 1.0)
    await archive.keeper.sweep()
    assert len(archive.deleted) == 2
    assert not (archive.folder / row.file).exists()


async def test_other_peoples_recordings_in_asterisk_are_left_alone(archive: Archive) -> None:
    archive.ari.answer("GET", "/recordings/stored", [{"name": "meeting"}, {"name": "asterisk-whatsapp-x-caller"}])
    await archive.keeper.sweep()
    assert archive.deleted == set()


async def test_what_the_disk_does_not_take_is_tried_again_for_a_day_and_then_given_up(archive: Archive) -> None:
    archive.folder.touch()  # no folder
    fresh = await archive.row()
    archive.asterisk_has(fresh, 1.0)
    await archive.keeper.sweep()
    assert "it cannot be stored" in (await archive.now(fresh))["fault"]
    assert archive.deleted == set()
    old = await archive.row(started_at=NOW - timedelta(days=2))
    archive.asterisk_has(old, 1.0)
    await archive.keeper.sweep()
    assert archive.deleted == {recorded_name(old.id, side) for side in ("caller", "heard")}


async def test_a_recording_that_never_came_is_called_lost(archive: Archive) -> None:
    row = await archive.row(started_at=NOW - timedelta(days=2))
    await archive.keeper.sweep()
    assert (await archive.now(row))["fault"] == "Asterisk has lost it"


async def test_a_side_that_is_much_shorter_than_the_call_is_a_fault(archive: Archive) -> None:
    row = await archive.row()
    archive.asterisk_has(row, 2.0)
    keeper = archive.keeper
    keeper.keep(Take(row, {"caller": 0.0, "heard": 0.0}, 10.0))
    work = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(10):
            while (now := await archive.now(row))["seconds"] is None:
                await asyncio.sleep(0.02)
    finally:
        work.cancel()
        await asyncio.wait([work])
    assert now["fault"].startswith("the caller side ends after 2.0 of 10.0 s")
