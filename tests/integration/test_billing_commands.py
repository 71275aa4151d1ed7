"""`asterisk-whatsapp rate` and `balance` on a real database, and what they and `prompt` leave in the audit."""

import asyncio
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ari_app.runtime import cli
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.settings import write_toml
from ari_app.store.console.audit import Audited, AuditStore
from ari_app.store.database import Database

Command = Callable[..., "asyncio.Future[tuple[int, str]]"]


@pytest.fixture
def command(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    file = tmp_path / "app.toml"
    app = {"prompts_folder": str(tmp_path)}
    write_toml(file, {"postgres": {"dsn": database}, "ari": {"username": "u", "password": "p"}, "app": app})

    async def run(name: str, *arguments: str) -> tuple[int, str]:
        """Exit status, and all that was printed, in one line."""
        try:
            status = await asyncio.to_thread(main, [name, "--config", str(file), *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        output = capsys.readouterr()
        return status, " ".join((output.out + output.err).split())

    return run  # type: ignore[return-value]


def main(arguments: list[str]) -> int:
    """In a thread, where signals cannot be set."""
    options = cli._parser().parse_args(arguments)
    try:
        return int(options.run(options, Console(stderr=True, highlight=False, width=200)))
    except UnavailableError as error:
        sys.stdout.write(f"{error}\n")
        return 1


async def test_a_balance_is_topped_up_and_shown(command: Command) -> None:
    assert await command("balance", "top-up", "50", "--note", "invoice 7") == (0, "The balance is 50.00 USD.")
    assert await command("balance", "correct", "--", "-0.5") == (0, "The balance is 49.50 USD.")
    _, shown = await command("balance", "show")
    assert "off │ 49.50 USD │ 0.00 USD" in shown
    _, ledger = await command("balance", "ledger")
    assert "top_up │ 50.00 USD" in ledger
    assert "command │ invoice 7" in ledger
    assert "correction │ -0.50 USD" in ledger


async def test_a_top_up_of_nothing_is_refused_in_words(command: Command) -> None:
    assert await command("balance", "top-up", "0") == (1, "a top-up is more than 0")
    status, said = await command("balance", "top-up", "ten")
    assert status == 2
    assert "'ten' is not an amount such as 12.50" in said
    status, said = await command("balance", "correct", "--", "-1")
    assert (status, said) == (1, "the balance has only 0.000000 that no call holds")


async def test_rates_are_set_and_listed(command: Command) -> None:
    status, _ = await command("rate", "set", "--number", "+4930123456", "--to", "DE", "--price", "0.0103")
    assert status == 0
    await command("rate", "set", "--number", "4930123456", "--price", "1", "--first", "60", "--from", "2026-01-01")
    _, listed = await command("rate", "list", "--number", "4930123456")
    assert "4930123456 │ DE │ 0.0103 USD │ 6+6 s" in listed
    assert "4930123456 │ * │ 1 USD │ 60+6 s │ 2026-01-01 00:00" in listed
    _, others = await command("rate", "list", "--number", "1")
    assert "4930123456" not in others


async def test_billing_is_switched_on(command: Command) -> None:
    status, shown = await command("balance", "configure", "--enabled", "yes", "--warn-seconds", "30")
    assert status == 0
    assert "True │ USD │ 60 │ True │ 30" in shown
    status, said = await command("balance", "configure", "--reserve-seconds", "1")
    assert status == 1
    assert "reserve_seconds" in said


async def test_rates_are_imported_all_or_none(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(
        "number,destination,price_per_minute,valid_from\n4930123456,DE,0.01,2026-01-01\n4930123456,*,0.02,\n"
    )
    assert await command("rate", "import", str(file)) == (0, "2 rates imported.")
    for text, complaint in (
        ("number,destination\n1,DE\n", "rates.csv:1: the header lacks price_per_minute"),
        ("number,destination,price_per_minute,colour\n", "rates.csv:1: the header has colour"),
        ("number,destination,price_per_minute\n1,FR,1\n1,FR,free\n", "rates.csv:3: 'free' is not a price"),
        ("number,destination,price_per_minute\n1,Germany,1\n", "rates.csv:2: 'Germany' is not a country"),
        ("number,destination,price_per_minute\n1,FR\n", "rates.csv:2: this line has not as many fields"),
    ):
        file.write_text(text)
        status, said = await command("rate", "import", str(file))
        assert status == 1
        assert complaint in said
    _, listed = await command("rate", "list")
    assert "FR" not in listed


async def test_what_commands_change_is_in_the_audit(command: Command, database: str, tmp_path: Path) -> None:
    rates, sound = tmp_path / "rates.csv", tmp_path / "hello.wav"
    rates.write_text("number,destination,price_per_minute\n4930123456,DE,0.01\n4930123456,*,0.02\n")
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(range(200)) * 80)
    for arguments in (
        ("balance", "configure", "--warn-seconds", "30"),
        ("balance", "configure", "--warn-seconds", "30"),
        ("rate", "set", "--number", "4930123456", "--to", "DE", "--price", "0.0103"),
        ("rate", "import", str(rates)),
        ("prompt", "add", "hello", str(sound)),
        ("prompt", "remove", "hello"),
        ("prompt", "remove", "hello"),
        ("balance", "show"),
    ):
        await command(*arguments)

    async with Database(database) as opened:
        rows: list[Audited] = await AuditStore(opened).page()
    assert [(row.actor.removeprefix("asterisk-whatsapp "), row.action, row.kind, row.subject) for row in rows] == [
        ("prompt remove", "removed", "prompt", "hello"),
        ("prompt add", "saved", "prompt", "hello"),
        ("rate import", "added", "rate", "4930123456"),
        ("rate set", "added", "rate", "4930123456"),
        ("balance configure", "changed", "billing", "outbound calls"),
    ]
    assert rows[4].after == {"warn_seconds": 30}
    assert rows[3].after["price per minute"] == "0.0103 USD"
    assert rows[2].after == {"rates": 2}
