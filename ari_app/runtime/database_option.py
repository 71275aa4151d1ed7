"""Commands that work on the application's database: `--config FILE`, and one line for whatever stands in the way."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ari_app.config import Config, ConfigError
from ari_app.runtime.errors import UnavailableError
from ari_app.store.database import Database, StoreError

START_SECONDS = 5.0


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the application's configuration")


def with_database(options: argparse.Namespace, work: Callable[[Database, Config], Awaitable[int]]) -> int:
    """Run `work` on the open database; its exit status. Raises UnavailableError with words for people."""

    async def run(config: Config) -> int:
        async with Database(config.postgres.dsn.get_secret_value(), start_timeout=START_SECONDS) as database:
            return await work(database, config)

    try:
        return asyncio.run(run(Config.load(options.config)))
    except (ConfigError, StoreError, OSError) as error:
        raise UnavailableError(str(error)) from error
