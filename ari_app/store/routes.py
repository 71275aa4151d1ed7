"""Routes in PostgreSQL: what is configured for a number."""

import logging
from dataclasses import fields

from ari_app.calls.route import Incoming, Route
from ari_app.store.database import Database, StoreUnavailable

logger = logging.getLogger(__name__)

_FIND = """
SELECT r.*, array(SELECT group_name FROM pbx.route_groups g WHERE g.number = r.number ORDER BY position) AS groups
  FROM pbx.routes r
 WHERE r.number = $1
"""


class RouteStore:
    """Finds routes, and remembers each one found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, Route] = {}

    async def find(self, number: str) -> Route | None:
        """The route of a number, None if there is none.

        Raises StoreError when PostgreSQL is away and the number was not asked for before.
        """
        try:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(_FIND, number)
        except StoreUnavailable as error:
            if (route := self._remembered.get(number)) is None:
                raise
            logger.error("PostgreSQL is away: number %s goes where it went before (%s)", number, error)
            return route
        if row is None:
            self._remembered.pop(number, None)
            return None
        known = {field.name: row[field.name] for field in fields(Route)}
        route = Route(**known | {"incoming": Incoming(row["incoming"]), "groups": tuple(row["groups"])})
        self._remembered[number] = route
        return route
