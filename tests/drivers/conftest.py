"""Two real switches for a test module, and a controller for them in each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from optical_lab import Optical, optical_network, two_switches
from private_switch import PrivateSwitch


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, PrivateSwitch]]:
    with two_switches(tmp_path_factory.mktemp("ovs")) as pair:
        yield pair


@pytest.fixture
async def optical(tmp_path: Path, switches: dict[str, PrivateSwitch]) -> AsyncIterator[Optical]:
    async with optical_network(tmp_path, switches) as network:
        yield network
