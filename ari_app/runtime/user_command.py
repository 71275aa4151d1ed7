"""`asterisk-whatsapp user`: who may sign in to the console. The first administrator is made here."""

import argparse
import asyncio
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ari_app.config import AriConfig, Config, ConfigError
from ari_app.console.passwords import Passwords, WeakPassword, check_strength, generated
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.console.audit import Actor
from ari_app.store.console.users import Role, User, UserRefused, UserSettings, UserStore, sorted_groups
from ari_app.store.database import Database, StoreError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

START_SECONDS = 5.0
ACTOR = Actor("asterisk-whatsapp user")


class _DatabaseConfig(Config):
    """The file of the application; no Asterisk is needed here."""

    ari: AriConfig | None = None  # type: ignore[assignment]


def add_to(commands: "Commands") -> None:
    user = commands.add_parser("user", help="users of the web console: add, list, passwd, disable, enable")
    actions = user.add_subparsers(required=True, metavar="action")

    add = actions.add_parser("add", help="add a user; the password is asked for, or made with --generate")
    add.add_argument("login")
    add.add_argument("--name", help="as people read it (default: the login)")
    add.add_argument("--role", choices=[role.value for role in Role], default=Role.ADMINISTRATOR.value)
    add.add_argument("--agent", metavar="ENDPOINT", help="which agent this is, such as PJSIP/1001")
    add.add_argument("--group", action="append", default=[], metavar="NAME", help="a supervisor's; may be repeated")
    _add_password(add)

    passwd = actions.add_parser("passwd", help="give a user a new password, and end their sessions")
    passwd.add_argument("login")
    _add_password(passwd)

    actions.add_parser("list", help="show all users")
    for name, text in (("disable", "let a user sign in no longer"), ("enable", "let a disabled user sign in again")):
        actions.add_parser(name, help=text).add_argument("login")
    for name, action in actions.choices.items():
        action.add_argument(
            "--config", required=True, type=Path, metavar="FILE", help="the application's configuration"
        )
        action.set_defaults(run=run, action=name)


def _add_password(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--generate", action="store_true", help="make one, print it, and have it changed at sign-in")
    way.add_argument("--password-stdin", action="store_true", help="read it from the first line of standard input")


def run(options: argparse.Namespace, console: Console) -> int:
    try:
        asyncio.run(_run(options, console))
    except (ConfigError, StoreError, UserRefused, WeakPassword) as error:
        raise UnavailableError(str(error)) from error
    return 0


async def _run(options: argparse.Namespace, console: Console) -> None:
    config = _DatabaseConfig.load(options.config)
    async with Database(config.postgres.dsn.get_secret_value(), start_timeout=START_SECONDS) as database:
        store = UserStore(database)
        match options.action:
            case "list":
                _show(await store.all())
            case "add":
                await _add(options, console, database, store)
            case "passwd":
                user = await _found(store, options.login)
                password = _password(options, user.login)
                hashed = await Passwords().hash(password)
                await store.set_password(user.id, hashed, ACTOR, must_change=options.generate)
                _tell(options, console, f"{user.login} has a new password", password)
            case _:
                user = await _found(store, options.login)
                enabled = options.action == "enable"
                settings = UserSettings(user.name, user.role, user.agent_id, user.groups, enabled)
                await store.change(user.id, settings, ACTOR)
                console.print(f"{user.login} is {options.action}d.", markup=False)


async def _add(options: argparse.Namespace, console: Console, database: Database, store: UserStore) -> None:
    login, role = options.login.lower(), Role(options.role)
    agent_id = None
    if options.agent is not None:
        async with database.connection() as connection:
            agent_id = await connection.fetchval("SELECT id FROM pbx.agents WHERE endpoint = $1", options.agent)
        if agent_id is None:
            raise UserRefused(f"there is no agent {options.agent}")
    if role is Role.AGENT and agent_id is None:
        raise UserRefused("an agent's user needs --agent")
    password = _password(options, login)
    settings = UserSettings(options.name or login, role, agent_id, sorted_groups(options.group))
    await store.add(login, settings, await Passwords().hash(password), ACTOR, must_change=options.generate)
    _tell(options, console, f"{login} is added as {role}", password)


def _password(options: argparse.Namespace, login: str) -> str:
    """Raises WeakPassword."""
    if options.generate:
        return generated()
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise UserRefused("the two are not the same; nothing was changed")
    try:
        check_strength(password, login)
    except WeakPassword as error:
        raise WeakPassword(f"this password will not do; choose {error}") from error
    return password


def _tell(options: argparse.Namespace, console: Console, what: str, password: str) -> None:
    """A generated password goes to standard output, alone, for scripts."""
    console.print(f"{what}." if not options.generate else f"{what}, with this password:", markup=False)
    if options.generate:
        Console(highlight=False).print(password, markup=False)


async def _found(store: UserStore, login: str) -> User:
    user = await store.find_login(login.lower())
    if user is None:
        raise UserRefused(f"there is no user {login}; `asterisk-whatsapp user list` shows them")
    return user


def _show(users: list[User]) -> None:
    table = Table("login", "name", "role", "agent or groups", "state", "last sign-in")
    for user in users:
        state = "enabled" if user.enabled else "disabled"
        last = f"{user.signed_in_at:%Y-%m-%d %H:%M}" if user.signed_in_at else "never"
        table.add_row(user.login, user.name, user.role, user.agent_name or ", ".join(user.groups), state, last)
    print_table(table)
