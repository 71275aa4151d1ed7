"""Messages that callers left, in PostgreSQL. The sound is in a file."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from ari_app.store.database import Database

_ADD = """
INSERT INTO pbx.voicemails (id, call_id, number, group_name, file, seconds, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING
"""

_LETTER = "INSERT INTO pbx.voicemail_letters (voicemail_id, node) VALUES ($1, $2) ON CONFLICT DO NOTHING"

#: For which group it was left, is in the call's path: `voicemail:<group>`, or the first group of the number.
_LEFT = """
SELECT c.number, c.caller_number, c.caller_name, c.ended_at,
       coalesce((SELECT substring(p.step FROM '^voicemail:(.+)') FROM unnest(c.path) WITH ORDINALITY AS p (step, n)
                  WHERE p.step LIKE 'voicemail%' ORDER BY p.n DESC LIMIT 1),
                (SELECT g.group_name FROM pbx.route_groups g WHERE g.number = c.number ORDER BY g.position LIMIT 1))
           AS group,
       coalesce(r.voicemail_shortest_seconds, 2) AS shortest_seconds
  FROM pbx.calls c LEFT JOIN pbx.routes r ON r.number = c.number
 WHERE c.id = $1
"""

_MARK_CALL = """
UPDATE pbx.calls SET status = 'Voicemail', reason = $2 || ' (' || reason || ')'
 WHERE id = $1 AND state = 'ended' AND connected_at IS NULL AND status <> 'Voicemail'
"""

_READ = """
SELECT v.id, v.call_id, v.number, v.group_name AS group, v.file, v.seconds, v.created_at, v.heard_at,
       c.caller_number, c.caller_name
  FROM pbx.voicemails v JOIN pbx.calls c ON c.id = v.call_id
"""

_LIST = _READ + " WHERE (v.heard_at IS NULL OR NOT $1) ORDER BY v.created_at"

_FIND = _READ + " WHERE starts_with(v.id::text, lower($1)) ORDER BY v.created_at LIMIT 2"

#: Several groups may have one mailbox.
_COUNTS = """
SELECT g.voicemail_mailbox AS mailbox, count(v.id) FILTER (WHERE v.heard_at IS NULL)::integer AS new,
       count(v.id) FILTER (WHERE v.heard_at IS NOT NULL)::integer AS old
  FROM pbx.groups g LEFT JOIN pbx.voicemails v ON v.group_name = g.name
 WHERE g.voicemail_mailbox IS NOT NULL
 GROUP BY g.voicemail_mailbox
"""

_MAILBOX = "SELECT voicemail_mailbox FROM pbx.groups WHERE name = $1"


@dataclass(frozen=True)
class Voicemail:
    id: UUID
    call_id: UUID
    number: str
    "The number called."
    group: str | None
    "Whose message it is."
    file: str
    seconds: float
    created_at: datetime
    caller_number: str
    caller_name: str
    heard_at: datetime | None = None


@dataclass(frozen=True)
class LeftMessage:
    """What is known of a call in which a message was left that is not in the catalogue."""

    number: str
    caller_number: str
    caller_name: str
    ended_at: datetime | None
    group: str | None
    shortest_seconds: int


@dataclass(frozen=True)
class Counts:
    """Messages of a mailbox: not heard yet, and heard."""

    new: int
    old: int


class VoicemailStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database, mailing_node: str | None = None) -> None:
        """With `mailing_node`, each message is also to go out by e-mail, from this node."""
        self._database = database
        self._mailing_node = mailing_node

    async def add(self, message: Voicemail) -> None:
        """Its call must be recorded. Adding it again changes nothing, unless it was deleted meanwhile."""
        seconds = Decimal(message.seconds).quantize(Decimal("0.01"))
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(
                _ADD,
                message.id,
                message.call_id,
                message.number,
                message.group,
                message.file,
                seconds,
                message.created_at,
            )
            if self._mailing_node is not None:
                await connection.execute(_LETTER, message.id, self._mailing_node)

    async def left(self, call_id: UUID) -> LeftMessage | None:
        """What is known of a call, for a message that was found; None when there is no such call."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_LEFT, call_id)
        return None if row is None else LeftMessage(**dict(row))

    async def mark_call(self, message: Voicemail) -> None:
        """A call that is over was one with this message after all."""
        async with self._database.connection() as connection:
            await connection.execute(_MARK_CALL, message.call_id, f"a message of {message.seconds:.0f} s was left")

    async def all(self, *, unheard: bool = False) -> list[Voicemail]:
        """Oldest first; with `unheard`, only those that nobody has heard."""
        async with self._database.connection() as connection:
            return [_message(dict(row)) for row in await connection.fetch(_LIST, unheard)]

    async def find(self, beginning: str) -> list[Voicemail]:
        """Those whose id begins so; two at most, which is one too many."""
        async with self._database.connection() as connection:
            return [_message(dict(row)) for row in await connection.fetch(_FIND, beginning)]

    async def mark_heard(self, message_id: UUID) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE pbx.voicemails SET heard_at = coalesce(heard_at, now()) WHERE id = $1", message_id
            )

    async def delete(self, message_id: UUID) -> None:
        """The row; the file is the caller's business."""
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM pbx.voicemails WHERE id = $1", message_id)

    async def mailbox(self, group: str) -> str | None:
        """Which mailbox the phones of a group watch."""
        async with self._database.connection() as connection:
            found: str | None = await connection.fetchval(_MAILBOX, group)
        return found

    async def counts(self) -> dict[str, Counts]:
        """Of all mailboxes of groups."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_COUNTS)
        return {row["mailbox"]: Counts(row["new"], row["old"]) for row in rows}


def _message(row: dict[str, Any]) -> Voicemail:
    return Voicemail(**row | {"seconds": float(row["seconds"])})
