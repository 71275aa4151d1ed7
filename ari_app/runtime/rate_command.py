"""`asterisk-whatsapp rate list|set|import`: what outbound calls cost."""

import argparse
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ari_app.calls.rates import EVERYWHERE, UNIT, Rate, shown
from ari_app.config import Config
from ari_app.runtime.database_option import add_config, with_database
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.console.audit import Actor, AuditStore, Entry
from ari_app.store.database import Database

MOST_RATES = 100_000
HIGHEST_PRICE = Decimal(100_000)
COLUMNS = ("number", "destination", "price_per_minute")
OPTIONAL_COLUMNS = ("first_pulse_seconds", "next_pulse_seconds", "currency", "valid_from")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    rate = commands.add_parser("rate", help="prices of outbound calls: list, set, import")
    add_config(rate)
    actions = rate.add_subparsers(required=True, metavar="list|set|import")

    listed = actions.add_parser("list", help="show rates")
    listed.add_argument("--number", help="of this business number only", type=_number)
    listed.set_defaults(run=_list)

    one = actions.add_parser("set", help="set the rate of one destination; this is the number's quotation")
    one.add_argument("--number", required=True, type=_number, help="the business number that calls")
    one.add_argument(
        "--to", default=EVERYWHERE, type=_destination, help="DE, or digits such as 4915, or * (everywhere, the default)"
    )
    one.add_argument("--price", required=True, type=_price, help="of a minute, such as 0.0103")
    one.add_argument("--first", type=_pulse, default=6, metavar="SECONDS", help="first pulse (6)")
    one.add_argument("--next", type=_pulse, default=6, metavar="SECONDS", help="each further pulse (6)")
    one.add_argument("--currency", type=_currency, help="that of the balance if left out")
    one.add_argument("--from", type=_day, dest="valid_from", metavar="DAY", help="valid from 2026-12-01 (UTC) on; now")
    one.set_defaults(run=_set)

    many = actions.add_parser("import", help="set rates from a CSV file, all of them or none")
    many.add_argument(
        "file", type=Path, help=f"with a header: {', '.join(COLUMNS)}; optional: {', '.join(OPTIONAL_COLUMNS)}"
    )
    many.set_defaults(run=_import)


def _list(options: argparse.Namespace, _: Console) -> int:
    async def work(database: Database, __: Config) -> int:
        table = Table("number", "destination", "price per minute", "pulses", "valid from (UTC)")
        for item in await BillingStore(database).rates(options.number):
            rate = item.rate
            table.add_row(
                item.number,
                rate.destination,
                f"{rate.price_per_minute.normalize():f} {rate.currency}",
                f"{rate.first_pulse_seconds}+{rate.next_pulse_seconds} s",
                f"{rate.valid_from.astimezone(UTC):%Y-%m-%d %H:%M}",
            )
        print_table(table)
        return 0

    return with_database(options, work)


def _set(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, _: Config) -> int:
        store = BillingStore(database)
        rate = Rate(
            options.to,
            options.price,
            options.currency or (await store.state()).currency,
            options.valid_from or datetime.now(UTC),
            options.first,
            options.next,
        )
        await store.set_rates([Quoted(options.number, rate)])
        after = {
            "destination": rate.destination,
            "price per minute": shown(rate.price_per_minute, rate.currency),
            "pulses": [rate.first_pulse_seconds, rate.next_pulse_seconds],
            "valid from": rate.valid_from,
        }
        actor = Actor("asterisk-whatsapp rate set")
        await AuditStore(database).add(actor, Entry("added", "rate", options.number, None, after))
        console.print(
            f"Calls of {options.number} to {rate.destination}: {rate.price_per_minute} {rate.currency} a minute."
        )
        return 0

    return with_database(options, work)


def _import(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, _: Config) -> int:
        store = BillingStore(database)
        quoted = list(read_rates(options.file, (await store.state()).currency, datetime.now(UTC)))
        await store.set_rates(quoted)
        counts = Counter(item.number for item in quoted)
        entries = [Entry("added", "rate", number, None, {"rates": count}) for number, count in counts.items()]
        await AuditStore(database).add(Actor("asterisk-whatsapp rate import"), *entries)
        console.print(f"{len(quoted)} rates imported.")
        return 0

    return with_database(options, work)


def read_rates(path: Path, currency: str, valid_from: datetime) -> Iterator[Quoted]:
    """The rates of a CSV file; `currency` and `valid_from` are for lines that name none.

    Raises UnavailableError with file and line.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            reader = csv.DictReader(file, strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            if lacking := [name for name in COLUMNS if name not in names]:
                raise ValueError(f"the header lacks {', '.join(lacking)}")
            if unknown := [name for name in names if name not in (*COLUMNS, *OPTIONAL_COLUMNS)]:
                raise ValueError(f"the header has {', '.join(unknown)}, which nobody knows")
            reader.fieldnames = names
            for count, line in enumerate(reader, 1):
                if count > MOST_RATES:
                    raise ValueError(f"more than {MOST_RATES} rates")
                yield _quoted(line, currency, valid_from)
        except (ValueError, argparse.ArgumentTypeError, csv.Error) as error:
            raise UnavailableError(f"{path}:{max(1, reader.line_num)}: {error}") from error


def _quoted(line: Mapping[str, str | None], currency: str, valid_from: datetime) -> Quoted:
    if None in line or None in line.values():
        raise ValueError("this line has not as many fields as the header")
    fields = {name: (text or "").strip() for name, text in line.items()}
    rate = Rate(
        _destination(fields["destination"]),
        _price(fields["price_per_minute"]),
        _currency(fields.get("currency") or currency),
        _day(fields["valid_from"]) if fields.get("valid_from") else valid_from,
        _pulse(fields.get("first_pulse_seconds") or "6"),
        _pulse(fields.get("next_pulse_seconds") or "6"),
    )
    return Quoted(_number(fields["number"]), rate)


def _matching(pattern: str, text: str, meaning: str) -> str:
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {meaning}")
    return text


def _number(text: str) -> str:
    return _matching("[0-9]{1,15}", text.removeprefix("+"), "a number: 1 to 15 digits")


def _destination(text: str) -> str:
    return _matching(
        r"[A-Z]{2}|[0-9]{1,15}|\*", text.removeprefix("+"), "a country (DE), the beginning of numbers, or *"
    )


def _currency(text: str) -> str:
    return _matching("[A-Z]{3}", text, "a currency such as USD")


def _pulse(text: str) -> int:
    if not 1 <= int(_matching("[0-9]{1,3}", text, "a number of seconds")) <= 600:
        raise argparse.ArgumentTypeError(f"{text} s is not between 1 and 600")
    return int(text)


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a price such as 0.0103") from None
    if not price.is_finite() or not 0 <= price < HIGHEST_PRICE or price != price.quantize(UNIT):
        raise argparse.ArgumentTypeError(
            f"{text[:40]} is not a price from 0 to {HIGHEST_PRICE}, with 6 decimals at most"
        )
    return price


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no day; write 2026-12-01") from None
