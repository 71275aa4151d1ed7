"""Roles of PostgreSQL that may read reports, and nothing else."""

import base64
import hashlib
import hmac
import secrets

import asyncpg

from ari_app.store.database import Database, StoreError, StoreUnavailable

#: Rounds of PBKDF2 that PostgreSQL uses itself (scram_iterations).
ROUNDS = 4096


class NoSuchRole(StoreError):
    """There is no role of this name."""


class MayNotCreateRoles(StoreError):
    """The application's own role may not make others; PostgreSQL's administrator may."""


async def grant(database: Database, role: str, password: str | None = None) -> None:
    """Let `role` read every view of schema reports, and cdr.cdr; with a password, make the role first.

    Raises StoreError, NoSuchRole, MayNotCreateRoles.
    """
    try:
        async with database.connection() as connection, connection.transaction():
            if password is not None:
                create = await connection.fetchval(
                    "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", role, verifier(password)
                )
                await connection.execute(create)
            await connection.execute("SELECT reports.grant_to($1)", role)
    except StoreUnavailable:
        raise
    except StoreError as error:
        match error.__cause__:
            case asyncpg.UndefinedObjectError():
                raise NoSuchRole(f"there is no role {role}: give --create to make it") from error
            case asyncpg.InsufficientPrivilegeError():
                raise MayNotCreateRoles(
                    f"{error}. Let PostgreSQL's administrator do: CREATE ROLE {role} LOGIN PASSWORD '…'; "
                    "then the same without --create"
                ) from error
        raise


def verifier(password: str) -> str:
    """What PostgreSQL keeps of an ASCII password (SCRAM-SHA-256, RFC 5803 and 7677): the password itself may end up in
    its log.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ROUNDS}:{salt_text}${stored_text}:{server_text}"
