"""A network in memory and a controller that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import postgres as private_postgres
import pytest
from running_controller import METRO, Controller, load
from simulated_network import SimulatedNetwork


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork.wired(load(METRO))


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'corridor.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[private_postgres.Postgres]:
    """One cluster for all tests of a process; each makes databases of its own in it."""
    with private_postgres.running() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def either_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty one of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'either.db'}"
    return str(request.getfixturevalue("postgres").create())


@pytest.fixture
async def controller(network: SimulatedNetwork, database: str) -> AsyncIterator[Controller]:
    """Running, with every link up and every device in line."""
    running = await Controller(network, database).start()
    await running.bootstrapped()
    yield running
    await running.stop()
