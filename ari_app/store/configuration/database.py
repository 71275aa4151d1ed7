"""The configuration in PostgreSQL: read as a whole, and changed all or nothing."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

import asyncpg

from ari_app.store.configuration import sql
from ari_app.store.configuration.changes import Change, changes
from ari_app.store.configuration.faults import printable
from ari_app.store.configuration.tables import TABLES, Key, Row, Rows, Table, tree_of
from ari_app.store.database import describe

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 60.0

#: How long an import waits for another one, and for rows that a call holds.
LOCK_SECONDS = 10

_NUMBERS, _AGENTS = "whatsapp.numbers", "pbx.agents"


Then = Callable[[asyncpg.Connection, list[Change]], Awaitable[None]]


class ConfigurationError(Exception):
    """Nothing was changed; the message says why, one reason a line."""


@contextlib.asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection; whatever PostgreSQL complains of in it is raised as ConfigurationError."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=STATEMENT_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(f"PostgreSQL cannot be reached: {describe(error)}") from error
    try:
        yield connection
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConfigurationError(_in_words(error)) from error
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


async def lock(connection: asyncpg.Connection) -> None:
    """Until the connection is closed no other import changes anything."""
    await connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    await connection.execute("SELECT pg_advisory_lock($1)", sql.LOCK_KEY)


async def read(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> Rows:
    """All of it, as it was at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await _rows(connection)


async def replace(
    connection: asyncpg.Connection, wanted: Rows, *, dry_run: bool, then: "Then | None" = None
) -> list[Change]:
    """Make the configuration these rows and return what that changes; with `dry_run`, only try.

    `then` is called with the changes in the same transaction: with them, or not at all, goes what it writes.
    Raises ConfigurationError when something to be removed is still needed.
    """
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        before = await _rows(connection)
        steps = [_step(table, before[table.name], wanted[table.name]) for table in TABLES]
        found = changes(tree_of(before), tree_of(wanted))
        if any(step.changes_anything for step in steps):
            await _refuse_removals(connection, steps)
            await _apply(connection, steps)
            if await _rows(connection) != wanted:
                raise ConfigurationError("PostgreSQL did not keep the configuration as it was written; this is a fault")
            if then is not None:
                await then(connection, found)
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if dry_run else transaction.commit())
    return found


@dataclass(frozen=True)
class _Step:
    """What happens to one table."""

    table: Table
    gone: list[Row]
    new: list[Row]
    changed: list[tuple[Row, Row]]

    @property
    def changes_anything(self) -> bool:
        return bool(self.gone or self.new or self.changed)

    def of_changed(self, column: str) -> list[Row]:
        return [after for before, after in self.changed if before[column] != after[column]]


def _step(table: Table, before: dict[Key, Row], after: dict[Key, Row]) -> _Step:
    return _Step(
        table,
        gone=[row for key, row in before.items() if key not in after],
        new=[row for key, row in after.items() if key not in before],
        changed=[(before[key], row) for key, row in after.items() if key in before and before[key] != row],
    )


async def _rows(connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy) -> Rows:
    found: Rows = {}
    for table in TABLES:
        rows: list[Row] = json.loads(await connection.fetchval(sql.select(table)))
        found[table.name] = {table.key_of(row): row for row in rows}
    return found


async def _refuse_removals(connection: asyncpg.Connection, steps: Iterable[_Step]) -> None:
    """Calls name their number and their agents, and records are kept."""
    gone = {step.table.name: step.gone for step in steps}
    endpoints = [row["endpoint"] for row in gone[_AGENTS]]
    numbers = [row["phone_number_id"] for row in gone[_NUMBERS]]
    reasons = [
        f"agent {endpoint} cannot be removed: there are calls of this agent. Keep the entry, with enabled: false."
        for (endpoint,) in await connection.fetch(sql.AGENTS_WITH_CALLS, endpoints)
    ] + [
        f"number {number} cannot be removed: there are calls or invitations of it. "
        "Keep the entry, with calling_enabled: false."
        for (number,) in await connection.fetch(sql.NUMBERS_WITH_CALLS, numbers)
    ]
    if reasons:
        raise ConfigurationError("\n".join(reasons))


async def _apply(connection: asyncpg.Connection, steps: list[_Step]) -> None:
    """What refers goes before what is referred to, and comes after it; what is unique is free before it is taken."""
    parts = [step for step in steps if step.table.is_part]
    unreferred = [step for step in steps if step.table.name in (_NUMBERS, _AGENTS)]
    others = [step for step in steps if not step.table.is_part and step not in unreferred]
    for step in (*parts, *unreferred):
        await _write(connection, sql.delete(step.table), step.gone)
    for step in unreferred:
        if step.table.name == _AGENTS:
            endpoints = [row["endpoint"] for row in step.of_changed("extension")]
            await connection.execute(sql.LET_GO_OF_EXTENSIONS, endpoints)
        else:
            ids = [row["phone_number_id"] for row in step.of_changed("display_number")]
            await connection.execute(sql.LET_GO_OF_NUMBERS, ids)
    for step in steps:
        if step.changed:
            await _write(connection, sql.update(step.table), [after for _, after in step.changed])
        await _write(connection, sql.insert(step.table), step.new)
    for step in reversed(others):
        await _write(connection, sql.delete(step.table), step.gone)


async def _write(connection: asyncpg.Connection, statement: str, rows: list[Row]) -> None:
    if rows:
        await connection.execute(statement, json.dumps(rows))


def _in_words(error: Exception) -> str:
    match error:
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() | asyncpg.InvalidSchemaNameError():
            return f"the database is not up to date ({error}): run `asterisk-whatsapp migrate`"
        case asyncpg.LockNotAvailableError():
            return "another import is running, or calls hold what is to be changed; try again"
        case asyncpg.SerializationError() | asyncpg.DeadlockDetectedError():
            return "the configuration was changed by somebody else at the same moment; try again"
        case asyncpg.PostgresError():
            detail = getattr(error, "detail", None)
            return printable(f"PostgreSQL refuses this: {error.args[0]}" + (f" ({detail})" if detail else ""))
    return f"PostgreSQL went away: {describe(error)}"
