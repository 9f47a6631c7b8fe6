"""The controller killed at any moment of a resize: once it is back, the old size or the new one stands at all hops."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from otn_nodes import expected, meters, otn_nodes, slice_ids, slots
from places import ADDRESS, YZ, ZGC, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

SMALL, LARGE = 20_000, 50_000
STEP_MS = 25
"""Of a handshake, as on real equipment: slow enough to be met at each of them."""
KILLS = 8
ROUTE = ("zgc-o", "yz-o")


@pytest.fixture(scope="module")
def slow_steps(lab: Lab, controller: Controller) -> Iterator[None]:
    for node in ROUTE:
        lab.restart_line_card(node, "--step-ms", str(STEP_MS))
    yield
    for node in ROUTE:
        lab.restart_line_card(node)


def size(kbps: int) -> dict[str, Any]:
    return {"profiles": [{"name": "only", "bandwidthKbps": kbps}]}


def back(controller: Controller) -> None:
    controller.start()
    controller.await_topology()


def one_size_everywhere(lab: Lab, controller: Controller, corridor_id: str) -> int:
    """kbit/s; ledger, line cards and meters agree on it."""
    settled, nodes = controller.settled(corridor_id), otn_nodes(controller)
    ours, wanted = slice_ids(settled), expected(controller, [settled])
    wait_for("nodes as the ledger", lambda: (slots(lab, nodes, ours), meters(lab, nodes, ours)) == wanted)
    kbps = int(settled["profiles"][0]["bandwidthKbps"])
    (part,) = settled["legs"][0]["slices"]
    assert part["activeSlots"] == {SMALL: 3, LARGE: 6}[kbps]
    return kbps


def reached(now: dict[str, Any], moment: str) -> bool:
    """That moment, or a later one where it is over too soon to be seen."""
    order = ("BUILD", "STEER", "CLEAN", "SETTLED")
    if moment == "MODIFYING":
        return now["legs"][0]["slices"][0]["resizeState"] == "MODIFYING" or now["stage"] == "SETTLED"
    return order.index(now["stage"]) >= order.index(moment)


@pytest.mark.usefixtures("slow_steps")
@pytest.mark.parametrize("moment", ["BUILD", "MODIFYING", "STEER", "CLEAN"])
@pytest.mark.parametrize("way", [(SMALL, LARGE), (LARGE, SMALL)], ids=["growing", "shrinking"])
def test_killed_at_a_stage(lab: Lab, controller: Controller, corridor: Make, way: tuple[int, int], moment: str) -> None:
    corridor("crashed", body(ZGC, YZ, only=way[0] / 1000))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(10_000, seconds=6))
    controller.patch("crashed", size(way[1]))
    wait_for(moment, lambda: reached(controller.get("crashed"), moment), 5)
    controller.stop(signal.SIGKILL)
    back(controller)
    assert one_size_everywhere(lab, controller, "crashed") in way
    assert flow.result()["lost"] == 0


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("slow_steps")
def test_killed_at_any_moment(lab: Lab, controller: Controller, corridor: Make) -> None:
    """From before the request is stored to after the last stage, growing and shrinking in turn."""
    corridor("crashed", body(ZGC, YZ, only=SMALL / 1000))
    began = time.monotonic()
    controller.patch("crashed", size(LARGE))
    controller.settled("crashed")
    whole, now, ends = time.monotonic() - began, LARGE, set[tuple[int, bool]]()
    for number in range(KILLS):
        wanted = SMALL if now == LARGE else LARGE
        asking = threading.Thread(target=patched, args=(controller, "crashed", wanted))
        asking.start()
        time.sleep(1.1 * whole * number / (KILLS - 1))  # the moments are spread over all that it takes
        controller.stop(signal.SIGKILL)
        asking.join()
        back(controller)
        stands = one_size_everywhere(lab, controller, "crashed")
        assert stands in (now, wanted)
        ends.add((number, stands == wanted))
        now = stands
    assert (KILLS - 1, True) in ends  # the last was through before


def patched(controller: Controller, corridor_id: str, kbps: int) -> None:
    """Whether it is answered does not matter."""
    try:
        with httpx.Client(base_url=controller.client.base_url, timeout=5) as client:
            client.patch(f"/v1/tenants/default/corridors/{corridor_id}", json=size(kbps))
    except httpx.TransportError:
        return
