"""The command `asterisk-whatsapp`."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import signal
from collections.abc import Iterator, Sequence

import asyncpg
from rich.console import Console

from ari_app.runtime import (
    balance_command,
    call_command,
    config_command,
    prompt_command,
    rate_command,
    records_command,
    settings_command,
    user_command,
    voicemail_command,
)
from ari_app.runtime.browser import ensure_browser
from ari_app.runtime.debian import Closure, ensure_closure
from ari_app.runtime.display import show
from ari_app.runtime.errors import ProcessError, UnavailableError
from ari_app.runtime.speaking import path_with_espeak
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.migrate import MigrationError, migrate

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNAVAILABLE = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit status: 0, 1 with one line on stderr, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    try:
        with _terminated_as_interrupted():
            return int(options.run(options, console))
    except (UnavailableError, MigrationError) as error:
        console.print(f"asterisk-whatsapp: {error}", style="red", markup=False, soft_wrap=True)
        return UNAVAILABLE
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="asterisk-whatsapp", description="WhatsApp calling for Asterisk.")
    version = importlib.metadata.version("asterisk-whatsapp")
    parser.add_argument("--version", action="version", version=f"asterisk-whatsapp {version}")
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="run everything on this machine until Ctrl-C")
    up.add_argument("--json", action="store_true", help="print one JSON line when ready, nothing else on stdout")
    up.add_argument("--keep", action="store_true", help="leave logs and recordings when it ends")
    up.add_argument("--agent", action="store_true", help="phone 1001 answers by itself: no SIP phone is needed")
    up.set_defaults(run=_up, kept=None)

    demo = commands.add_parser("demo", help="make a WhatsApp call from end to end and show it")
    demo.add_argument("--json", action="store_true", help="end with one JSON line on stdout")
    demo.set_defaults(run=_demo)

    fetch = commands.add_parser("fetch", help="download the embedded Asterisk now rather than at first use")
    fetch.add_argument("--browser", action="store_true", help="Chromium too, for the tests of the web pages")
    fetch.set_defaults(run=_fetch)

    migration = commands.add_parser("migrate", help="bring a PostgreSQL database up to date")
    migration.add_argument("--dsn", required=True, help="postgresql://user:password@host/database")
    migration.set_defaults(run=_migrate)

    config_command.add_to(commands)
    prompt_command.add_to(commands)
    voicemail_command.add_to(commands)
    user_command.add_to(commands)
    call_command.add_to(commands)
    rate_command.add_to(commands)
    balance_command.add_to(commands)
    records_command.add_to(commands)
    settings_command.add_to(commands)
    return parser


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Before an event loop runs, SIGTERM and a closed terminal end us as Ctrl-C does: through every `finally`."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _up(options: argparse.Namespace, console: Console) -> int:
    closure, path = ensure_closure(console), _path(console)
    try:
        asyncio.run(_stay_up(options, console, closure, path))
    except asyncio.CancelledError:
        console.print("Stopped." + (f" Logs: {options.kept}" if options.kept else ""))
    return 0


def _path(console: Console) -> str:
    """A $PATH with speech synthesis, or ours; it is no reason not to start."""
    try:
        return path_with_espeak(console)
    except UnavailableError as error:
        console.print(f"Texts cannot be spoken: {error}", markup=False, soft_wrap=True)
        return ""


async def _stay_up(options: argparse.Namespace, console: Console, closure: Closure, path: str) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in ENDING_SIGNALS:
        loop.add_signal_handler(number, task.cancel)  # a second one, while stopping, kills what is left
    with console.status("Starting …") as status:
        async with contextlib.AsyncExitStack() as running:
            wanted = StackOptions(keep=options.keep, console=True, path=path)
            stack = await running.enter_async_context(Stack.start(wanted, closure, status.update))
            if options.agent:
                from ari_app.runtime.standing_agent import standing_agent  # numpy takes its time to load

                await running.enter_async_context(standing_agent(stack))
            status.stop()
            options.kept = stack.logs if options.keep else None
            if options.json:
                print(json.dumps(stack.describe()), flush=True)
            else:
                show(stack, Console(highlight=False), agent_stands_by=options.agent)
            ended = await stack.wait()
            raise ProcessError(ended.complaint())


def _demo(options: argparse.Namespace, console: Console) -> int:
    from ari_app.runtime import demo  # it measures sound, and numpy takes its time to load

    return demo.main(as_json=options.json, console=console)


def _fetch(options: argparse.Namespace, console: Console) -> int:
    closure = ensure_closure(console)
    console.print(f"Asterisk {closure.versions['asterisk']} is in {closure.root}", markup=False, soft_wrap=True)
    _path(console)
    if options.browser:
        browser = ensure_browser(console)
        console.print(f"Chromium ({browser.version}) is {browser.executable}", markup=False, soft_wrap=True)
    return 0


def _migrate(options: argparse.Namespace, console: Console) -> int:
    try:
        applied = asyncio.run(migrate(options.dsn))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"The database cannot be reached: {error}") from error
    console.print(f"Applied: {', '.join(applied)}." if applied else "Already up to date.")
    return 0
