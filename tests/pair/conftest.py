"""Two sites and their controller, up once for each mix of targets; each test brings its own corridors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from corridor_lab import PROGRAMS, in_order, require_lab
from corridor_lab import corridor as corridor
from corridor_lab import fibres as fibres
from corridor_lab import lab as lab
from sites import EAST, MIXES, WEST, Mix

from topologies.lab import up
from topologies.system import Controller, running

PAIR = Path(__file__).parents[2] / "topologies" / "pair.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session", params=MIXES, ids="-".join)
def mix(request: pytest.FixtureRequest) -> Mix:
    """What the western and the eastern router run."""
    chosen: Mix = request.param
    require_lab(*chosen)
    return chosen


@pytest.fixture(scope="session")
def controller(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    run_dir = tmp_path_factory.mktemp("pair")
    targets = dict(zip((WEST.router, EAST.router), mix, strict=True))
    with running(PAIR, lambda: in_order(up(PAIR, run_dir=run_dir, programs=PROGRAMS, targets=targets))) as system:
        yield system
