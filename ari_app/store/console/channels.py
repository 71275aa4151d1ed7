"""What the channel pages show beside the configuration: health of SIP targets, calls that are going on."""

from dataclasses import dataclass
from datetime import datetime

from ari_app.store.database import Database

_HEALTH = """
SELECT host, port, transport, since, checked_at,
       CASE WHEN checked_at > now() - interval '60 seconds' THEN state ELSE 'unknown' END AS state
  FROM pbx.sip_target_health
"""

_CALLS = "SELECT number, count(*) AS calls FROM pbx.calls WHERE state <> 'ended' GROUP BY number"


@dataclass(frozen=True)
class Health:
    state: str
    "reachable, unreachable or unknown"
    since: datetime
    checked_at: datetime


class ChannelStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def health(self) -> dict[tuple[str, int, str], Health]:
        """By host, port and transport; unknown where no application has looked for a minute."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_HEALTH)
        return {
            (row["host"], row["port"], row["transport"]): Health(row["state"], row["since"], row["checked_at"])
            for row in rows
        }

    async def calls(self) -> dict[str, int]:
        """How many calls each number has just now; those without any are not in it."""
        async with self._database.connection() as connection:
            return {row["number"]: row["calls"] for row in await connection.fetch(_CALLS)}
