"""`asterisk-whatsapp records export|reconcile|refresh|grant`: call records for people and programs outside."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo, available_timezones

from rich.console import Console
from rich.table import Table

from ari_app.config import Config
from ari_app.runtime.database_option import add_config, with_database
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.database import Database
from ari_app.store.reconciliation import LIMIT, reconcile
from ari_app.store.record_export import export_reconciliation, export_records
from ari_app.store.record_filters import CHANNEL_TYPES, DIRECTIONS, STATUSES, Filters
from ari_app.store.record_readers import grant
from ari_app.store.record_upkeep import RecordUpkeep

#: Without --from, findings of so many days are looked for.
DAYS = 7

#: Exit status of `reconcile` when something does not fit.
FOUND = 3

#: Calls of which records are made at once when nobody waits.
LARGE_BATCH = 2000

STANDARD_OUTPUT = "-"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    records = commands.add_parser("records", help="call records: export as CSV, reconcile, refresh, grant to a reader")
    add_config(records)
    actions = records.add_subparsers(required=True, metavar="export|reconcile|refresh|grant")

    export = actions.add_parser("export", help="write records as CSV, the oldest first")
    _add_range(export)
    export.add_argument("--csv", required=True, metavar="FILE", help="where to; - is standard output")
    export.add_argument("--channel-type", choices=CHANNEL_TYPES)
    export.add_argument("--direction", choices=DIRECTIONS)
    export.add_argument("--status", choices=STATUSES, action="append", default=[], help="may be given several times")
    export.add_argument("--number", action="append", default=[], help="business number; may be given several times")
    export.add_argument("--group", action="append", default=[], help="may be given several times")
    export.set_defaults(run=_export)

    findings = actions.add_parser(
        "reconcile",
        help=f"calls of which Meta, Asterisk and we do not say the same (exit status {FOUND})",
    )
    _add_range(findings)
    findings.add_argument("--csv", metavar="FILE", help="write all of them as CSV; - is standard output")
    findings.set_defaults(run=_reconcile)

    refresh = actions.add_parser("refresh", help="make records of CDRs that were loaded from elsewhere")
    refresh.set_defaults(run=_refresh)

    reader = actions.add_parser("grant", help="let a PostgreSQL role read all reports, and nothing else")
    reader.add_argument("role")
    reader.add_argument("--create", action="store_true", help="make the role, and print its password")
    reader.set_defaults(run=_grant)


def _add_range(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", metavar="TIME", help="such as 2026-11-01 or 2026-11-01T08:00; included")
    parser.add_argument("--to", dest="until", metavar="TIME", help="likewise; not included")
    parser.add_argument("--zone", default="UTC", type=_zone, help="time zone of all times, such as Europe/Berlin (UTC)")


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise argparse.ArgumentTypeError(f"there is no time zone {text!r}; write one such as Europe/Berlin")
    return text


def _export(options: argparse.Namespace, console: Console) -> int:
    filters = Filters(
        since=_moment(options.since, options.zone),
        until=_moment(options.until, options.zone),
        channel_type=options.channel_type,
        direction=options.direction,
        statuses=options.status,
        numbers=options.number,
        groups=options.group,
    )

    async def work(database: Database, _: Config) -> int:
        count = await _to_file(options.csv, lambda write: export_records(database, filters, write, zone=options.zone))
        console.print(f"{count} records.", markup=False)
        return 0

    return with_database(options, work)


def _reconcile(options: argparse.Namespace, console: Console) -> int:
    until = _moment(options.until, options.zone) or datetime.now(UTC)
    since = _moment(options.since, options.zone) or until - timedelta(days=DAYS)

    async def work(database: Database, _: Config) -> int:
        if options.csv:
            filters = Filters(since=since, until=until)
            count = await _to_file(
                options.csv, lambda write: export_reconciliation(database, filters, write, zone=options.zone)
            )
        else:
            found = await reconcile(database, since, until)
            table = Table("began (UTC)", "what", "call", "here", "at Meta", "why")
            for one in found:
                table.add_row(
                    f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                    one.kind,
                    one.linkedid or one.meta_call_id or "",
                    "" if one.seconds_here is None else f"{one.seconds_here} s",
                    "" if one.seconds_at_meta is None else f"{one.seconds_at_meta} s",
                    one.why,
                )
            if found:
                print_table(table)
            count = len(found)
        more = " or more; --csv has them all" if count == LIMIT and not options.csv else ""
        span = f"from {since.astimezone(UTC):%Y-%m-%d %H:%M} to {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        console.print(f"{count}{more} calls that do not fit, {span}." if count else f"All fits, {span}.", markup=False)
        return FOUND if count else 0

    return with_database(options, work)


def _refresh(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, _: Config) -> int:
        upkeep = RecordUpkeep(database)
        marked = await upkeep.mark_missing(None)
        made = 0
        while count := await upkeep.refresh(LARGE_BATCH):
            made += count
        console.print(f"{marked} calls had no record; {made} were looked through.", markup=False)
        return 0

    return with_database(options, work)


def _grant(options: argparse.Namespace, _: Console) -> int:
    password = secrets.token_urlsafe(18) if options.create else None

    async def work(database: Database, _: Config) -> int:
        await grant(database, options.role, password)
        out = Console(highlight=False, markup=False, soft_wrap=True)
        out.print(f"{options.role} may read all of schema reports, and cdr.cdr.")
        if password is not None:
            out.print(f"Its password: {password}")
        return 0

    return with_database(options, work)


def _moment(text: str | None, zone: str) -> datetime | None:
    """Raises UnavailableError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnavailableError(f"{text[:40]!r} is no time; write one such as 2026-11-01 or 2026-11-01T08:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone))


async def _to_file(name: str, work: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[int]]) -> int:
    """A file that cannot be finished is no file."""
    if name == STANDARD_OUTPUT:
        return await work(_writer(sys.stdout.buffer))
    path = Path(name)
    beside = path.with_name(path.name + ".part")
    try:
        with await asyncio.to_thread(beside.open, "wb") as file:
            count = await work(_writer(file))
        await asyncio.to_thread(beside.replace, path)
    finally:
        await asyncio.to_thread(beside.unlink, missing_ok=True)
    return count


def _writer(file: BinaryIO) -> Callable[[bytes], Awaitable[None]]:
    async def write(data: bytes) -> None:
        await asyncio.to_thread(file.write, data)

    return write
