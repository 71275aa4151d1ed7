"""`asterisk-whatsapp user`, as an administrator runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from ari_app.runtime.settings import write_toml
from tests.integration.console.desk import Desk

MAIN = "import sys; from ari_app.runtime.cli import main; sys.exit(main())"


@pytest.fixture
def config(desk: Desk, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    write_toml(path, {"postgres": {"dsn": desk.dsn}})
    return path


def run(config: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "user", *arguments, "--config", str(config)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=30)


async def test_the_first_administrator_is_made_by_command_and_can_sign_in(desk: Desk, config: Path) -> None:
    done = run(config, "add", "first", "--name", "First Person", "--generate")
    assert done.returncode == 0, done.stderr
    password = done.stdout.strip()
    browser = desk.browser()
    assert (await browser.sign_in("first", password)).path == "/account/password"
    assert "First Person" in run(config, "list").stdout


async def test_a_password_from_standard_input_is_ones_own(desk: Desk, config: Path) -> None:
    assert run(config, "add", "own", "--password-stdin", given="a password of mine\n").returncode == 0
    assert (await desk.browser().sign_in("own", "a password of mine")).path != "/account/password"
    assert run(config, "passwd", "own", "--password-stdin", given="another one of mine\n").returncode == 0
    assert (await desk.browser().sign_in("own", "a password of mine")).status == 401
    assert (await desk.browser().sign_in("own", "another one of mine")).status == 200
    assert run(config, "disable", "own").returncode == 0
    assert (await desk.browser().sign_in("own", "another one of mine")).status == 401


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
def test_what_cannot_be_is_refused_in_one_line(config: Path, arguments: list[str], given: str, said: str) -> None:
    done = run(config, *arguments, given=given)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
