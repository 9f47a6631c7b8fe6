"""A thousand sizes of one slice under traffic, in band, hop by hop: nothing is lost. In the wrong order it would be."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from otn_nodes import expected, line_card, meters, otn_nodes, slice_ids, slots
from places import ADDRESS, YZ, ZGC, Make, body
from shapers import await_drained, busiest

from controller.linecard.gen import line_card_pb2 as pb
from topologies.lab import Lab
from topologies.system import Controller, profiles
from topologies.traffic import Flow, Load, await_ping, shaper_counts

RESIZES = 1000
PATIENCE_S = 240
"""For all of them."""
STRAGGLERS_S = 0.5
"""After the shapers are empty, the last packets are on two fibres and in two switches: milliseconds."""
FITS = Load(1_000, ip_bytes=200, seconds=PATIENCE_S + 30)
"""Always less than the smallest size, and many packets of it."""
BACKLOGS = Load(70_000, seconds=PATIENCE_S + 30)
"""Always more than the largest."""
ROUTERS = {ZGC: "zgc-r", YZ: "yz-r"}


def resize(controller: Controller, corridor_id: str, kbps: int) -> float:
    """Seconds from the call until every device agrees."""
    began = time.monotonic()
    controller.patch(corridor_id, {"profiles": [{"name": "only", "bandwidthKbps": kbps}]})
    controller.settled(corridor_id)
    return time.monotonic() - began


def under_both_flows(lab: Lab, backlogged: str, fitting: str, during: Callable[[], None]) -> None:
    """One direction always backlogged, the other with a flow that always fits; both directions are resized."""
    before = shaper_counts(lab, ROUTERS[backlogged])
    full = Flow(lab, backlogged, fitting, ADDRESS[fitting][1], BACKLOGS)
    slim = Flow(lab, fitting, backlogged, ADDRESS[backlogged][1], FITS)
    during()
    for flow in (full, slim):
        flow.stop()
    await_drained(lab, *ROUTERS.values())
    time.sleep(STRAGGLERS_S)
    for flow in (full, slim):
        flow.end()
    got, whole = full.result(), slim.result()
    sent = busiest(before, shaper_counts(lab, ROUTERS[backlogged]))
    assert whole["sent"] > 1000
    assert (whole["lost"], whole["reordered"], whole["duplicated"]) == (0, 0, 0)
    assert got["lost"] > 0  # it was backlogged indeed
    assert (sent.packets - got["received"], got["reordered"], got["duplicated"]) == (0, 0, 0)


@pytest.mark.timeout(2 * PATIENCE_S)
def test_a_thousand_sizes_lose_nothing(
    lab: Lab, controller: Controller, corridor: Make, record_property: Callable[[str, object], None]
) -> None:
    """The first half with the large flow A to Z and the small one Z to A, the second half the other way round."""
    made, chance, took = corridor("resized", body(ZGC, YZ, only=20)), random.Random(709), list[float]()
    await_ping(lab, ZGC, ADDRESS[YZ][1])

    def resizes() -> None:
        for _ in range(RESIZES // 2):
            took.append(resize(controller, "resized", chance.randrange(2_000, 60_001)))

    began = time.monotonic()
    under_both_flows(lab, ZGC, YZ, resizes)
    under_both_flows(lab, YZ, ZGC, resizes)
    whole = time.monotonic() - began
    figures = {"seconds": whole, "median_ms": 1000 * statistics.median(took), "worst_ms": 1000 * max(took)}
    for name, figure in figures.items():
        record_property(name, round(figure, 1))
    print(f"{RESIZES} resizes: " + ", ".join(f"{name} {figure:.1f}" for name, figure in figures.items()))
    settled, nodes = controller.settled("resized"), otn_nodes(controller)
    assert slice_ids(settled) == slice_ids(made)
    ours = slice_ids(settled)
    assert (slots(lab, nodes, ours), meters(lab, nodes, ours)) == expected(controller, [settled])
    assert whole < PATIENCE_S


def test_shrinking_in_band_before_the_shaper_loses_packets(lab: Lab, controller: Controller, corridor: Make) -> None:
    """So that the test above can fail: the source is commanded while the shaper still sends at the larger size.

    No controller runs meanwhile: each 30 s it looks whether a slice has its size, and would put this one right.
    """
    made = corridor("too-early", body(ZGC, YZ, only=60))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    (slice_id,), nodes = slice_ids(made), otn_nodes(controller)
    before = shaper_counts(lab, "zgc-r")
    controller.stop()
    try:
        flow = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(75_000, seconds=2))
        assert commanded(lab, "zgc-o", slice_id, 3) == pb.ResizeNotice.MODIFIED_OK
        got = flow.result()
        await_drained(lab, "zgc-r")
        sent = busiest(before, shaper_counts(lab, "zgc-r"))
        sizes = {held.sizes for held in slots(lab, nodes, {slice_id}).values()}
    finally:
        controller.start()
        controller.await_topology()
    assert sent.packets > got["received"] * 1.1
    assert sizes == {(3, 3)}


def commanded(lab: Lab, source: str, slice_id: int, count: int) -> int:
    """How a resize ended that was commanded behind the controller's back, in the name of its present epoch."""
    with line_card(lab, source) as stub:
        for epoch in range(1, 1000):
            request = pb.ResizeRequest(epoch=epoch, slice_id=slice_id, target_count=count)
            try:
                return int([notice.state for notice in stub.Resize(request, timeout=10)][-1])
            except grpc.RpcError as refusal:
                if refusal.code() is not grpc.StatusCode.PERMISSION_DENIED:
                    raise
    raise AssertionError("no epoch would do")


@pytest.mark.parametrize("mbps", [(2, 60), (60, 2), (19, 20), (20, 20)])
def test_size_slots_and_meters_are_the_same_at_every_node(
    lab: Lab, controller: Controller, corridor: Make, mbps: tuple[int, int]
) -> None:
    corridor("sized", body(ZGC, YZ, only=mbps[0]))
    controller.patch("sized", {"profiles": profiles(only=mbps[1])})
    settled: dict[str, Any] = controller.settled("sized")
    ours, nodes = slice_ids(settled), otn_nodes(controller)
    assert (slots(lab, nodes, ours), meters(lab, nodes, ours)) == expected(controller, [settled])
