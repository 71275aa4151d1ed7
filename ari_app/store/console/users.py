"""Users of the console in PostgreSQL: logins, roles, password hashes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database, StoreError

_READ = """
SELECT u.id, u.login, u.name, u.role, u.must_change, u.agent_id, u.enabled, u.created_at, u.signed_in_at,
       a.name AS agent_name,
       array(SELECT group_name FROM console.user_groups g WHERE g.user_id = u.id ORDER BY 1) AS groups
  FROM console.users u LEFT JOIN pbx.agents a ON a.id = u.agent_id
"""

_ADD = """
INSERT INTO console.users (login, name, role, password_hash, must_change, agent_id)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""

_CHANGE = "UPDATE console.users SET name = $2, role = $3, agent_id = $4, enabled = $5 WHERE id = $1"

_GROUPS = "INSERT INTO console.user_groups (user_id, group_name) SELECT $1, unnest($2::text[])"

_SET_HASH = """
UPDATE console.users SET password_hash = $2, must_change = $3, password_changed_at = now() WHERE id = $1
"""

#: Somebody must be left who can change users.
_ADMINISTRATORS = "SELECT id FROM console.users WHERE role = 'administrator' AND enabled FOR UPDATE"


class Role(StrEnum):
    ADMINISTRATOR = "administrator"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    REPORTING = "reporting"


@dataclass(frozen=True)
class User:
    id: UUID
    login: str
    name: str
    role: Role
    must_change: bool
    "The password was given by somebody else, and must be changed before anything else."
    agent_id: UUID | None
    enabled: bool
    created_at: datetime
    signed_in_at: datetime | None
    agent_name: str | None
    groups: tuple[str, ...]
    "Of a supervisor."

    @property
    def settings(self) -> dict[str, Any]:
        """For the audit."""
        return {
            "name": self.name,
            "role": self.role.value,
            "agent": self.agent_name,
            "groups": list(self.groups),
            "enabled": self.enabled,
        }


@dataclass(frozen=True)
class UserSettings:
    name: str
    role: Role
    agent_id: UUID | None = None
    groups: tuple[str, ...] = ()
    enabled: bool = True


class UserRefused(Exception):
    """Nothing was changed; the message says why. `field` is the setting that is at fault, where one is."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class UserStore:
    """All methods raise StoreError when PostgreSQL is away; those that change something write the audit with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[User]:
        """By login."""
        async with self._database.connection() as connection:
            return [_user(row) for row in await connection.fetch(_READ + " ORDER BY u.login")]

    async def find(self, user_id: UUID) -> User | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ + " WHERE u.id = $1", user_id)
        return _user(row) if row else None

    async def find_login(self, login: str) -> User | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ + " WHERE u.login = $1", login)
        return _user(row) if row else None

    async def password_hash(self, login: str) -> str | None:
        """None when nobody enabled has this login."""
        async with self._database.connection() as connection:
            found: str | None = await connection.fetchval(
                "SELECT password_hash FROM console.users WHERE login = $1 AND enabled", login
            )
        return found

    async def add(
        self, login: str, settings: UserSettings, password_hash: str, actor: Actor, *, must_change: bool = True
    ) -> User:
        """Raises UserRefused."""
        async with self._database.connection() as connection, connection.transaction():
            try:
                user_id = await connection.fetchval(
                    _ADD, login, settings.name, settings.role, password_hash, must_change, settings.agent_id
                )
                await connection.execute(_GROUPS, user_id, list(settings.groups))
            except asyncpg.IntegrityConstraintViolationError as error:
                raise _refusal(error, login) from error
            user = _user(await connection.fetchrow(_READ + " WHERE u.id = $1", user_id))
            await write(connection, actor, [Entry("added", "user", login, None, user.settings)])
        return user

    async def change(self, user_id: UUID, settings: UserSettings, actor: Actor) -> User:
        """Raises UserRefused."""
        async with self._database.connection() as connection, connection.transaction():
            administrators = [row["id"] for row in await connection.fetch(_ADMINISTRATORS)]
            row = await connection.fetchrow(_READ + " WHERE u.id = $1", user_id)
            if row is None:
                raise UserRefused("this user is gone")
            before = _user(row)
            stays = settings.role is Role.ADMINISTRATOR and settings.enabled
            if administrators == [user_id] and not stays:
                raise UserRefused("this is the last administrator: make somebody else one first", "role")
            try:
                await connection.execute(
                    _CHANGE, user_id, settings.name, settings.role, settings.agent_id, settings.enabled
                )
                await connection.execute("DELETE FROM console.user_groups WHERE user_id = $1", user_id)
                await connection.execute(_GROUPS, user_id, list(settings.groups))
            except asyncpg.IntegrityConstraintViolationError as error:
                raise _refusal(error, before.login) from error
            after = _user(await connection.fetchrow(_READ + " WHERE u.id = $1", user_id))
            if not after.enabled or after.role is not before.role:
                await connection.execute("DELETE FROM console.sessions WHERE user_id = $1", user_id)
            await write(connection, actor, Entry.of_change("user", before.login, before.settings, after.settings))
        return after

    async def set_password(
        self, user_id: UUID, password_hash: str, actor: Actor, *, must_change: bool, keep_session: bytes | None = None
    ) -> None:
        """All sessions of the user end, but for the one whose hash is given."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_SET_HASH, user_id, password_hash, must_change)
            await connection.execute(
                "DELETE FROM console.sessions WHERE user_id = $1 AND token_hash IS DISTINCT FROM $2",
                user_id,
                keep_session,
            )
            login = await connection.fetchval("SELECT login FROM console.users WHERE id = $1", user_id)
            if login is None:
                raise StoreError("this user is gone")
            await write(connection, actor, [Entry("password", "user", login, None, None)])

    async def keep_hash(self, user_id: UUID, password_hash: str) -> None:
        """The same password, hashed with better parameters."""
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE console.users SET password_hash = $2 WHERE id = $1", user_id, password_hash
            )


def _user(row: Any) -> User:
    columns = dict(row)
    return User(**columns | {"role": Role(columns["role"]), "groups": tuple(columns["groups"])})


def _refusal(error: asyncpg.IntegrityConstraintViolationError, login: str) -> UserRefused:
    constraint = getattr(error, "constraint_name", "") or ""
    match constraint:
        case "users_login_key":
            return UserRefused(f"there is a user {login} already", "login")
        case "users_login_check":
            return UserRefused("a login has a-z, 0-9 and . _ @ + -, at most 64 of them", "login")
        case "users_agent_id_key":
            return UserRefused("another user is this agent already", "agent_id")
        case "users_agent_id_fkey":
            return UserRefused("this agent is gone", "agent_id")
        case "user_groups_group_name_fkey":
            return UserRefused("one of these groups is gone", "groups")
    return UserRefused(str(error))


def sorted_groups(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(groups)))
