"""What the fibre carries, decoded by tshark: outer header, carriers, channel address."""

from __future__ import annotations

from corridor_lab import channel
from places import ADDRESS, CP, FT, YZ, ZGC, Make, body
from tunnels import NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, carrier, outer

from topologies.lab import Lab
from topologies.traffic import await_ping


def test_hard_corridor_rides_its_channel(lab: Lab, corridor: Make) -> None:
    made = corridor("wire", body(ZGC, YZ, only=20))
    leg = made["legs"][0]
    for family, name, next_header in ((1, "forward", NEXT_HEADER_IPV6), (0, "forwardIpv4", NEXT_HEADER_IPV4)):
        address = ADDRESS[YZ][family]
        await_ping(lab, ZGC, address)
        expected = (channel(made), "fcbb:bb00:1::1", carrier(leg, name), next_header, address)
        assert outer(lab, ZGC, address, "zgc-r") == {expected}


def test_soft_corridor_takes_its_adjacencies(lab: Lab, corridor: Make) -> None:
    """cp to ft: over one or more routers; on the wire exactly the carrier that the API shows, and no SRH."""
    made = corridor("hops", body(CP, FT, "SOFT", only=20))
    leg = made["legs"][0]
    await_ping(lab, CP, ADDRESS[FT][1])
    rows = outer(lab, CP, ADDRESS[FT][1], "cp-r")
    assert {row[1:] for row in rows} == {("fcbb:bb00:2::1", carrier(leg, "forward"), NEXT_HEADER_IPV6, ADDRESS[FT][1])}
    assert len(leg["nodes"]) > 2


def test_latency_is_what_was_promised(lab: Lab, corridor: Make) -> None:
    """The round trip holds at least the fibre both ways, and an idle one is far below twice the bound."""
    made = corridor("delay", body(ZGC, YZ, only=20))
    leg = made["legs"][0]
    await_ping(lab, ZGC, ADDRESS[YZ][1])
    output = lab.run(ZGC, ["ping", "-n", "-c", "20", "-i", "0.02", ADDRESS[YZ][1]]).stdout
    least_ms = float(output.rsplit("=", 1)[1].split("/")[0])
    fibre_us = next(term["valueUs"] for term in leg["latency"] if term["name"] == "fibre")
    assert 2 * fibre_us <= least_ms * 1000 <= 2 * made["maxLatencyUs"]
