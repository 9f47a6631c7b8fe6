"""A network in memory and a controller that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from running_controller import METRO, Controller, load
from simulated_network import SimulatedNetwork


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork.wired(load(METRO))


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'corridor.db'}"


@pytest.fixture
async def controller(network: SimulatedNetwork, database: str) -> AsyncIterator[Controller]:
    """Running, with every link up and every device in line."""
    running = await Controller(network, database).start()
    await running.bootstrapped()
    yield running
    await running.stop()
