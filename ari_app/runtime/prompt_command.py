"""`asterisk-whatsapp prompt`: prompts of our own."""

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ari_app.config import Config, ConfigError
from ari_app.media.prompts import PromptError, PromptFolder, PromptLibrary
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.tables import print_table
from ari_app.store.console.audit import Actor, AuditStore, Entry
from ari_app.store.database import Database, StoreError
from ari_app.store.prompts import Prompt, PromptStore

START_SECONDS = 5.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    prompt = commands.add_parser("prompt", help="prompts of your own: add, speak, list, remove")
    prompt.add_argument("--config", required=True, type=Path, metavar="FILE", help="the application's configuration")
    actions = prompt.add_subparsers(required=True, metavar="action")

    add = actions.add_parser("add", help="make a prompt of a WAV, MP3, OGG or M4A file")
    add.add_argument("name", help="a to z, 0 to 9, - and _; a prompt of this name is replaced")
    add.add_argument("file", type=Path, help="the file; - is standard input")

    speak = actions.add_parser("speak", help="make a prompt of a text, with espeak-ng")
    speak.add_argument("name")
    speak.add_argument("text", help="- is standard input")
    speak.add_argument("--voice", default="en", help="one of `espeak-ng --voices` (default: %(default)s)")

    actions.add_parser("list", help="show all prompts")

    remove = actions.add_parser("remove", help="remove a prompt that is not in use")
    remove.add_argument("name")
    for name, action in actions.choices.items():
        action.set_defaults(run=run, action=name)


def run(options: argparse.Namespace, console: Console) -> int:
    try:
        asyncio.run(_run(options, console))
    except (ConfigError, StoreError, PromptError, OSError) as error:
        raise UnavailableError(str(error)) from error
    return 0


async def _run(options: argparse.Namespace, console: Console) -> None:
    config = Config.load(options.config)
    async with Database(config.postgres.dsn.get_secret_value(), start_timeout=START_SECONDS) as database:
        library = PromptLibrary(PromptStore(database), PromptFolder(config.app.prompts_folder))
        audit, actor = AuditStore(database), Actor(f"asterisk-whatsapp prompt {options.action}")
        match options.action:
            case "add" if str(options.file) == "-":
                made = await library.add(options.name, sys.stdin.buffer)
            case "add":
                with options.file.open("rb") as file:
                    made = await library.add(options.name, file)
            case "speak":
                text = sys.stdin.read() if options.text == "-" else options.text
                made = await library.speak(options.name, text, options.voice)
            case "list":
                _show(await library.list())
                return
            case _:
                removed = await library.remove(options.name)
                before = {"seconds": removed.seconds, "text": removed.spoken_text}
                await audit.add(actor, Entry("removed", "prompt", options.name, before, None))
                console.print(f"Removed prompt {options.name}.", markup=False)
                return
        after = {"seconds": round(made.seconds, 2), "text": made.spoken_text, "sha256": made.sha256[:16]}
        await audit.add(actor, Entry("saved", "prompt", made.name, None, after))
    console.print(f"prompt:{made.name} is {made.seconds:.1f} s long, in {made.file}", markup=False, soft_wrap=True)


def _show(prompts: list[Prompt]) -> None:
    table = Table("prompt", "seconds", "text")
    for prompt in prompts:
        table.add_row(prompt.name, f"{prompt.seconds:.1f}", prompt.spoken_text or "")
    print_table(table)
