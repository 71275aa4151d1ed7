"""`asterisk-whatsapp voicemail`: messages that callers left."""

import argparse
import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ari_app.ari import AriClient, AriError
from ari_app.config import Config, ConfigError
from ari_app.flows.message_waiting import MessageWaiting
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.database import Database, StoreError
from ari_app.store.voicemails import Voicemail, VoicemailStore

START_SECONDS = 5.0

#: Under this name we meet Asterisk; that of the application would take its events away.
COMMAND_APP = "asterisk-whatsapp-command"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    voicemail = commands.add_parser("voicemail", help="messages that callers left: list, play, mark as heard, delete")
    voicemail.add_argument("--config", required=True, type=Path, metavar="FILE", help="the application's configuration")
    actions = voicemail.add_subparsers(required=True, metavar="action")
    shown = actions.add_parser("list", help="show messages, oldest first")
    shown.add_argument("--new", action="store_true", help="only those that nobody has heard")
    actions.add_parser("play-path", help="print where the sound file of a message is")
    actions.add_parser("mark-heard", help="the message has been heard; phones no longer show it as new")
    actions.add_parser("delete", help="delete a message and its file")
    for name, action in actions.choices.items():
        if name != "list":
            action.add_argument("id", help="the message's id, or as much of its beginning as is unique")
        action.set_defaults(run=run, action=name)


def run(options: argparse.Namespace, console: Console) -> int:
    try:
        asyncio.run(_run(options, console))
    except (ConfigError, StoreError, OSError) as error:
        raise UnavailableError(str(error)) from error
    return 0


async def _run(options: argparse.Namespace, console: Console) -> None:
    config = Config.load(options.config)
    async with Database(config.postgres.dsn.get_secret_value(), start_timeout=START_SECONDS) as database:
        store = VoicemailStore(database)
        if options.action == "list":
            _show(await store.all(unheard=options.new))
            return
        message = await _find(store, options.id)
        match options.action:
            case "play-path":
                Console(highlight=False, markup=False, soft_wrap=True).print(message.file)
                return
            case "mark-heard":
                await store.mark_heard(message.id)
            case _:
                await store.delete(message.id)
                await asyncio.to_thread(Path(message.file).unlink, missing_ok=True)
        await _tell_phones(config, store, message, console)


async def _find(store: VoicemailStore, beginning: str) -> Voicemail:
    match await store.find(beginning):
        case [message]:
            return message
        case []:
            raise UnavailableError(f"There is no message {beginning}.")
        case _:
            raise UnavailableError(f"Several messages begin with {beginning}.")


async def _tell_phones(config: Config, store: VoicemailStore, message: Voicemail, console: Console) -> None:
    """The counts of the message's mailbox. What is done is done, even if no phone can be told."""
    mailbox = message.group and await store.mailbox(message.group)
    if not mailbox:
        return
    counts = (await store.counts())[mailbox]
    password = config.ari.password.get_secret_value()
    try:
        async with AriClient(
            config.ari.url, config.ari.username, password, COMMAND_APP, start_timeout=START_SECONDS
        ) as ari:
            await MessageWaiting(ari).tell(mailbox, counts)
    except AriError as error:
        console.print(f"Phones are not told of it: {error}", style="yellow", markup=False, soft_wrap=True)


def _show(messages: list[Voicemail]) -> None:
    table = Table("id", "left at", "from", "to", "seconds", "heard")
    for message in messages:
        table.add_row(
            str(message.id),
            f"{message.created_at.astimezone():%Y-%m-%d %H:%M}",
            " ".join(part for part in (message.caller_name, message.caller_number) if part),
            message.number + (f" ({message.group})" if message.group else ""),
            f"{message.seconds:.0f}",
            f"{message.heard_at.astimezone():%Y-%m-%d %H:%M}" if message.heard_at else "",
        )
    print_table(table)
