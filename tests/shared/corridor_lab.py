"""What every suite shares that drives a whole lab: what it needs, corridors and cuts that end with the test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import machine
import pytest

from topologies.bmv2 import PROGRAM
from topologies.lab import Lab, Programs
from topologies.system import Controller, profiles

LINE_CARD = (sys.executable, "-m", "controller.linecard", "--step-ms", "0", "--wait-to-restore-s", "0.5")
"""Handshakes without their pauses, and a quick return to the working slice."""
PROGRAMS = Programs(line_card=LINE_CARD)
TOOLS = ("mnexec", "ovs-vswitchd", "nft", "tcpdump", "tshark", "iperf3", "ethtool")

Make = Callable[..., dict[str, Any]]
"""Creates a corridor that is gone after the test: (id, body, tenant), and returns it settled."""


def require_lab(*targets: str) -> None:
    """What this machine needs to run a lab with routers of these targets."""
    machine.require(*TOOLS, *([PROGRAM] if "bmv2" in targets else []))


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


@contextmanager
def corridors(controller: Controller) -> Iterator[Make]:
    """Create corridors that are gone afterwards."""
    made: list[tuple[str, str]] = []

    def create(corridor_id: str, body: dict[str, Any], tenant: str = "default") -> dict[str, Any]:
        made.append((corridor_id, tenant))
        return controller.create(corridor_id, body, tenant)

    yield create
    for corridor_id, tenant in made:
        controller.delete(corridor_id, tenant)


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
    cut: list[str] = []
    yield cut
    for fibre in cut:
        lab.mend(fibre)
    controller.await_topology()


def between(
    a_end: dict[str, Any], z_end: dict[str, Any], isolation: str = "HARD", active: str = "", **mbps: float
) -> dict[str, Any]:
    """What to ask for a corridor between two end points, with these profiles."""
    return {
        "aEnd": a_end,
        "zEnd": z_end,
        "isolation": isolation,
        "reservation": "PEAK",
        "profiles": profiles(**mbps),
        "activeProfile": active or next(iter(mbps)),
        "maxLatencyUs": 5000,
    }


def switch(controller: Controller, corridor_id: str, profile: str) -> float:
    """Seconds from the call until every device agrees. A switch that was rolled back fails."""
    began = time.monotonic()
    controller.patch(corridor_id, {"activeProfile": profile})
    settled = controller.settled(corridor_id)
    assert settled["activeProfile"] == profile, settled["conditions"]
    return time.monotonic() - began


def channel(corridor: dict[str, Any]) -> str:
    """The channel address of its first slice, A to Z."""
    slice_id: int = corridor["legs"][0]["slices"][0]["id"]
    return "02:" + slice_id.to_bytes(4, "big").hex(":") + ":00"
