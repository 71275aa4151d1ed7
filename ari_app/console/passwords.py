"""Passwords: argon2id, judged beside the event loop, a few at a time."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

SHORTEST, LONGEST = 12, 256

#: Each takes 64 MiB and some 50 ms of a core (RFC 9106, second recommended option).
AT_ONCE = 2


class WeakPassword(Exception):
    """The message says what is wanted."""


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE)
        # Who does not exist takes as long as who does.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether the password is the one of this hash; never for None, in the same time."""
        async with self._turn:
            right = await asyncio.to_thread(self._verify, known or self._nobody, password)
        return right and known is not None

    def is_outdated(self, known: str) -> bool:
        """Hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(known)

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password[:LONGEST])
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False


def check_strength(password: str, login: str) -> None:
    """Raises WeakPassword. Length is what counts (NIST SP 800-63B, 5.1.1)."""
    if len(password) < SHORTEST:
        raise WeakPassword(f"at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise WeakPassword(f"at most {LONGEST} characters")
    if len(set(password)) < 5 or password.lower() in (login * 8, f"{login}{login[::-1]}"):
        raise WeakPassword("something that is harder to guess")


def generated() -> str:
    """A password for a person to type once: 20 characters, no look-alikes; 99 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
    return "-".join(groups)
