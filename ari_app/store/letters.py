"""Messages that have to go out by e-mail, in PostgreSQL."""

from dataclasses import dataclass

from ari_app.store.database import Database
from ari_app.store.voicemails import Voicemail

#: Who takes a letter has so long to send it, s; then it is there to be taken again.
LEASE_SECONDS = 120.0

_TAKE = """
WITH due AS (
    SELECT voicemail_id FROM pbx.voicemail_letters
     WHERE node = $1 AND next_at <= now()
     ORDER BY next_at
     LIMIT 1
       FOR UPDATE SKIP LOCKED)
UPDATE pbx.voicemail_letters l
   SET attempts = l.attempts + 1, next_at = now() + $2::float8 * interval '1 second'
  FROM due, pbx.voicemails v JOIN pbx.calls c ON c.id = v.call_id
 WHERE l.voicemail_id = due.voicemail_id AND v.id = l.voicemail_id
RETURNING l.attempts, v.id, v.call_id, v.number, v.group_name AS group, v.file, v.seconds::float8 AS seconds,
          v.created_at, v.heard_at, c.caller_number, c.caller_name
"""

_FAILED = """
UPDATE pbx.voicemail_letters SET error = left($2, 500), next_at = now() + $3::float8 * interval '1 second'
 WHERE voicemail_id = $1
"""


@dataclass(frozen=True)
class Letter:
    message: Voicemail
    attempts: int
    "With the one that is to be made now."


class LetterStore:
    """Those of one node: it has the files. All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def take(self) -> Letter | None:
        """The next one that is due; None if there is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_TAKE, self._node, LEASE_SECONDS)
        if row is None:
            return None
        values = dict(row)
        return Letter(attempts=values.pop("attempts"), message=Voicemail(**values))

    async def sent(self, letter: Letter) -> None:
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM pbx.voicemail_letters WHERE voicemail_id = $1", letter.message.id)

    async def failed(self, letter: Letter, error: str, pause: float | None) -> None:
        """It is tried again after so long, s; None: it is given up."""
        async with self._database.connection() as connection:
            await connection.execute(_FAILED, letter.message.id, error, pause)

    async def next_in(self) -> float | None:
        """How long until one is due, s; None if none is waiting."""
        query = (
            "SELECT extract(epoch FROM min(next_at) - now())::float8 "
            "FROM pbx.voicemail_letters WHERE node = $1 AND next_at IS NOT NULL"
        )
        async with self._database.connection() as connection:
            seconds: float | None = await connection.fetchval(query, self._node)
        return None if seconds is None else max(0.0, seconds)
