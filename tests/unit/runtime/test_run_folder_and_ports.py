import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import LOOPBACK, PortBlock


@pytest.fixture
def temporary_base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        monkeypatch.setattr(tempfile, "tempdir", base)
        yield Path(base)


def test_two_blocks_share_no_port() -> None:
    with PortBlock() as one, PortBlock() as other:
        ports = {one.take(), one.take(), other.take(), other.take()}
        assert len(ports) == 4
        assert not set(range(one.rtp[0], one.rtp[1] + 1)) & set(range(other.rtp[0], other.rtp[1] + 1))
        assert not ports & {*range(one.rtp[0], one.rtp[1] + 1), *range(other.rtp[0], other.rtp[1] + 1)}


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        try:
            udp.bind((LOOPBACK, port))
            tcp.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def test_a_port_in_use_by_somebody_else_is_passed_over() -> None:
    """And no other one: the next that is free is taken, whoever else runs on this machine."""
    with PortBlock() as block, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, block.first + 1))
        next_free = next(port for port in range(block.first + 1, block.rtp[0]) if is_free(port))
        assert block.take() == next_free > block.first + 1


def test_the_folder_goes_with_the_run(temporary_base: Path) -> None:
    with RunFolder() as run:
        (run.path / "deep").mkdir()
        (run.path / "deep/file").touch()
    assert list(temporary_base.iterdir()) == []


def test_a_folder_to_keep_is_kept_also_by_later_runs(temporary_base: Path) -> None:
    with RunFolder(keep=True) as run:
        (run.logs / "call.log").write_text("hello")
    with RunFolder():
        pass
    assert (run.logs / "call.log").read_text() == "hello"


def test_the_folder_of_a_killed_run_is_removed_by_the_next_and_one_in_use_is_not(temporary_base: Path) -> None:
    code = f"""
import signal, tempfile
tempfile.tempdir = {str(temporary_base)!r}
from ari_app.runtime.folder import RunFolder
run = RunFolder()
print(run.path, flush=True)
signal.pause()
"""
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    with killed, killed.stdout, RunFolder() as in_use:
        left = Path(killed.stdout.readline().strip())
        with RunFolder():
            assert left.exists()
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        with RunFolder():
            assert not left.exists()
            assert in_use.path.exists()
