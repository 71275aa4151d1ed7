"""The whole stack as an ordinary user, with a home of their own. As an ordinary user, every other test shows it."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.runtime.debian import Closure

USER = "nobody"
CHECKOUT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from ari_app.runtime.cli import main; sys.exit(main())"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def as_user(command: list[str], **environment: str) -> "subprocess.Popen[str]":
    account = pwd.getpwnam(USER)
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment},
    )


@pytest.fixture(scope="module")
def python() -> str:
    """A Python of our version that the user may run, with our packages on its path."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}"):
        try:
            with as_user([candidate, "-c", "import ari_app, aiohttp"], PYTHONPATH=python_path()) as tried:
                tried.communicate(timeout=30)
        except (PermissionError, FileNotFoundError):
            continue
        if tried.returncode == 0:
            return candidate
    pytest.skip(f"{USER} can run neither {sys.executable} nor /usr/bin/{version} with this checkout's packages")


def python_path() -> str:
    return f"{CHECKOUT}:{sysconfig.get_path('purelib')}:{sysconfig.get_path('platlib')}"


@pytest.fixture
def home(closure: Closure) -> Iterator[Path]:
    """A home folder whose cache has the closure, so that the test downloads nothing."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        home = Path(name)
        shutil.copytree(closure.root, home / ".cache/asterisk-whatsapp" / closure.root.name, symlinks=True)
        account = pwd.getpwnam(USER)
        for path in (home, *home.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        yield home


def test_up_and_down_without_root(python: str, home: Path) -> None:
    with as_user([python, "-c", MAIN, "up", "--json"], HOME=str(home), PYTHONPATH=python_path()) as up:
        try:
            assert up.stdout is not None
            assert up.stderr is not None
            line = up.stdout.readline()
            assert line, up.stderr.read()
            told = json.loads(line)
            owners = {name: Path(f"/proc/{pid}").stat().st_uid for name, pid in told["pids"].items()}
            assert owners == dict.fromkeys(
                ["postgres", "asterisk", "simulator", "bridge", "app", "console"], pwd.getpwnam(USER).pw_uid
            )
            up.send_signal(signal.SIGTERM)
            assert up.wait(20) == 0
            assert not Path(told["folder"]).exists()
        finally:
            up.kill()
