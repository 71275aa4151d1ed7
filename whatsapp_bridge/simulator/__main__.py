"""`python -m whatsapp_bridge.simulator --config FILE`"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from .config import ConfigError, load
from .server import serve


def main() -> int:
    """Exit status 0 after a clean end, 2 if the configuration or the address cannot be used."""
    parser = argparse.ArgumentParser(prog="whatsapp_bridge.simulator", description="Meta's side of WhatsApp calling")
    parser.add_argument("--config", type=Path, required=True, help="TOML file with [simulator] and [meta]")
    parser.add_argument("--verbose", action="store_true", help="log what is ignored and refused in detail")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.INFO)
    try:
        config = load(arguments.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        uvloop.run(serve(config))
    except OSError as error:
        sys.stderr.write(f"{arguments.config}: [simulator] {config.host}:{config.port}: {error.strerror or error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
