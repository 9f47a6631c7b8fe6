"""What a corridor carries: its bandwidth in IP bits, its slots in frame bytes, and nothing of anyone else."""

from __future__ import annotations

import pytest
from corridor_lab import channel
from places import ADDRESS, CP, FT, YZ, ZGC, Make, body
from rates import carries, flooded_kbps
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping, ping


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("isolation", "mbps"), [("HARD", 20), ("HARD", 60), ("SOFT", 20)])
def test_carries_its_bandwidth_and_not_more(lab: Lab, corridor: Make, isolation: str, mbps: int, family: int) -> None:
    corridor("rate", body(ZGC, YZ, isolation, only=mbps))
    await_ping(lab, ZGC, ADDRESS[YZ][family])
    load = Load(int(mbps * 1.5e3), seconds=3)
    carries(mbps * 1000, 0.03, lambda: Flow(lab, ZGC, YZ, ADDRESS[YZ][family], load).result()["ip_kbps"])


def test_both_directions_at_once(lab: Lab, corridor: Make) -> None:
    corridor("both", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    load = Load(30_000)

    def slower_of_both() -> float:
        flows = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], load), Flow(lab, YZ, ZGC, ADDRESS[ZGC][1], load)
        rates = [flow.result()["ip_kbps"] for flow in flows]
        assert max(rates) <= 20_600
        return min(rates)

    carries(20_000, 0.03, slower_of_both)


def test_slots_carry_ten_megabits_each_and_not_more(lab: Lab, corridor: Make) -> None:
    """Flooded past the ingress shaper, straight at the OTN client port: the slots are the limit."""
    made = corridor("slots", body(ZGC, YZ, only=20))
    slots = made["legs"][0]["slices"][0]["activeSlots"]
    assert slots == 3  # 20 Mbit/s in 1400-byte packets with 78 bytes of overhead: 21.1 Mbit/s on the wire
    frame = bytes(Ether(dst=channel(made), src="06:00:00:01:00:01", type=0x88B5) / Raw(bytes(1386)))
    carries(slots * 10_000, 0.05, lambda: flooded_kbps(lab, "zgc-r", "yz-r", frame, 2 * slots * 10_000))


def test_others_cannot_use_its_slots(lab: Lab, controller: Controller, corridor: Make) -> None:
    """A soft corridor is flooded beside it: the hard one loses nothing."""
    corridor("hard", body(ZGC, YZ, only=20))
    corridor("soft", body(CP, FT, "SOFT", only=40))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    await_ping(lab, CP, ADDRESS[FT][1])

    def calm_beside_flood() -> float:
        flood = Flow(lab, CP, FT, ADDRESS[FT][1], Load(90_000, seconds=3))
        calm = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(19_000, seconds=2.5)).result()
        assert flood.result()["ip_kbps"] <= 41_200
        return calm["received"] / calm["sent"]

    carries(1.0, 0.0, calm_beside_flood)


def test_traffic_without_a_corridor_goes_nowhere(lab: Lab, corridor: Make) -> None:
    """The same VRF, other destinations: nothing of it enters the slice."""
    corridor("only", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    with lab.capture("yz-r", "eth1", "ip6 proto 41 or ip6 proto 4") as capture:
        assert ping(lab, ZGC, ADDRESS[CP][1]) == 0
        assert ping(lab, ZGC, ADDRESS[YZ][1]) == 3
    inner = {fields[0].split(",")[-1] for fields in capture.fields("ipv6.dst")}
    assert ADDRESS[CP][1] not in inner


def test_deleted_is_gone(lab: Lab, controller: Controller) -> None:
    controller.create("brief", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    slice_id = controller.get("brief")["legs"][0]["slices"][0]["id"]
    cookie = f"{slice_id:08x}"
    assert cookie in lab.ofctl("zgc-o", "dump-flows")
    controller.delete("brief")
    assert ping(lab, ZGC, ADDRESS[YZ][1]) == 0
    wait_for(
        "no flow of it",
        lambda: not any(cookie in f.split(",")[0] for f in lab.ofctl("zgc-o", "dump-flows").split("\n")),
    )
