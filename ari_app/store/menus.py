"""IVR menus in PostgreSQL."""

import logging

import asyncpg

from ari_app.calls.destination import Destination
from ari_app.calls.menu import Back, Choice, Menu
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

_EXTENSIONS = "SELECT extension FROM pbx.agents WHERE enabled AND extension IS NOT NULL"


class MenuStore:
    """Finds menus, and remembers each one found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, Menu] = {}

    async def find(self, name: str) -> Menu | None:
        """None if there is no such menu.

        Raises StoreError when PostgreSQL is away and the menu was not asked for before.
        """
        try:
            menu = await self._read(name)
        except StoreError as error:
            if (known := self._remembered.get(name)) is None:
                raise
            logger.error("PostgreSQL is away: menu %s is as it was (%s)", name, error)
            return known
        if menu is None:
            self._remembered.pop(name, None)
        else:
            self._remembered[name] = menu
        return menu

    async def _read(self, name: str) -> Menu | None:
        async with self._database.connection() as connection, connection.transaction(isolation="repeatable_read"):
            row = await connection.fetchrow("SELECT * FROM pbx.menus WHERE name = $1", name)
            if row is None:
                return None
            options = await connection.fetch("SELECT digits, destination FROM pbx.menu_options WHERE menu = $1", name)
            agents = await connection.fetch(_EXTENSIONS) if row["direct_dial"] else []
        return _menu(row, options, frozenset(agent["extension"] for agent in agents))


def _menu(row: asyncpg.Record, options: list[asyncpg.Record], extensions: frozenset[str]) -> Menu:
    return Menu(
        name=row["name"],
        prompt=row["prompt"],
        invalid_prompt=row["invalid_prompt"],
        timeout_seconds=row["timeout_seconds"],
        digit_seconds=row["digit_seconds"],
        retries=row["retries"],
        language=row["language"],
        schedule=row["schedule"],
        closed=Destination.parse(row["closed"]) if row["closed"] else None,
        no_input=Destination.parse(row["no_input"]),
        options={option["digits"]: _choice(option["destination"]) for option in options},
        extensions=extensions,
    )


def _choice(text: str) -> Choice:
    return Back.BACK if text == Back.BACK.value else Destination.parse(text)
