"""`python -m whatsapp_bridge --config FILE`: run the bridge until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import uvloop

from ari_app.ari import AriError
from whatsapp_bridge.config import Config, ConfigError
from whatsapp_bridge.service import BridgeService


def notify_ready() -> None:
    """Tell the supervisor (systemd, or our own) that calls can come: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


async def serve(config: Config) -> int:
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)

    async def report_ready() -> None:
        await ready.wait()
        notify_ready()

    reporter = asyncio.create_task(report_ready())
    try:
        await BridgeService(config).run(stop, ready)
    except (AriError, OSError, asyncpg.PostgresError, TimeoutError) as error:
        print(f"whatsapp-bridge: {error or type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        reporter.cancel()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="whatsapp_bridge", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    arguments = parser.parse_args()
    logging.basicConfig(level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aioice").setLevel(logging.WARNING)
    try:
        config = Config.load(arguments.config)
    except ConfigError as error:
        print(f"whatsapp-bridge: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return uvloop.run(serve(config))


if __name__ == "__main__":
    sys.exit(main())
