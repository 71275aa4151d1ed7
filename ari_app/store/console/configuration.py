"""The configuration as the console's pages see it: read as a tree, changed entry by entry, each change audited."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from ari_app.store.configuration import database as configuration
from ari_app.store.configuration.changes import Change
from ari_app.store.configuration.editing import Edit, Outcome, save
from ari_app.store.configuration.tables import Tree, tree_of
from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database


class ConfigurationStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def tree(self) -> Tree:
        """All of it, in the words of the configuration file. Raises StoreError."""
        async with self._database.connection() as connection:
            return tree_of(await configuration.read(connection))

    async def save(self, actor: Actor, *edits: Edit) -> Outcome:
        """All of these edits or none. Raises Outdated, NotThere and ConfigurationError."""
        return await save(self._database.dsn, list(edits), audited(actor))


def audited(actor: Actor) -> configuration.Then:
    """Writes what an import or an edit changes into the audit, in its transaction."""

    async def record(connection: asyncpg.Connection, changes: list[Change]) -> None:
        await write(connection, actor, map(_entry, changes))

    return record


def _entry(change: Change) -> Entry:
    before: Mapping[str, Any] = {s.name: s.old for s in change.settings if s.old is not None}
    after: Mapping[str, Any] = {s.name: s.new for s in change.settings if s.new is not None}
    return Entry(change.kind.value, change.sort, change.name, before, after)
