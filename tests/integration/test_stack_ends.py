"""However `asterisk-whatsapp up` ends, nothing that it started is left."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ari_app.runtime.debian import Closure

COMMAND = [sys.executable, "-c", "import sys; from ari_app.runtime.cli import main; sys.exit(main())"]
END_LIMIT = 15.0


@dataclass
class Up:
    """A running `asterisk-whatsapp up --json`, and descriptors of all processes below it."""

    process: "subprocess.Popen[str]"
    told: dict[str, Any]
    descendants: list[int]
    temporary: Path

    def everything_ends(self) -> bool:
        """Whether all processes are gone within the limit."""
        deadline = time.monotonic() + END_LIMIT
        for descriptor in self.descendants:
            ended, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ended:
                return False
        return True


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [deeper for child in children for deeper in descendants(child)]


@pytest.fixture
def up(closure: Closure) -> Iterator[Up]:
    with contextlib.ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        temporary.chmod(0o711)
        process = stack.enter_context(
            subprocess.Popen(
                [*COMMAND, "up", "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TMPDIR": str(temporary)},
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            assert process.stderr is not None
            pytest.fail(process.stderr.read())
        below = [os.pidfd_open(pid) for pid in descendants(process.pid)]
        for descriptor in below:
            stack.callback(os.close, descriptor)
        yield Up(process, json.loads(line), below, temporary)


def test_one_line_tells_all_and_every_pid_is_a_child(up: Up) -> None:
    assert set(up.told["pids"]) == {"postgres", "asterisk", "simulator", "bridge", "app", "console"}
    assert set(up.told["pids"].values()) <= set(descendants(up.process.pid))
    assert Path(up.told["logs"]).is_dir()
    console = up.told["console"]
    with urllib.request.urlopen(f"{console['url']}/sign-in", timeout=10) as page:
        assert b"Sign in" in page.read()
    assert (console["login"], len(console["password"])) == ("admin", 23)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_everything_and_removes_the_folder(up: Up, number: signal.Signals) -> None:
    up.process.send_signal(number)
    assert up.process.wait(END_LIMIT) == 0
    assert up.everything_ends()
    assert list(up.temporary.iterdir()) == []


def test_kill_9_leaves_no_process(up: Up) -> None:
    assert len(up.descendants) > len(up.told["pids"]), "PostgreSQL has workers of its own"
    up.process.kill()
    assert up.everything_ends()


def test_up_ends_with_the_reason_when_a_piece_dies(up: Up) -> None:
    os.kill(up.told["pids"]["bridge"], signal.SIGKILL)
    assert up.process.wait(END_LIMIT) == 1
    assert up.process.stderr is not None
    complaint = up.process.stderr.read()
    assert "bridge ended with -9" in complaint
    assert "Traceback" not in complaint
    assert up.everything_ends()
