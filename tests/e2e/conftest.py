"""The metro lab and its controller, up once for the whole suite; each test brings its own corridors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from corridor_lab import PROGRAMS, Make, corridors, cuts, in_order, require_lab

from topologies.lab import Lab, up
from topologies.system import Controller, running

METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"
TARGET = os.environ.get("CORRIDOR_LAB_TARGET", "linux")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    require_lab()
    run_dir = tmp_path_factory.mktemp("lab")
    with running(METRO, lambda: in_order(up(METRO, TARGET, run_dir, PROGRAMS))) as system:
        yield system


@pytest.fixture(scope="session")
def lab(controller: Controller) -> Lab:
    return controller.lab


@pytest.fixture
def corridor(controller: Controller) -> Iterator[Make]:
    """Create corridors that are gone after the test."""
    with corridors(controller) as create:
        yield create


@pytest.fixture
def fibres(lab: Lab, controller: Controller) -> Iterator[list[str]]:
    """Fibres that a test cut; mended afterwards."""
    with cuts(lab, controller) as cut:
        yield cut
