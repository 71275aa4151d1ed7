"""`asterisk-whatsapp balance show|top-up|correct|ledger|configure`: the money for outbound calls."""

import argparse
from datetime import UTC
from decimal import Decimal, InvalidOperation

from rich.console import Console
from rich.table import Table

from ari_app.calls.rates import UNIT, shown
from ari_app.config import Config
from ari_app.runtime.database_option import add_config, with_database
from ari_app.runtime.tables import print_table
from ari_app.store.billing import BillingStore
from ari_app.store.console.audit import Actor, AuditStore, Entry
from ari_app.store.database import Database

#: Who it is for the ledger.
BY_COMMAND = "command"
HIGHEST = Decimal(10) ** 11


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    balance = commands.add_parser("balance", help="money for outbound calls: show, top up, correct, ledger, configure")
    add_config(balance)
    actions = balance.add_subparsers(required=True, metavar="show|top-up|correct|ledger|configure")
    actions.add_parser("show", help="what there is, and what running calls hold").set_defaults(run=_show)
    for name, words in (("top-up", "add money"), ("correct", "add money, or take it away (-- -5)")):
        action = actions.add_parser(name, help=words)
        action.add_argument("amount", type=_amount, help="in the balance's currency, such as 50 or 12.50")
        action.add_argument("--note", help="for the ledger", type=_note)
        action.set_defaults(run=_book, kind=name)
    ledger = actions.add_parser("ledger", help="show entries, the newest last")
    ledger.add_argument("--last", type=int, default=50, metavar="N", help="how many (50)")
    ledger.set_defaults(run=_ledger)
    settings = actions.add_parser("configure", help="whether calls cost money, and what happens when it runs out")
    settings.add_argument("--enabled", type=_flag, metavar="yes|no", help="calls need rates and a balance")
    settings.add_argument("--currency", help="such as USD; only while the balance is 0")
    settings.add_argument(
        "--reserve-seconds", type=int, metavar="N", help="money for so much talking is held when a call goes out"
    )
    settings.add_argument("--end-calls", type=_flag, metavar="yes|no", help="end a call when the money runs out")
    settings.add_argument("--warn-seconds", type=int, metavar="N", help="a tone so long before that; 0: none")
    settings.set_defaults(run=_configure)


def _show(options: argparse.Namespace, _: Console) -> int:
    async def work(database: Database, __: Config) -> int:
        state = await BillingStore(database).state()
        table = Table("billing", "balance", "held by running calls", "free")
        table.add_row(
            "on" if state.enabled else "off",
            shown(state.balance, state.currency),
            shown(state.held, state.currency),
            shown(state.free, state.currency),
        )
        print_table(table)
        return 0

    return with_database(options, work)


def _book(options: argparse.Namespace, _: Console) -> int:
    async def work(database: Database, __: Config) -> int:
        store = BillingStore(database)
        book = store.top_up if options.kind == "top-up" else store.correct
        balance = await book(options.amount, BY_COMMAND, options.note)
        Console(highlight=False).print(f"The balance is {shown(balance, (await store.state()).currency)}.")
        return 0

    return with_database(options, work)


def _ledger(options: argparse.Namespace, _: Console) -> int:
    async def work(database: Database, __: Config) -> int:
        table = Table("entry", "at (UTC)", "what", "amount", "held", "balance", "call", "by", "note")
        for entry in await BillingStore(database).ledger(options.last):
            table.add_row(
                str(entry.entry),
                f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                entry.kind,
                shown(entry.amount, entry.currency) if entry.amount else "",
                shown(entry.held, entry.currency) if entry.held else "",
                shown(entry.balance_after, entry.currency),
                str(entry.call_id or ""),
                entry.made_by,
                entry.note or "",
            )
        print_table(table)
        return 0

    return with_database(options, work)


def _configure(options: argparse.Namespace, console: Console) -> int:
    names = ("enabled", "currency", "reserve_seconds", "end_calls", "warn_seconds")
    settings = {name: value for name in names if (value := getattr(options, name)) is not None}

    async def work(database: Database, _: Config) -> int:
        store = BillingStore(database)
        before = await store.state()
        if settings:
            await store.configure(**settings)
        state = await store.state()
        old, new = ({name: getattr(side, name) for name in settings} for side in (before, state))
        changes = Entry.of_change("billing", "outbound calls", old, new)
        await AuditStore(database).add(Actor("asterisk-whatsapp balance configure"), *changes)
        table = Table(*names)
        table.add_row(*(str(getattr(state, name)) for name in names))
        print_table(table)
        return 0

    return with_database(options, work)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not an amount such as 12.50") from None
    if not amount.is_finite() or abs(amount) >= HIGHEST or amount != amount.quantize(UNIT):
        raise argparse.ArgumentTypeError(f"{text[:40]} has more than 6 decimals, or is too large")
    return amount


def _note(text: str) -> str:
    if len(text) > 500 or not text.isprintable():
        raise argparse.ArgumentTypeError("a note is one line of at most 500 characters")
    return text


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError("yes or no")
    return text == "yes"
