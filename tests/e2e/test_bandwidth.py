"""What a corridor carries: its bandwidth in IP bits, its slots in frame bytes, and nothing of anyone else."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Make
from places import ADDRESS, CP, FT, YZ, ZGC, body
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping, interface_bytes, ping

RAW = str(Path(__file__).with_name("raw_frames.py"))


def channel(corridor: dict[str, Any]) -> str:
    slice_id = corridor["legs"][0]["slices"][0]["id"]
    return f"02:{slice_id >> 24 & 255:02x}:{slice_id >> 16 & 255:02x}:{slice_id >> 8 & 255:02x}:{slice_id & 255:02x}:00"


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("isolation", "mbps"), [("HARD", 20), ("HARD", 60), ("SOFT", 20)])
def test_carries_its_bandwidth_and_not_more(lab: Lab, corridor: Make, isolation: str, mbps: int, family: int) -> None:
    corridor("rate", body(ZGC, YZ, isolation, only=mbps))
    await_ping(lab, ZGC, ADDRESS[YZ][family])
    got = Flow(lab, ZGC, YZ, ADDRESS[YZ][family], Load(int(mbps * 1.5e3), seconds=3)).result()
    assert got["ip_kbps"] == pytest.approx(mbps * 1000, rel=0.03)


def test_both_directions_at_once(lab: Lab, corridor: Make) -> None:
    corridor("both", body(ZGC, YZ, only=20))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    flows = [
        Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(30_000)),
        Flow(lab, YZ, ZGC, ADDRESS[ZGC][1], Load(30_000)),
    ]
    for flow in flows:
        assert flow.result()["ip_kbps"] == pytest.approx(20_000, rel=0.03)


def test_slots_carry_ten_megabits_each_and_not_more(lab: Lab, corridor: Make) -> None:
    """Flooded past the ingress shaper, straight at the OTN client port: the slots are the limit."""
    made = corridor("slots", body(ZGC, YZ, only=20))
    slots = made["legs"][0]["slices"][0]["activeSlots"]
    assert slots == 3  # 20 Mbit/s in 1400-byte packets with 78 bytes of overhead: 21.1 Mbit/s on the wire
    frame = bytes(Ether(dst=channel(made), src="06:00:00:01:00:01", type=0x88B5) / Raw(bytes(1386)))
    seconds, rate = 4.0, 2 * slots * 10e6 / 8 / len(frame)
    argv = [sys.executable, RAW, "eth1", frame.hex(), str(int(rate * seconds)), f"{rate:.1f}"]
    with lab.popen("zgc-r", argv) as flood:
        time.sleep(1.5)  # the meter's burst of a quarter second is spent
        before, began = interface_bytes(lab, "yz-r", "eth1"), time.monotonic()
        flood.wait(timeout=20)
        carried, took = interface_bytes(lab, "yz-r", "eth1") - before, time.monotonic() - began
    assert carried * 8 / took == pytest.approx(slots * 10.0e6, rel=0.05)


def test_others_cannot_use_its_slots(lab: Lab, controller: Controller, corridor: Make) -> None:
    """A soft corridor is flooded beside it: the hard one loses nothing."""
    corridor("hard", body(ZGC, YZ, only=20))
    corridor("soft", body(CP, FT, "SOFT", only=40))
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    await_ping(lab, CP, ADDRESS[FT][1])
    flood = Flow(lab, CP, FT, ADDRESS[FT][1], Load(90_000, seconds=3))
    calm = Flow(lab, ZGC, YZ, ADDRESS[YZ][1], Load(19_000, seconds=2.5))
    assert calm.result()["lost"] == 0
    assert flood.result()["ip_kbps"] == pytest.approx(40_000, rel=0.03)


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
