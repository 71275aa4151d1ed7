"""What agents set by codes dialled on their phones. Triggers tell the queues."""

from ari_app.store.database import Database

_LOGIN = "logged_in = true, pause_reason = NULL, misses = 0, idle_since = now()"
_LOGOUT = "logged_in = false, pause_reason = NULL"
_PAUSE = "pause_reason = $2"
_RESUME = "pause_reason = NULL, misses = 0"
_CALL_BACK = "UPDATE pbx.agents SET call_back = $2 WHERE enabled AND endpoint = $1 RETURNING name"


class FeatureCodeStore:
    """An agent is known by an endpoint (`PJSIP/1001`). Each method returns the agent's name, None when no agent who may
    take calls has that endpoint; it raises StoreError when PostgreSQL is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def log_in(self, endpoint: str) -> str | None:
        """Takes calls from now on, paused before or not."""
        return await self._set(_LOGIN, endpoint)

    async def log_out(self, endpoint: str) -> str | None:
        return await self._set(_LOGOUT, endpoint)

    async def pause(self, endpoint: str, reason: str) -> str | None:
        return await self._set(_PAUSE, endpoint, reason)

    async def resume(self, endpoint: str) -> str | None:
        return await self._set(_RESUME, endpoint)

    async def call_back(self, endpoint: str, *, on: bool) -> str | None:
        """Whether the agent's phone rings when a user accepts the agent's invitation."""
        async with self._database.connection() as connection:
            name: str | None = await connection.fetchval(_CALL_BACK, endpoint, on)
        return name

    async def _set(self, what: str, endpoint: str, *values: str) -> str | None:
        statement = (
            f"UPDATE pbx.agent_states s SET {what} "  # noqa: S608 - one of ours above
            "FROM pbx.agents a WHERE a.id = s.agent_id AND a.enabled AND a.endpoint = $1 RETURNING a.name"
        )
        async with self._database.connection() as connection:
            name: str | None = await connection.fetchval(statement, endpoint, *values)
        return name
