"""Apply the numbered SQL migrations of `sql/`, in order, once each, under a lock."""

import hashlib
import logging
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import asyncpg

logger = logging.getLogger(__name__)

#: Any constant does, so long as nothing else in the database locks on it.
LOCK_KEY = 0x77615F6D6967


class MigrationError(Exception):
    """A migration could not be applied; the message names the file and what to do."""


@dataclass(frozen=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def default_folder() -> Path:
    """Where the migrations are: beside the packages in a checkout, under `share/` when installed."""
    checkout = Path(__file__).resolve().parents[2] / "sql"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / "share/asterisk-whatsapp/sql"


def load(folder: Path) -> list[Migration]:
    """Read `NNNN_name.sql` files, sorted by number. Raises MigrationError on a gap, a duplicate or no file."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        if not number.isdigit() or not name:
            raise MigrationError(f"{path}: a migration is named NNNN_name.sql")
        migrations.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    if not migrations:
        raise MigrationError(f"{folder}: no migrations found; reinstall asterisk-whatsapp")
    expected = list(range(1, len(migrations) + 1))
    if [m.version for m in migrations] != expected:
        raise MigrationError(f"{folder}: migrations must be numbered 0001, 0002, … without gaps")
    return migrations


async def migrate(dsn: str, folder: Path | None = None) -> list[str]:
    """Bring the database at `dsn` up to date and return the names of what was applied.

    Each migration runs in its own transaction. Two processes at once are safe: the second waits.
    Raises MigrationError when an applied file was changed afterwards, or when its SQL fails.
    """
    migrations = load(folder or default_folder())
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY, timeout=60)
        return await _apply(connection, migrations)
    finally:
        await connection.close(timeout=10)


async def _apply(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    await connection.execute(
        """CREATE TABLE IF NOT EXISTS public.asterisk_whatsapp_migrations (
               version    integer PRIMARY KEY,
               name       text NOT NULL,
               checksum   text NOT NULL,
               applied_at timestamptz NOT NULL DEFAULT now())"""
    )
    rows = await connection.fetch("SELECT version, name, checksum FROM public.asterisk_whatsapp_migrations")
    applied = {row["version"]: row for row in rows}
    if applied and max(applied) > len(migrations):
        raise MigrationError(
            f"the database is at version {max(applied)}, this program knows {len(migrations)}: upgrade the program"
        )
    done = []
    for migration in migrations:
        if row := applied.get(migration.version):
            if row["checksum"] != migration.checksum:
                raise MigrationError(
                    f"{migration.version:04}_{migration.name}.sql was changed after it had been applied: "
                    "restore the file and put the change into a new migration"
                )
            continue
        try:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO public.asterisk_whatsapp_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
        except asyncpg.PostgresError as error:
            raise MigrationError(f"{migration.version:04}_{migration.name}.sql: {error}") from error
        logger.info("applied migration %04d_%s", migration.version, migration.name)
        done.append(migration.name)
    return done
