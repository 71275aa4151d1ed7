"""`asterisk-whatsapp user`, as an administrator runs it: once as a process, else within this one, which is faster."""

import argparse
import asyncio
import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ari_app.runtime import user_command
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.settings import write_toml
from tests.integration.console.desk import Desk

MAIN = "import sys; from ari_app.runtime.cli import main; sys.exit(main())"


@pytest.fixture
def config(desk: Desk, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    write_toml(path, {"postgres": {"dsn": desk.dsn}})
    return path


async def run(config: Path, *arguments: str) -> str:
    """What is said to people. Raises UnavailableError where the command ends with 1 and these words."""
    parser = argparse.ArgumentParser()
    user_command.add_to(parser.add_subparsers())
    options = parser.parse_args(["user", *arguments, "--config", str(config)])
    said = io.StringIO()
    assert await asyncio.to_thread(options.run, options, Console(file=said, width=200)) == 0
    return said.getvalue()


async def test_the_first_administrator_is_made_by_command_and_can_sign_in(desk: Desk, config: Path) -> None:
    command = [sys.executable, "-c", MAIN, "user", "add", "first", "--name", "First Person", "--generate"]
    done = await asyncio.to_thread(
        subprocess.run, [*command, "--config", str(config)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "first is added as administrator, with this password:" in done.stderr
    browser = desk.browser()
    assert (await browser.sign_in("first", done.stdout.strip())).path == "/account/password"
    refused = await asyncio.to_thread(
        subprocess.run, [*command, "--config", str(config)], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert refused.stderr == "asterisk-whatsapp: there is a user first already\n"
    assert not refused.stdout


async def test_a_password_from_standard_input_is_ones_own(
    desk: Desk, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a password of mine\nanother one of mine\n"))
    await run(config, "add", "own", "--password-stdin")
    assert (await desk.browser().sign_in("own", "a password of mine")).path != "/account/password"
    await run(config, "passwd", "own", "--password-stdin")
    assert (await desk.browser().sign_in("own", "a password of mine")).status == 401
    assert (await desk.browser().sign_in("own", "another one of mine")).status == 200
    assert await run(config, "disable", "own") == "own is disabled.\n"
    assert (await desk.browser().sign_in("own", "another one of mine")).status == 401
    await run(config, "list")
    assert "disabled" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["add", "weak", "--password-stdin"], "short\n", "at least 12 characters"),
        (["add", "Über", "--generate"], "", "a login has"),
        (["add", "someone", "--role", "agent", "--generate"], "", "needs --agent"),
        (["add", "someone", "--role", "agent", "--agent", "PJSIP/9", "--generate"], "", "there is no agent PJSIP/9"),
        (["add", "someone", "--role", "supervisor", "--group", "Nope", "--generate"], "", "one of these groups"),
        (["passwd", "nobody", "--generate"], "", "there is no user nobody"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    config: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: str, said: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    with pytest.raises(UnavailableError, match=said):
        await run(config, *arguments)
