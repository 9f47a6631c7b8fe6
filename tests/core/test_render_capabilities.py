"""What routers are told beside the common lot: their neighbours, where they resolve none; a policed rate, where they
do not shape. The oracles are a token bucket (RFC 2697) fed by a paced sender, and addresses written out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journeys import stages
from networks import BLOCK, Network, chain, corridor, node_name, square

from controller.core.enforcement import with_enforcement
from controller.core.entries import Entry, Exact, MeterEntry, TableEntry
from controller.core.model import Capabilities, Enforcement, Isolation, NodeKind, Stage, Status
from controller.core.records import with_reference_packets
from controller.core.topology import NodeChanged, Topology

PLAIN = Capabilities(shaping=False, resolves_neighbors=False, fenced=False)
WINDOW_S = 3


def able(topology: Topology, sites: dict[int, Capabilities]) -> Topology:
    for site, capabilities in sites.items():
        topology = topology.apply(NodeChanged(node_name(f"r{site}"), Status.UP, capabilities))
    return topology


def two(first: Capabilities, second: Capabilities) -> Network:
    """Two sites, in each of which both tenants have the same machine by address, each with a MAC of its own."""
    net = Network.of(chain(2))
    net.topology = able(net.topology, {1: first, 2: second})
    return net


def rows(net: Network, site: int, *names: str) -> list[Entry]:
    held = net.tables()[node_name(f"r{site}")]
    return [e for e in held if getattr(e, "table", getattr(e, "meter", "")) in names]


OWN = ("gateway", "host_v4", "host_v6", "icmp_limit")


def test_who_resolves_nothing_is_told_all_of_the_ports_in_use_and_of_no_other() -> None:
    net = two(PLAIN, Capabilities())
    net.stand(corridor(a=1, z=2))
    number = ip_address
    mac = 0x0A0000000001
    expected = {
        TableEntry(
            "gateway",
            (("port", Exact(2)),),
            "set_gateway",
            (("ipv4", int(number("10.9.1.1"))), ("ipv6", int(number("2001:db8:9:1::1")))),
        ),
        MeterEntry("icmp_limit", 2, 100, 100),
        TableEntry("host_v4", _at(2, "10.9.1.7"), "set_dst_mac", (("mac", mac),)),
        TableEntry("host_v6", _at(2, "2001:db8:9:1::7"), "set_dst_mac", (("mac", mac),)),
    }
    assert set(rows(net, 1, *OWN)) == expected
    assert not rows(net, 2, *OWN)
    net.stand(corridor("other", a=1, z=2, tenant="globex"))
    told = {dict(e.match)["port"]: dict(e.params)["mac"] for e in rows(net, 1, "host_v4")}  # type: ignore[union-attr]
    assert told == {Exact(2): 0x0A0000000001, Exact(3): 0x0A0000000101}
    net.take_away(corridor().name)
    assert {dict(e.match)["port"] for e in rows(net, 1, "gateway", "host_v6")} == {Exact(3)}  # type: ignore[union-attr]
    assert [e.index for e in rows(net, 1, "icmp_limit")] == [3]  # type: ignore[union-attr]


def _at(port: int, address: str) -> tuple[tuple[str, Exact], ...]:
    return ("addr", Exact(int(ip_address(address)))), ("port", Exact(port))


def test_a_port_of_one_family_is_a_gateway_of_that_one() -> None:
    net = two(PLAIN, PLAIN)
    node = net.topology.nodes[node_name("r1")]
    ports = tuple(replace(p, ipv6_gateway="", neighbors=p.neighbors[:1]) for p in node.access_ports)
    net.topology = replace(net.topology, nodes={**net.topology.nodes, node.name: replace(node, access_ports=ports)})
    only_v4 = corridor(a=1, z=2)
    a_end, z_end = (replace(end, ipv6_prefixes=()) for end in (only_v4.a_end, only_v4.z_end))
    net.stand(replace(only_v4, a_end=a_end, z_end=z_end))
    (gateway,) = rows(net, 1, "gateway")
    assert dict(gateway.params) == {"ipv4": int(ip_address("10.9.1.1")), "ipv6": 0}  # type: ignore[union-attr]
    assert not rows(net, 1, "host_v6")


def test_neighbours_stand_as_long_as_the_port_is_in_use_at_every_stage() -> None:
    net = two(PLAIN, PLAIN)
    net.ask(corridor(a=1, z=2))
    while net.records[corridor().name].stage != "SETTLED":
        assert {getattr(e, "table", "icmp_limit") for e in rows(net, 2, *OWN)} == set(OWN)
        net.step(corridor().name)
    net.ask(replace(corridor(a=1, z=2), active_profile="p1"))
    for tables in stages(net, corridor().name):
        found = {getattr(e, "table", "icmp_limit") for e in tables[node_name("r1")]}
        assert set(OWN) <= found


def test_every_router_answers_to_its_own_address() -> None:
    net = Network.of(square())
    for site in range(1, 5):
        (own,) = rows(net, site, "node_address")
        expected = Exact(int(ip_address(BLOCK.split("::")[0] + f":{site}::1")))
        assert own == TableEntry("node_address", (("dst", expected),), "to_node")


def test_what_was_stored_without_its_reference_packet_gets_it_back_at_every_stage() -> None:
    """The new and the old placement of a change were made for different ones."""
    net = two(PLAIN, PLAIN)
    wanted = corridor(a=1, z=2, isolation=Isolation.SOFT, reference_packet_bytes=512)
    found = [net.ask(wanted)]
    net.settle(wanted.name)
    found.append(net.records[wanted.name])
    larger = net.ask(replace(wanted, reference_packet_bytes=1200))
    found += [replace(larger, stage=stage) for stage in (Stage.BUILD, Stage.STEER, Stage.CLEAN)]
    net.settle(wanted.name)
    found.append(net.remove(wanted.name))
    for record in found:
        parts = {"current": record.current, "target": record.target}
        bare = {name: replace(part, reference_packet_bytes=0) for name, part in parts.items() if part}
        assert with_reference_packets(replace(record, **bare)) == record  # type: ignore[arg-type]
        assert with_reference_packets(record) == record


# -- policing ----------------------------------------------------------------------------------------------------------


def cell(net: Network, site: int) -> MeterEntry:
    (meter,) = rows(net, site, "slice_meter")
    assert isinstance(meter, MeterEntry)
    return meter


def passed(meter: MeterEntry, frame: int, frames_per_s: float, seconds: int, stall_s: float) -> int:
    """Frames that a single-rate token bucket lets through in so many seconds; it is full at first.

    The sender paces; what is between them holds frames back for `stall_s` every half second, and then hands them over.
    """
    tokens, last, through = float(meter.burst), 0.0, 0
    for number in range(int(frames_per_s * seconds)):
        sent = number / frames_per_s
        now = max(sent, int(sent * 2) / 2 + stall_s)
        tokens = min(meter.burst, tokens + (now - last) * meter.rate)
        last = now
        if tokens >= frame:
            tokens -= frame
            through += 1
    return through


WIRE_OF_SMALL = {1400: 1.00, 512: 1.07, 256: 1.18, 128: 1.39, 64: 1.74}
"""Of what the ledger holds, what a policed soft corridor takes on the wire in packets of so many bytes."""


@pytest.mark.parametrize(("packet", "share"), WIRE_OF_SMALL.items())
def test_small_packets_of_a_policed_corridor_take_more_of_the_wire(packet: int, share: float) -> None:
    """On each adjacency: preamble 8, Ethernet 14, outer IPv6 40, the packet, FCS 4, gap 12; its reference is 1400."""
    net = two(PLAIN, PLAIN)
    record = net.stand(corridor(a=1, z=2, rates=(100_000,), isolation=Isolation.SOFT))
    assert record.target is not None
    packets_per_s = cell(net, 1).rate / (14 + packet)
    wire_kbps = packets_per_s * (8 + 14 + 40 + packet + 4 + 12) * 8 / 1000
    assert wire_kbps / record.target.claimed_forward_kbps == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("page", ["decisions/0011-by-what-routers-can-do.md", "pipeline.md"])
def test_what_small_packets_take_is_said(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    table = re.search(r"^\| customer's packet, bytes \|([^\n]*)\|\n\|[-|]+\|\n\|[^|]*\|([^\n]*)\|$", text, re.MULTILINE)
    assert table is not None
    packets, shares = ([cell.strip() for cell in row.split("|")] for row in table.groups())
    assert dict(zip(map(int, packets), map(float, shares), strict=True)) == WIRE_OF_SMALL


@settings(max_examples=25, deadline=None)
@given(
    kbps=st.integers(2_000, 30_000),
    packet=st.integers(600, 1500),
    stall_ms=st.integers(0, 10),
    isolation=st.sampled_from(Isolation),
)
def test_a_policed_flow_of_half_as_much_again_gets_its_bandwidth(
    kbps: int, packet: int, stall_ms: int, isolation: Isolation
) -> None:
    net = two(PLAIN, Capabilities())
    net.stand(corridor(a=1, z=2, rates=(kbps,), isolation=isolation, reference_packet_bytes=packet))
    meter, frame = cell(net, 1), packet + 14
    offered = kbps * 1000 * 1.5 / 8 / packet
    through = passed(meter, frame, offered, WINDOW_S, stall_ms / 1000) * packet * 8 / WINDOW_S
    assert through == pytest.approx(kbps * 1000, rel=0.03)
    within = kbps * 1000 * 0.99 / 8 / packet
    assert passed(meter, frame, within, 1, stall_ms / 1000) == int(within), "nothing of 99 % is dropped"


@pytest.mark.parametrize("isolation", Isolation)
def test_the_policed_rate_counts_frames_as_customers_send_them(isolation: Isolation) -> None:
    """100 Mbit/s in packets of 1400: 8928.57 a second, 1414 bytes each with the Ethernet header."""
    net = two(PLAIN, Capabilities())
    net.stand(corridor(a=1, z=2, rates=(100_000,), isolation=isolation))
    assert cell(net, 1).rate == pytest.approx(100e6 / 8 / 1400 * 1414, abs=125)
    assert cell(net, 2).rate == pytest.approx(100e6 / 8 / 1400 * (1400 + 40 + 38), abs=125)
    assert (cell(net, 1).highest_rate, cell(net, 1).peak_burst) == (cell(net, 1).rate, 0)


def test_a_slow_corridor_lets_its_largest_packets_through() -> None:
    net = two(PLAIN, PLAIN)
    net.stand(corridor(a=1, z=2, rates=(64,), mtu_bytes=9000 - 40))
    assert cell(net, 1).burst >= 2 * (9000 - 40 + 14)


def test_a_longer_list_makes_no_difference_to_what_customers_may_send() -> None:
    nets = {}
    for sites in (2, 8):
        net = Network.of(chain(sites, twins=True))
        net.topology = able(net.topology, {1: PLAIN})
        record = net.stand(corridor(a=1, z=sites, isolation=Isolation.SOFT))
        assert record.target is not None
        nets[len(record.target.leg.forward.carriers)] = cell(net, 1).rate
    assert nets.keys() == {1, 3}
    assert nets[1] == pytest.approx(nets[3], abs=125)


# -- what owners are told ----------------------------------------------------------------------------------------------


def test_each_direction_is_held_to_its_profile_by_its_own_headend() -> None:
    for first, second in ((PLAIN, Capabilities()), (Capabilities(), PLAIN)):
        net = two(first, second)
        told = with_enforcement(net.stand(corridor(a=1, z=2)).corridor, net.topology).legs[0]
        words = {True: Enforcement.SHAPED, False: Enforcement.POLICED}
        assert told.forward_enforcement is words[first.shaping]
        assert told.reverse_enforcement is words[second.shaping]


def test_what_routers_can_do_concerns_routers_alone() -> None:
    net = two(PLAIN, PLAIN)
    before = two(Capabilities(), Capabilities())
    for each in (net, before):
        each.stand(corridor(a=1, z=2))
    for node in net.topology.nodes.values():
        if node.kind is NodeKind.OTN:
            assert net.tables()[node.name] == before.tables()[node.name]
