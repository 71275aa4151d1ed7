"""`asterisk-whatsapp settings show|reconcile`: what Meta has of each number, beside what is wanted."""

import argparse
import asyncio
import re
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from ari_app.config import Config
from ari_app.runtime.database_option import add_config, with_database
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.database import Database
from ari_app.store.listening import listen
from ari_app.store.number_settings import NumberSettingsStore, SettingsState

#: How long the bridge has for it, s; Meta answers in less than one.
WAIT_SECONDS = 30.0
#: Where the bridge tells what it has done.
FACTS = "whatsapp_facts"

#: Settings in the words of the configuration file.
_NAMES = {
    "status": "calling_enabled",
    "call_icon_visibility": "call_icon",
    "call_hours": "schedule",
    "callback_permission_status": "callback_permission",
}
_WORDS = {"ENABLED": "on", "DISABLED": "off", "DEFAULT": "shown", "DISABLE_ALL": "hidden", "NOT_SET": "never set"}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    settings = commands.add_parser("settings", help="settings of WhatsApp numbers at Meta: show, reconcile")
    add_config(settings)
    actions = settings.add_subparsers(required=True, metavar="show|reconcile")

    shown = actions.add_parser("show", help="what is wanted, what Meta has, what was changed elsewhere, what failed")
    shown.add_argument("--number", type=_number, help="this number only")
    shown.set_defaults(run=_show)

    now = actions.add_parser("reconcile", help="let the bridge bring Meta in line now, and show the outcome")
    now.add_argument("--number", type=_number, help="this number only")
    now.set_defaults(run=_reconcile)


def _show(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, _: Config) -> int:
        return _print(await _states(NumberSettingsStore(database), options.number), console)

    return with_database(options, work)


def _reconcile(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, config: Config) -> int:
        store, told = NumberSettingsStore(database), asyncio.Event()
        await _states(store, options.number)
        await store.want_reconciliation(options.number)
        dsn = config.postgres.dsn.get_secret_value()
        listener = asyncio.create_task(listen(dsn, [FACTS], lambda *_: told.set(), told.set))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while await store.pending(options.number):
                    await told.wait()
                    told.clear()
        except TimeoutError:
            numbers = ", ".join(await store.pending(options.number))
            raise UnavailableError(
                f"the bridge has not asked Meta about {numbers} within {WAIT_SECONDS:g} s; is it running?"
            ) from None
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        return _print(await _states(store, options.number), console)

    return with_database(options, work)


async def _states(store: NumberSettingsStore, number: str | None) -> list[SettingsState]:
    states = await store.states(number)
    if not states:
        raise UnavailableError(f"{number} is no WhatsApp number here" if number else "there are no WhatsApp numbers")
    return states


def _print(states: list[SettingsState], console: Console) -> int:
    """1 if a number is not as it should be because something failed."""
    table = Table("number", "setting", "wanted", "at Meta", "seen (UTC)")
    for state in states:
        for field, name in _NAMES.items():
            wanted = "no route" if state.wanted is None else in_words(state.wanted.get(field))
            seen = "not asked yet" if state.observed is None else in_words(state.observed.get(field))
            drifted = any(each["field"] == field for each in state.drift)
            table.add_row(state.number, name, wanted, f"{seen}  (drift)" if drifted else seen, _time(state.observed_at))
    print_table(table)
    for state in states:
        for line in remarks(state):
            console.print(f"{state.number}: {line}", markup=False, soft_wrap=True)
    return int(any(state.error_text for state in states))


def remarks(state: SettingsState) -> list[str]:
    """What people have to know of a number beside its settings."""
    lines = []
    if state.error_text:
        code = f"{state.error_code} " if state.error_code else ""
        again = f"; tried again at {_time(state.retry_at)} UTC" if state.retry_at else ""
        lines.append(f"failed: {code}{state.error_text}{again}")
    if state.drift:
        lines.append("changed elsewhere; on_drift: show leaves it so, reapply and adopt do away with it")
    for each in state.restrictions:
        ends = f" until {each['expires_at'][:16].replace('T', ' ')}" if each.get("expires_at") else ""
        lines.append(f"restricted by Meta{ends}: {each['type']} {each.get('reason') or ''}".rstrip())
    for each in state.notices:
        text = f"Meta warns, {each['at'][:16].replace('T', ' ')} UTC: {each['type']} {each.get('text') or ''}"
        lines.append(text.rstrip())
    if state.button_hidden_at is not None:
        lines.append("Meta has hidden the call button; it is shown again by hand in WhatsApp Manager")
    return lines


def in_words(value: Any) -> str:
    """A setting of Meta's, for people."""
    if isinstance(value, dict):
        if value.get("status") != "ENABLED":
            return in_words(value.get("status"))
        days = len({each["day_of_week"] for each in value.get("weekly_operating_hours") or []})
        holidays = len(value.get("holiday_schedule") or [])
        return f"{value.get('timezone_id')}, {days} days a week, {holidays} holidays"
    return "never set" if value is None else _WORDS.get(value, str(value))


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _number(text: str) -> str:
    digits = text.removeprefix("+")
    if not re.fullmatch("[0-9]{1,15}", digits):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number: 1 to 15 digits")
    return digits
