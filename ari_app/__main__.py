"""`python -m ari_app --config FILE`: the Stasis application as a process."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop

from ari_app.app import Application
from ari_app.ari import AriError
from ari_app.config import Config, ConfigError
from ari_app.store.database import StoreError

logger = logging.getLogger("ari_app")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main() -> int:
    """Exit status: 0 after SIGTERM or SIGINT, 1 when Asterisk or PostgreSQL are out of reach, 2 for a bad
    configuration.
    """
    parser = argparse.ArgumentParser(prog="python -m ari_app", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the TOML file")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        config = Config.load(arguments.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        uvloop.run(serve(config))
    except (AriError, StoreError) as error:
        logger.error("%s", error)
        return 1
    return 0


async def serve(config: Config) -> None:
    """Run the application until SIGTERM or SIGINT. A second signal cuts short what the first one began."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("serve runs in a task")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await Application(config).run(ready)
    except asyncio.CancelledError:
        logger.info("stopped")


def ready() -> None:
    """Tell the service manager that calls can come (sd_notify)."""
    logger.info("ready")
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", address)


if __name__ == "__main__":
    sys.exit(main())
