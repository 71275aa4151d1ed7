"""`python -m ari_app.console --config FILE`: the web console as a process."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from ari_app.__main__ import LOG_FORMAT, ready
from ari_app.config import ConfigError
from ari_app.console.app import create_app
from ari_app.console.config import ConsoleFile
from ari_app.store.database import Database, StoreError

logger = logging.getLogger("ari_app.console")

#: At the end, pages that are being written get so long, s.
SHUTDOWN_SECONDS = 3.0


def main() -> int:
    """Exit status: 0 after SIGTERM or SIGINT, 1 when PostgreSQL is out of reach or the address is taken, 2 for a bad
    configuration.
    """
    parser = argparse.ArgumentParser(prog="python -m ari_app.console", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the TOML file")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        config = ConsoleFile.load(arguments.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        uvloop.run(serve(config))
    except StoreError as error:
        logger.error("%s", error)
        return 1
    except OSError as error:
        logger.error("%s cannot be listened on: %s", config.console.listen, error.strerror or error)
        return 1
    return 0


async def serve(config: ConsoleFile) -> None:
    """Serve pages until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Database(config.postgres.dsn.get_secret_value()) as database:
        app = create_app(config.console, config.app, database)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            host, port = config.console.address
            await web.TCPSite(runner, host, port).start()
            for address in runner.addresses:
                logger.info("listening on %s port %d", *address[:2])
            ready()
            await stop.wait()
        finally:
            await runner.cleanup()
    logger.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
