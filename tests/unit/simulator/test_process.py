"""The simulator as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.config import ConfigError, load

GOOD = """
[meta]
graph_url = "http://127.0.0.1:9000"
access_token = "t"
app_secret = "s"
verify_token = "v"
[simulator]
listen = "127.0.0.1:{port}"
webhook_url = "http://127.0.0.1:9/webhook"
recordings = "{recordings}"
[[simulator.numbers]]
phone_number_id = "106540352242922"
display_number = "15550783881"
[ari]
anything = 1
"""


async def start(config: Path, **environment: str) -> asyncio.subprocess.Process:
    """Starts it."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "whatsapp_bridge.simulator", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )


async def test_it_says_when_it_is_ready_and_ends_cleanly(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "stack.toml"
    config.write_text(GOOD.format(port=port, recordings=tmp_path / "heard"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.bind(str(tmp_path / "notify"))
        notifier.setblocking(False)
        process = await start(config, NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            async with asyncio.timeout(20):
                assert await asyncio.get_running_loop().sock_recv(notifier, 100) == b"READY=1"
            async with SimulatorClient(f"http://127.0.0.1:{port}") as meta:
                call = await meta.place()
                assert (await meta.status())["live_calls"] == 1
                await call.read()
            second = await start(config)
            assert second.stderr is not None
            async with asyncio.timeout(20):
                assert "in use" in (await second.stderr.read()).decode().splitlines()[-1]
                assert await second.wait() == 2
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                _, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    assert b"Traceback" not in log


async def test_a_bad_configuration_is_one_line_and_status_2(tmp_path: Path) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(GOOD.format(port="x", recordings="r"))
    process = await start(config)
    async with asyncio.timeout(20):
        _, log = await process.communicate()
    assert process.returncode == 2
    assert len(log.decode().splitlines()) == 1
    assert "listen" in log.decode()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (('app_secret = "s"', 'app_secret = ""'), r"\[meta\] app_secret"),
        (('access_token = "t"', ""), r"\[meta\] access_token"),
        (('display_number = "15550783881"', 'display_number = "+1555"'), "display_number"),
        (("[meta]", "[metta]"), r"no \[meta\]"),
        (("[[simulator.numbers]]", "[[simulator.nambers]]"), "numbers"),
        (("recordings", "recording"), "recordings"),
        (("[ari]", "[simulator.timers]\nring = -1\n[ari]"), "timers.ring"),
        (("[ari]", "[ari"), "line"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_named(tmp_path: Path, change: tuple[str, str], word: str) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.format(port=1, recordings="r").replace(*change))
    with pytest.raises(ConfigError, match=word) as wrong:
        load(path)
    assert "\n" not in str(wrong.value)


def test_secrets_do_not_show(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(GOOD.format(port=1, recordings="r").replace('"s"', '"very-secret"'))
    assert "very-secret" not in repr(load(path))
