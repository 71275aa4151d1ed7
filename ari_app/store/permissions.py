"""Permissions to call users, and invitations to give them: wanted here, asked and answered by the bridge (sql/0012)."""

from datetime import datetime
from uuid import UUID

from ari_app.calls.permission import Permission, Status
from ari_app.store.database import Database

_FIND = """
SELECT status, expires_at, can_call, can_request, call_limit_until, request_limit_until, checked_at
  FROM whatsapp.permissions WHERE phone_number_id = $1 AND user_key = $2
"""

_OF_NUMBER = """
SELECT p.status, p.expires_at, p.can_call, p.can_request, p.call_limit_until, p.request_limit_until, p.checked_at
  FROM whatsapp.permissions p JOIN whatsapp.numbers n USING (phone_number_id)
 WHERE n.display_number = $1 AND p.user_key = $2
"""

_WANT_CHECK = """
INSERT INTO whatsapp.permissions (phone_number_id, user_key, check_wanted_at) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (phone_number_id, user_key) DO UPDATE SET check_wanted_at = excluded.check_wanted_at, check_error = NULL
"""

_ANSWERED = """
SELECT check_wanted_at IS NULL OR checked_at >= check_wanted_at OR check_error IS NOT NULL
  FROM whatsapp.permissions WHERE phone_number_id = $1 AND user_key = $2
"""

#: One that the user has not answered yet is not sent again; the agent who asked last is called back.
_AGAIN = """
UPDATE whatsapp.permission_requests
   SET agent_id = coalesce($3, agent_id), call_back_until = coalesce($4, call_back_until)
 WHERE id = (SELECT id FROM whatsapp.permission_requests
              WHERE phone_number_id = $1 AND user_key = $2 AND state IN ('wanted', 'sent')
                AND wanted_at > now() - interval '7 days'
              ORDER BY wanted_at DESC LIMIT 1 FOR UPDATE)
RETURNING id
"""

_INVITE = """
INSERT INTO whatsapp.permission_requests (phone_number_id, user_key, agent_id, call_back_until, requested_by, text)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""


class PermissionStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, phone_number_id: str, user_key: str) -> Permission:
        """As Meta said last; unknown when it never did."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, phone_number_id, user_key)
        return Permission() if row is None else Permission(**dict(row) | {"status": Status(row["status"])})

    async def of_number(self, number: str, user_key: str) -> Permission:
        """The same, by the digits of the business number."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_OF_NUMBER, number, user_key)
        return Permission() if row is None else Permission(**dict(row) | {"status": Status(row["status"])})

    async def want_check(self, phone_number_id: str, user_key: str) -> None:
        """Let Meta be asked; `permission:<phone_number_id>:<user_key>` tells when it has answered."""
        async with self._database.connection() as connection:
            await connection.execute(_WANT_CHECK, phone_number_id, user_key)

    async def is_answered(self, phone_number_id: str, user_key: str) -> bool:
        """Whether Meta has answered the last question, or cannot."""
        async with self._database.connection() as connection:
            return bool(await connection.fetchval(_ANSWERED, phone_number_id, user_key))

    async def invite(
        self,
        phone_number_id: str,
        user_key: str,
        *,
        agent: UUID | None,
        requested_by: str,
        call_back_until: datetime | None,
        text: str | None = None,
    ) -> tuple[UUID, bool]:
        """Want the user to be asked for permission; the request, and whether it is a new one.

        While the user has one that is not answered, no other is sent.
        """
        async with self._database.connection() as connection, connection.transaction():
            again = await connection.fetchval(_AGAIN, phone_number_id, user_key, agent, call_back_until)
            if again is not None:
                return again, False
            new: UUID = await connection.fetchval(
                _INVITE, phone_number_id, user_key, agent, call_back_until, requested_by, text
            )
            return new, True

    async def state_of(self, request: UUID) -> tuple[str, str | None]:
        """The state of a request, and Meta's words where it failed."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT state, error_text FROM whatsapp.permission_requests WHERE id = $1", request
            )
        assert row is not None
        return row["state"], row["error_text"]
