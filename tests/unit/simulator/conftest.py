"""A simulator in this process, a business that answers it, and the client that drives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.simulator.business import SECRET, TOKEN, VERIFY, Business
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.config import SimulatorConfig, config_from
from whatsapp_bridge.simulator.server import running
from whatsapp_bridge.simulator.world import World


@dataclass
class Stage:
    """All that a test needs."""

    world: World
    business: Business
    meta: SimulatorClient
    base: str


def simulator_config(webhook_url: str, recordings: Path) -> SimulatorConfig:
    """Short times, two numbers."""
    return config_from(
        {
            "simulator": {
                "listen": "127.0.0.1:0",
                "webhook_url": webhook_url,
                "recordings": str(recordings),
                "numbers": [
                    {"phone_number_id": "106540352242922", "display_number": "15550783881"},
                    {"phone_number_id": "206540352242922", "display_number": "15550783882"},
                ],
                "webhooks": {"retry_first": 0.05},
            },
            "meta": {"access_token": TOKEN, "app_secret": SECRET, "verify_token": VERIFY, "graph_url": "unused"},
        }
    )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    business = Business()
    await business.start()
    async with running(simulator_config(business.url, tmp_path / "recordings")) as (world, base):
        business.graph = base
        async with SimulatorClient(base) as meta:
            yield Stage(world, business, meta, base)
    await business.close()
