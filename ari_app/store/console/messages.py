"""Messages that callers left, for those whose groups they were left for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database

_READ = """
SELECT v.id, v.number, v.group_name AS group, v.file, v.seconds::float8 AS seconds, v.created_at, v.heard_at,
       c.linkedid, c.channel_type, c.caller_number, c.caller_name
  FROM pbx.voicemails v JOIN pbx.calls c ON c.id = v.call_id
 WHERE ($1::text[] IS NULL OR v.group_name = ANY ($1))
"""

_PAGE = f"""{_READ}
   AND (v.heard_at IS NULL OR NOT $2) AND ($3::text IS NULL OR v.group_name = $3)
   AND ($4::timestamptz IS NULL OR (v.created_at, v.id) < ($4, $5::uuid))
 ORDER BY v.created_at DESC, v.id DESC LIMIT $6
"""

_COUNT = """
SELECT count(*) FROM pbx.voicemails v
 WHERE v.heard_at IS NULL AND ($1::text[] IS NULL OR v.group_name = ANY ($1))
"""

_MARK = """
UPDATE pbx.voicemails SET heard_at = CASE WHEN $3 THEN coalesce(heard_at, now()) END
 WHERE id = $2 AND ($1::text[] IS NULL OR group_name = ANY ($1))
RETURNING group_name
"""

_DELETE = """
DELETE FROM pbx.voicemails WHERE id = $2 AND ($1::text[] IS NULL OR group_name = ANY ($1)) RETURNING group_name
"""

#: The application tells phones how many messages wait.
_TELL = "SELECT pg_notify('pbx_wanted', 'mailbox:' || $1)"

Groups = Sequence[str] | None
"Whose messages somebody may have; None: everybody's, and those that were left for no group."


@dataclass(frozen=True)
class Message:
    id: UUID
    number: str
    "The number called."
    group: str | None
    file: str
    "Path in the voicemail folder, or an absolute one."
    seconds: float
    created_at: datetime
    heard_at: datetime | None
    linkedid: str
    "The call's record."
    channel_type: str
    caller_number: str
    caller_name: str


class MessageStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        groups: Groups,
        *,
        unheard: bool = False,
        group: str | None = None,
        after: Message | None = None,
        limit: int = 50,
    ) -> list[Message]:
        """The newest first, behind `after`."""
        place = (after.created_at, after.id) if after else (None, None)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_PAGE, _list(groups), unheard, group, *place, limit)
        return [Message(**dict(row)) for row in rows]

    async def find(self, message_id: UUID, groups: Groups) -> Message | None:
        """None when there is none, or it is somebody else's."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ + " AND v.id = $2", _list(groups), message_id)
        return Message(**dict(row)) if row else None

    async def count_unheard(self, groups: Groups) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_COUNT, _list(groups)))

    async def mark(self, message_id: UUID, groups: Groups, *, heard: bool) -> bool:
        """Whether there was such a message."""
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_MARK, _list(groups), message_id, heard)
            if row is not None:
                await connection.execute(_TELL, row["group_name"] or "")
        return row is not None

    async def delete(self, message: Message, groups: Groups, actor: Actor) -> bool:
        """The row; the file is the caller's business. Whether it was there still."""
        entry = Entry(
            "removed",
            "voicemail",
            str(message.id),
            {"group": message.group, "from": message.caller_number, "left_at": message.created_at},
            None,
        )
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_DELETE, _list(groups), message.id)
            if row is not None:
                await write(connection, actor, [entry])
                await connection.execute(_TELL, row["group_name"] or "")
        return row is not None


def _list(groups: Groups) -> list[str] | None:
    return None if groups is None else list(groups)
