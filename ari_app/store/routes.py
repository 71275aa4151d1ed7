"""Routes in PostgreSQL: which agent a number goes to."""

import logging

from ari_app.calls.offer import Agent
from ari_app.calls.route import Route
from ari_app.store.database import Database, StoreUnavailable

logger = logging.getLogger(__name__)

_FIND = """
SELECT r.number, r.entry_prompt, r.no_agent_prompt, r.music_class, r.ring_seconds,
       a.id AS agent_id, a.name AS agent_name, a.endpoint
  FROM pbx.routes r JOIN pbx.agents a ON a.id = r.agent_id
 WHERE r.number = $1 AND a.enabled
"""


class RouteStore:
    """Finds routes, and remembers each one found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, Route] = {}

    async def find(self, number: str) -> Route | None:
        """The route of a number, None if there is none or its agent is disabled.

        Raises StoreUnavailable when PostgreSQL is away and the number was not asked for before.
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
        route = Route(
            number=row["number"],
            agent=Agent(row["agent_id"], row["agent_name"], row["endpoint"]),
            entry_prompt=row["entry_prompt"],
            no_agent_prompt=row["no_agent_prompt"],
            music_class=row["music_class"],
            ring_seconds=row["ring_seconds"],
        )
        self._remembered[number] = route
        return route
