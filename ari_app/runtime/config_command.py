"""`asterisk-whatsapp config export|import|validate`."""

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ari_app.config import AriConfig, Config, ConfigError
from ari_app.media.files import write_whole
from ari_app.media.prompts import PromptError
from ari_app.runtime.config_prompts import FolderMaker
from ari_app.store.configuration import examine
from ari_app.store.configuration.changes import Change, Kind, Setting
from ari_app.store.configuration.database import ConfigurationError
from ari_app.store.configuration.faults import Fault, printable
from ari_app.store.configuration.prompts import check_catalogue
from ari_app.store.configuration.reading import Reading
from ari_app.store.configuration.transfer import Result, carry_in, export, prompt_names
from ari_app.store.console.audit import Actor
from ari_app.store.console.configuration import audited

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Nothing was changed: the file has errors, the database refuses, or cannot be reached.
REFUSED = 2

STANDARD = "-"

#: What an import changes is in the console's audit, too.
AUDITED = audited(Actor("asterisk-whatsapp config import"))
_SIGNS = {Kind.ADDED: ("+", "green"), Kind.CHANGED: ("~", "yellow"), Kind.REMOVED: ("-", "red")}


class _DatabaseConfig(Config):
    """The file of the application; no Asterisk is needed here."""

    ari: AriConfig | None = None  # type: ignore[assignment]


def add_to(commands: "Commands") -> None:
    config = commands.add_parser("config", help="numbers, agents, groups, menus, schedules and prompts as one file")
    verbs = config.add_subparsers(required=True, metavar="export|import|validate")

    out = verbs.add_parser("export", help="write the configuration to a YAML file")
    out.add_argument("file", nargs="?", default=STANDARD, help="where to; standard output if left out")
    _add_database(out, required=True)
    out.set_defaults(run=_export)

    into = verbs.add_parser("import", help="make the configuration what a YAML file says, all of it or nothing")
    into.add_argument("file", help="the file; - is standard input")
    into.add_argument("--dry-run", action="store_true", help="only show what would change")
    _add_database(into, required=True)
    into.set_defaults(run=_import)

    check = verbs.add_parser("validate", help="say what is wrong with a YAML file, and where")
    check.add_argument("file", help="the file; - is standard input")
    _add_database(check, required=False)
    check.set_defaults(run=_validate)


def _add_database(parser: argparse.ArgumentParser, *, required: bool) -> None:
    found = parser.add_mutually_exclusive_group(required=required)
    found.add_argument("--dsn", help="postgresql://user:password@host/database")
    found.add_argument("--config", type=Path, help="the application's TOML file, which has the database in [postgres]")


def _export(options: argparse.Namespace, console: Console) -> int:
    return _refusing(console, lambda: _do_export(options))


def _import(options: argparse.Namespace, console: Console) -> int:
    return _refusing(console, lambda: _do_import(options, console))


def _validate(options: argparse.Namespace, console: Console) -> int:
    return _refusing(console, lambda: _do_validate(options, console))


def _refusing(console: Console, work: Any) -> int:
    """Whatever stands in the way is told in a line for each reason."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and arrows, on a terminal that has none
    try:
        return int(work())
    except (ConfigurationError, ConfigError, PromptError) as error:
        for line in str(error).splitlines():
            console.print(Text(f"asterisk-whatsapp: {line}", "red"), soft_wrap=True)
    except OSError as error:
        console.print(Text(f"asterisk-whatsapp: {error.filename}: {error.strerror}", "red"), soft_wrap=True)
    return REFUSED


def _do_export(options: argparse.Namespace) -> int:
    text = asyncio.run(export(_database(options)[0]))
    if options.file == STANDARD:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return 0
    path = Path(options.file)
    if not path.parent.is_dir():
        raise ConfigurationError(f"{path.parent}: there is no such folder")
    write_whole(path, text.encode(), mode=0o644)
    Console(highlight=False).print(Text(f"Written: {path}"), soft_wrap=True)
    return 0


def _do_import(options: argparse.Namespace, console: Console) -> int:
    dsn, prompts_folder = _database(options)
    reading, faults = examine(_content(options.file))
    _show_faults(faults, options.file, console)
    if reading is None or any(not fault.is_warning for fault in faults):
        return REFUSED
    result = asyncio.run(_carry_in(dsn, reading, options, prompts_folder))
    if result.faults:
        _show_faults(result.faults, options.file, console)
        return REFUSED
    _show_changes(result.changes, dry_run=options.dry_run)
    return 0


async def _carry_in(dsn: str, reading: Reading, options: argparse.Namespace, prompts_folder: Path | None) -> Result:
    """A dry run makes its prompts too, and throws them away: only so is it known whether they can be made."""
    folder = Path() if options.file == STANDARD else Path(options.file).parent
    if prompts_folder is None:
        return await carry_in(dsn, reading, maker=None, folder=folder, dry_run=options.dry_run, then=AUDITED)
    if options.dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            maker = FolderMaker(Path(scratch))
            return await carry_in(dsn, reading, maker=maker, folder=folder, dry_run=True)
    maker = FolderMaker(prompts_folder)
    try:
        result = await carry_in(dsn, reading, maker=maker, folder=folder, then=AUDITED)
    except BaseException:
        await maker.give_up()
        raise
    if result.faults:
        await maker.give_up()
    else:
        await maker.clear(result.prompt_files, result.former_prompt_files)
    return result


def _do_validate(options: argparse.Namespace, console: Console) -> int:
    reading, faults = examine(_content(options.file))
    if reading is not None and (options.dsn or options.config):
        check_catalogue(reading, asyncio.run(prompt_names(_database(options)[0])))
        faults = sorted(set(reading.faults))
    _show_faults(faults, options.file, console)
    if any(not fault.is_warning for fault in faults):
        return REFUSED
    Console(highlight=False).print(Text(f"{options.file} is valid."), soft_wrap=True)
    return 0


def _database(options: argparse.Namespace) -> tuple[str, Path | None]:
    """The database's address, and the folder for prompts where it is known."""
    if options.dsn:
        return options.dsn, None
    config = _DatabaseConfig.load(options.config)
    return config.postgres.dsn.get_secret_value(), config.app.prompts_folder


def _content(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == STANDARD else Path(file).read_bytes()


def _show_faults(faults: Iterable[Fault], file: str, console: Console) -> None:
    for fault in faults:
        console.print(Text(fault.describe(file), "yellow" if fault.is_warning else "red"), soft_wrap=True)


def _show_changes(changes: list[Change], *, dry_run: bool) -> None:
    console = Console(highlight=False)
    for change in changes:
        sign, colour = _SIGNS[change.kind]
        console.print(Text(f"{sign} {change.sort} {printable(change.name)}", f"bold {colour}"), soft_wrap=True)
        for setting in change.settings:
            console.print(_line(change.kind, setting, colour), soft_wrap=True)
    if not changes:
        console.print("Nothing to change: the database has this configuration already.")
        return
    counts = ", ".join(f"{sum(change.kind is kind for change in changes)} {kind}" for kind in Kind)
    console.print(f"Dry run, nothing was changed: {counts}." if dry_run else f"Imported: {counts}.")


def _line(kind: Kind, setting: Setting, colour: str) -> Text:
    old, new = (printable(value) if value is not None else "none" for value in (setting.old, setting.new))
    values = {Kind.ADDED: new, Kind.REMOVED: old}.get(kind, f"{old} → {new}")
    return Text(f"    {printable(setting.name)}: {values}", colour if kind is not Kind.CHANGED else "")
