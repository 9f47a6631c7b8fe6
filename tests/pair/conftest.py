"""Two sites and their controller, up once for each mix of targets; each test brings its own corridors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from corridor_lab import PROGRAMS, Make, corridors, cuts, in_order, require_lab
from sites import EAST, MIXES, WEST, Mix

from topologies.lab import Lab, up
from topologies.system import Controller, running

PAIR = Path(__file__).parents[2] / "topologies" / "pair.yaml"
BMV2 = "simple_switch_grpc"
REQUIRE_BMV2 = "CORRIDOR_REQUIRE_BMV2"
"""Environment variable; 1: a machine without BMv2 fails instead of skipping."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def require(mix: Mix) -> None:
    if "bmv2" in mix and not shutil.which(BMV2):
        if os.environ.get(REQUIRE_BMV2) == "1":
            pytest.fail(f"not on the path, but required: {BMV2}")
        pytest.skip(f"not on the path: {BMV2}")
    require_lab()


@pytest.fixture(scope="session", params=MIXES, ids="-".join)
def mix(request: pytest.FixtureRequest) -> Mix:
    """What the western and the eastern router run."""
    chosen: Mix = request.param
    require(chosen)
    return chosen


@pytest.fixture(scope="session")
def controller(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    run_dir = tmp_path_factory.mktemp("pair")
    targets = dict(zip((WEST.router, EAST.router), mix, strict=True))
    with running(PAIR, lambda: in_order(up(PAIR, run_dir=run_dir, programs=PROGRAMS, targets=targets))) as system:
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
