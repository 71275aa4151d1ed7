"""Passwords: hashed as they should be, and judged without a hint."""

from typing import Literal

import pytest
from argon2 import PasswordHasher

from ari_app.console.passwords import Passwords, WeakPassword, check_strength, generated


class Counting(PasswordHasher):
    verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the base class has it so
        self.verified += 1
        return super().verify(hash, password)


async def test_passwords_are_hashed_with_argon2id_and_a_salt() -> None:
    passwords = Passwords()
    one, other = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert one.startswith("$argon2id$")
    assert one != other
    assert await passwords.verify(one, "correct horse")
    assert not await passwords.verify(one, "correct horsf")
    assert not passwords.is_outdated(one)


async def test_nobody_is_verified_like_somebody() -> None:
    hasher = Counting(time_cost=1, memory_cost=1024)
    passwords = Passwords(hasher)
    assert not await passwords.verify(None, "anything")
    assert hasher.verified == 1
    assert not await passwords.verify("not a hash", "anything")


def test_weak_passwords_are_refused_in_words() -> None:
    for weak in ("short", "a" * 20, "x" * 300, "ada" * 8):
        with pytest.raises(WeakPassword, match=r"at least|at most|harder"):
            check_strength(weak, "ada")
    check_strength("correct horse battery", "ada")


def test_generated_passwords_are_strong_and_differ() -> None:
    made = {generated() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        check_strength(password, "admin")
