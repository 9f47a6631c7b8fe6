"""Two controllers on one PostgreSQL over the pair lab, up once for all tests; each test brings its own corridors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from corridor_lab import PROGRAMS, in_order, require_lab
from cuttable import cuttable
from takeover import Pair

from topologies.lab import Lab, temporary
from topologies.system import sharing

PAIR = Path(__file__).parents[2] / "topologies" / "pair.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_lab("linux")
    with temporary(PAIR, "linux", tmp_path_factory.mktemp("failover"), PROGRAMS) as built:
        yield in_order(built)


@pytest.fixture(scope="session")
def pair(lab: Lab) -> Iterator[Pair]:
    with postgres.running() as cluster, cuttable(cluster.port, 2) as paths:
        url = cluster.create()
        reached = [url.replace(f":{cluster.port}/", f":{path.port}/") for path in paths]
        with sharing(lab, PAIR, reached) as controllers:
            yield Pair(lab, cluster, url, controllers, paths)
