"""What a corridor carries between two routers of any kind: its bandwidth in IP bits, shaped or policed, no more."""

from __future__ import annotations

import pytest
from corridor_lab import Make, channel
from rates import carries, flooded_kbps
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from sites import EAST, WAYS, WEST, Mix, Site, body, flow

from topologies.lab import Lab
from topologies.traffic import Load, await_ping, ping

SECONDS = 3.0
STRANGER = ("10.7.0.2", "2001:db8:7::2")
"""Nobody's, and in no corridor."""


def meet(lab: Lab, family: int) -> None:
    for source, sink in WAYS.values():
        await_ping(lab, source.host, sink.address[family])


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("mbps", [2, 10])
@pytest.mark.parametrize("isolation", ["HARD", "SOFT"])
def test_carries_its_bandwidth_both_ways_and_not_more(
    lab: Lab, corridor: Make, isolation: str, mbps: int, family: int
) -> None:
    corridor("rate", body(isolation, only=mbps))
    meet(lab, family)
    load = Load(mbps * 1500, seconds=SECONDS)

    def slower_of_both() -> float:
        flows = [flow(lab, source, sink, load, family) for source, sink in WAYS.values()]
        rates = [float(each.result()["ip_kbps"]) for each in flows]
        assert max(rates) <= mbps * 1030, rates
        return min(rates)

    carries(mbps * 1000, 0.03, slower_of_both)


@pytest.mark.parametrize(("source", "sink"), WAYS.values(), ids=WAYS)
def test_what_is_too_much_waits_or_is_dropped_at_once(
    lab: Lab, corridor: Make, mix: Mix, source: Site, sink: Site
) -> None:
    """A flow that was too fast for a second: a shaper's queue is still emptied when it ends, a policer has none."""
    corridor("excess", body(only=2))
    meet(lab, 1)
    target = mix[(WEST, EAST).index(source)]
    waited_us = flow(lab, source, sink, Load(3_000, seconds=1)).result()["one_way_us"]["p50"]
    assert (waited_us > 100_000) == (target == "linux"), waited_us


def test_slots_carry_ten_megabits_each_and_not_more(lab: Lab, corridor: Make) -> None:
    """Flooded past the router, straight at the OTN client port: the slots are the limit."""
    made = corridor("slots", body(only=2))
    slots = made["legs"][0]["slices"][0]["activeSlots"]
    assert slots == 1
    frame = bytes(Ether(dst=channel(made), src="06:00:00:01:00:01", type=0x88B5) / Raw(bytes(1386)))
    carries(10_000, 0.05, lambda: flooded_kbps(lab, WEST.router, EAST.router, frame, 20_000))


@pytest.mark.parametrize(("source", "sink"), WAYS.values(), ids=WAYS)
def test_traffic_without_a_corridor_goes_nowhere(lab: Lab, corridor: Make, source: Site, sink: Site) -> None:
    """The same VRF, other destinations: nothing of it leaves the router."""
    corridor("only", body(only=2))
    meet(lab, 1)
    with lab.capture(source.router, "eth1", "ip6 proto 41 or ip6 proto 4") as capture:
        for address in STRANGER:
            assert ping(lab, source.host, address) == 0
        assert ping(lab, source.host, sink.address[1]) == 3
    inner = {v4 or v6.split(",")[-1] for v4, v6 in capture.fields("ip.dst", "ipv6.dst")}
    assert inner == {sink.address[1], source.address[1]}


def test_deleted_is_gone(lab: Lab, corridor: Make, request: pytest.FixtureRequest) -> None:
    controller = request.getfixturevalue("controller")
    controller.create("brief", body(only=2))
    meet(lab, 0)
    controller.delete("brief")
    for source, sink in WAYS.values():
        for address in sink.address:
            assert ping(lab, source.host, address) == 0
