"""The metro lab and its controller, up once for the whole suite; each test brings its own corridors."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import Make

from topologies.lab import Lab, Programs, up
from topologies.system import Controller, running

METRO = Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml"
TARGET = os.environ.get("CORRIDOR_LAB_TARGET", "linux")
LINE_CARD = (sys.executable, "-m", "controller.linecard", "--step-ms", "0", "--wait-to-restore-s", "0.5")
"""Handshakes without their pauses, and a quick return to the working slice."""
PROGRAMS = Programs(line_card=LINE_CARD)
TOOLS = ("mnexec", "ovs-vswitchd", "nft", "tcpdump", "tshark", "iperf3", "ethtool")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def in_order(lab: Lab) -> Lab:
    """Each interface's arrivals on one processor.

    A shaper sends from whichever processor its timer or its caller is on, and veth leaves arrivals where they come:
    two in a row may overtake each other before any switch has seen them.
    """
    one = "for each in /sys/class/net/eth*/queues/rx-*/rps_cpus; do echo 1 > $each; done"
    for name in lab.status().processes:
        kind, _, node = name.partition("/")
        if kind == "namespace":
            lab.run(node, ["sh", "-c", one])
    return lab


@pytest.fixture(scope="session")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}")
    run_dir = tmp_path_factory.mktemp("lab")
    with running(METRO, lambda: in_order(up(METRO, TARGET, run_dir, PROGRAMS))) as system:
        yield system


@pytest.fixture(scope="session")
def lab(controller: Controller) -> Lab:
    return controller.lab


@pytest.fixture
def corridor(controller: Controller) -> Iterator[Make]:
    """Create corridors that are gone after the test."""
    made: list[tuple[str, str]] = []

    def create(corridor_id: str, body: dict[str, Any], tenant: str = "default") -> dict[str, Any]:
        made.append((corridor_id, tenant))
        return controller.create(corridor_id, body, tenant)

    yield create
    for corridor_id, tenant in made:
        controller.delete(corridor_id, tenant)


@pytest.fixture
def fibres(lab: Lab, controller: Controller) -> Iterator[list[str]]:
    """Fibres that a test cut; mended afterwards."""
    cut: list[str] = []
    yield cut
    for fibre in cut:
        lab.mend(fibre)
    controller.await_topology()
