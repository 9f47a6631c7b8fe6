"""The metro lab and its controller, up once for the whole suite; each test brings its own corridors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from corridor_lab import PROGRAMS, in_order, require_lab
from corridor_lab import corridor as corridor
from corridor_lab import fibres as fibres
from corridor_lab import lab as lab

from topologies.lab import up
from topologies.system import Controller, running

METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"
TARGET = os.environ.get("CORRIDOR_LAB_TARGET", "linux")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    require_lab(TARGET)
    run_dir = tmp_path_factory.mktemp("lab")
    with running(METRO, lambda: in_order(up(METRO, TARGET, run_dir, PROGRAMS))) as system:
        yield system
