"""The first administrator of a stack's console."""

from dataclasses import dataclass, field

from ari_app.console.passwords import Passwords, generated
from ari_app.store.console.audit import Actor
from ari_app.store.console.users import Role, UserSettings, UserStore
from ari_app.store.database import Database


@dataclass(frozen=True)
class ConsoleLogin:
    login: str = "admin"
    password: str = field(default_factory=generated, repr=False)


async def add_administrator(dsn: str, login: ConsoleLogin) -> None:
    """Raises StoreError."""
    async with Database(dsn) as database:
        hashed = await Passwords().hash(login.password)
        settings = UserSettings("Administrator", Role.ADMINISTRATOR)
        await UserStore(database).add(login.login, settings, hashed, Actor("asterisk-whatsapp up"), must_change=False)
