"""Packets through the compiled pipeline on BMv2. What must come out is built with scapy, from the RFCs.

Node 1 has two network ports (1 and 4) and two customer ports (2: VRF 7, 3: VRF 8) whose hosts have the same addresses.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from switch_bench import SilentListener, SwitchBench

from controller.core.entries import Entry, Exact, Lpm, MeterEntry, TableEntry, Ternary

SWITCH = shutil.which("simple_switch_grpc")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(SWITCH is None, reason="simple_switch_grpc is not on the path"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]

MAC = {port: f"06:00:00:01:00:{port:02x}" for port in (1, 2, 3, 4)}
HOST = {2: "0a:00:00:00:00:02", 3: "0a:00:00:00:00:03"}
CHANNEL = {1: "02:00:00:00:07:00", 4: "02:00:00:00:08:01"}
NEIGHBOUR = "06:00:00:02:00:01"
SOURCE = "fcbb:bb00:1::1"
A6, Z6, A4, Z4 = "2001:db8:1::2", "2001:db8:2::2", "10.1.0.2", "10.2.0.2"
CARRIERS = ("fcbb:bb00:2:e003:3::", "fcbb:bb00:4:5:6:7:8:9", "fcbb:bb00:a:e107::")
CORRIDOR, METERED = 5, 6


def mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def v6(text: str) -> int:
    return int(IPv6Address(text))


def v4(text: str) -> int:
    return int(IPv4Address(text))


def sid(address: str, length: int, action: str, **params: int) -> TableEntry:
    return TableEntry("local_sid", (("dst", Lpm(v6(address), length)),), action, tuple(params.items()))


def route(table: str, vrf: int, value: int, length: int, next_hop: int) -> TableEntry:
    match = (("dst", Lpm(value, length)), ("vrf", Exact(vrf)))
    return TableEntry(table, match, "set_next_hop", (("next_hop", next_hop),))


def adjacency(number: int, port: int) -> TableEntry:
    params = (("port", port), ("src_mac", mac(MAC[port])), ("dst_mac", mac(CHANNEL[port])))
    return TableEntry("next_hop", (("next_hop", Exact(number)),), "to_adjacency", params)


def customer(port: int, vrf: int) -> list[Entry]:
    """A customer port with the two prefixes and the one host behind it."""
    number = port * 10
    host = (("mac", mac(HOST[port])),)
    return [
        TableEntry("port_role", (("port", Exact(port)),), "customer", (("mac", mac(MAC[port])), ("vrf", vrf))),
        TableEntry("next_hop", (("next_hop", Exact(number)),), "to_customer", (("port", port),)),
        route("route_v6", vrf, v6("2001:db8:1::"), 64, number),
        route("route_v4", vrf, v4("10.1.0.0"), 24, number),
        TableEntry("host_v6", (("addr", Exact(v6(A6))), ("port", Exact(port))), "set_dst_mac", host),
        TableEntry("host_v4", (("addr", Exact(v4(A4))), ("port", Exact(port))), "set_dst_mac", host),
    ]


def policy(number: int, carriers: tuple[str, ...]) -> TableEntry:
    params = [("next_hop", 10)] + [(f"carrier{n}", v6(carrier)) for n, carrier in enumerate(carriers, 1)]
    return TableEntry("policy", (("policy", Exact(number)),), f"encap_red_{len(carriers)}", tuple(params))


def v6_prefix(text: str) -> Ternary:
    address, length = text.split("/")
    mask = (1 << 128) - (1 << (128 - int(length)))
    return Ternary(v6(address) & mask, mask)


def classifier(policy: int, corridor: int, priority: int, **fields: Ternary) -> TableEntry:
    match = tuple(sorted([*fields.items(), ("vrf", Exact(7))], key=lambda item: item[0]))
    params = (("policy", policy), ("corridor", corridor), ("mtu", 1500))
    return TableEntry("classifier_v6", match, "set_policy", params, priority)


SITES = {"src": v6_prefix("2001:db8:1::/64"), "dst": v6_prefix("2001:db8:2::/64")}
CARELESS = [  # rules that would carry what the edge has to stop, so that only the edge can stop it
    classifier(1, CORRIDOR, 1, dst=v6_prefix("fcbb::/16")),
    classifier(1, CORRIDOR, 2, dst=v6_prefix("ff00::/8")),
    classifier(1, CORRIDOR, 3, src=v6_prefix("fe80::/10")),
]
CLASSIFIER_V4 = TableEntry(
    "classifier_v4",
    (("dst", Ternary(v4("10.2.0.0"), 0xFFFFFF00)), ("vrf", Exact(7))),
    "set_policy",
    (("policy", 2), ("corridor", CORRIDOR), ("mtu", 1500)),
    10,
)
ENTRIES: list[Entry] = [
    TableEntry("tunnel_source", (), "set_tunnel_source", (("addr", v6(SOURCE)),)),
    *(TableEntry("port_role", (("port", Exact(p)),), "network", (("mac", mac(MAC[p])),)) for p in (1, 4)),
    TableEntry("edge_filter", (("dst", Lpm(v6("fcbb:bb00::"), 32)),), "drop_infrastructure"),
    adjacency(10, 1),
    adjacency(11, 4),
    *customer(2, 7),
    *customer(3, 8),
    sid("fcbb:bb00:1::", 48, "u_n"),
    sid("fcbb:bb00:1:e001::", 64, "u_a", next_hop=11),
    sid("fcbb:bb00:1:e107::", 64, "u_dt6", vrf=7),
    sid("fcbb:bb00:1:e108::", 64, "u_dt6", vrf=8),
    sid("fcbb:bb00:1:e207::", 64, "u_dt4", vrf=7),
    sid("fcbb:bb00:1:e208::", 64, "u_dt4", vrf=8),
    sid("fcbb:bb00:1:e300::1", 128, "end"),
    sid("fcbb:bb00:1:e300::2", 128, "end_x", next_hop=11),
    sid("fcbb:bb00:1:e300::3", 128, "end_dt6", vrf=7),
    sid("fcbb:bb00:1:e300::4", 128, "end_dt4", vrf=8),
    sid("fcbb:bb00:1:e300::5", 128, "end_dx4", next_hop=30),
    route("route_v6", 0, v6("fcbb:bb00:2::"), 48, 10),
    route("route_v6", 0, v6("fcbb:bb00:3::"), 48, 11),
    policy(1, CARRIERS[:1]),
    policy(2, CARRIERS[:2]),
    policy(3, CARRIERS),
    classifier(1, CORRIDOR, 10, **SITES),
    classifier(3, CORRIDOR, 20, **SITES, dscp=Ternary(46, 63)),
    classifier(1, METERED, 30, **SITES, dscp=Ternary(10, 63)),
    *CARELESS,
    CLASSIFIER_V4,
    MeterEntry("slice_meter", METERED, 1, 4000),  # a byte a second: the burst is all that ever passes
]


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchBench]:
    bench = SwitchBench(tmp_path_factory.mktemp("bmv2"))
    try:
        assert SWITCH is not None
        bench.start(SWITCH)
        asyncio.run(bench.write(ENTRIES))
        yield bench
    finally:
        bench.stop()


@pytest.fixture
def bench(switch: SwitchBench) -> SwitchBench:
    """The switch without what a failed test may have left in the sockets."""
    switch.drain()
    return switch


# ---- what goes in, and what must come out


def from_host(port: int, packet: Packet, to: str = "") -> bytes:
    return bytes(Ether(src=HOST[port], dst=to or MAC[port]) / packet)


def from_core(packet: Packet, port: int = 1) -> bytes:
    return bytes(Ether(src=NEIGHBOUR, dst=MAC[port]) / packet)


def on_channel(port: int, packet: Packet) -> bytes:
    return bytes(Ether(src=MAC[port], dst=CHANNEL[port]) / packet)


def to_host(port: int, packet: Packet, came_in: int = 1) -> bytes:
    return bytes(Ether(src=MAC[came_in], dst=HOST[port]) / packet)


def inner6(hlim: int = 64, size: int = 100, dscp: int = 0, **fields: object) -> Packet:
    """A customer packet of `size` bytes of IP."""
    defaults: dict[str, object] = {"src": A6, "dst": Z6, "fl": 0x12345}
    header = IPv6(hlim=hlim, tc=dscp << 2, **(defaults | fields))
    return header / UDP(sport=1, dport=2, chksum=1) / Raw(b"x" * (size - 48))


def inner4(ttl: int = 64, size: int = 100, **fields: object) -> Packet:
    defaults: dict[str, object] = {"src": A4, "dst": Z4, "id": 7}
    return IP(ttl=ttl, **(defaults | fields)) / UDP(sport=1, dport=2, chksum=1) / Raw(b"y" * (size - 28))


def srh(inner_header: int, left: int, *in_order: str) -> Packet:
    """An SRH with the segments in the order of travel; on the wire they stand in reverse (RFC 8754 clause 2)."""
    return IPv6ExtHdrSegmentRouting(
        nh=inner_header, segleft=left, lastentry=len(in_order) - 1, addresses=list(reversed(in_order))
    )


def outer(dst: str, hlim: int = 64, **fields: object) -> Packet:
    return IPv6(src=SOURCE, dst=dst, hlim=hlim, **fields)


def passes(bench: SwitchBench, port: int, frame: bytes) -> tuple[int, bytes]:
    bench.send(port, frame)
    received = bench.receive(1)
    assert received, "nothing came out"
    return received[0]


def is_dropped(bench: SwitchBench, port: int, frame: bytes) -> None:
    """The frame, then one marker through every port: only the markers may come out."""
    bench.send(port, frame)
    markers = [
        from_core(outer("fcbb:bb00:1:2::") / inner6(size=77)),
        from_core(outer("fcbb:bb00:1:3::") / inner6(size=77)),
        from_core(outer("fcbb:bb00:1:e107::") / inner6(size=77, dst=A6)),
        from_core(outer("fcbb:bb00:1:e108::") / inner6(size=77, dst=A6)),
    ]
    for marker in markers:
        bench.send(1, marker)
    received = bench.receive(len(markers))
    assert sorted(at for at, _ in received) == [1, 2, 3, 4], [(at, Ether(f).summary()) for at, f in received]
    assert all(len(f) in (14 + 77, 14 + 40 + 77) for _, f in received)


def same_flow_label(expected: bytes, received: bytes) -> bytes:
    """The outer flow label is the encapsulating node's choice (RFC 6437); all else is given."""
    packet = Ether(expected)
    packet[IPv6].fl = Ether(received)[IPv6].fl
    return bytes(packet)


# ---- the headend


def test_one_carrier_needs_no_srh(bench: SwitchBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(dscp=12)))
    expected = on_channel(1, outer(CARRIERS[0], tc=12 << 2, nh=41) / inner6(hlim=63, dscp=12))
    assert (port, frame) == (1, same_flow_label(expected, frame))
    assert len(frame) - len(from_host(2, inner6())) == 40


def test_three_carriers_make_a_reduced_srh_of_two(bench: SwitchBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(dscp=46)))
    header = IPv6ExtHdrSegmentRouting(nh=41, segleft=2, lastentry=1, addresses=[CARRIERS[2], CARRIERS[1]])
    expected = on_channel(1, outer(CARRIERS[0], tc=46 << 2, nh=43) / header / inner6(hlim=63, dscp=46))
    assert (port, frame) == (1, same_flow_label(expected, frame))


def test_ipv4_goes_into_the_same_tunnel(bench: SwitchBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner4()))
    header = IPv6ExtHdrSegmentRouting(nh=4, segleft=1, lastentry=0, addresses=[CARRIERS[1]])
    expected = on_channel(1, outer(CARRIERS[0], nh=43) / header / inner4(ttl=63))
    assert (port, frame) == (1, same_flow_label(expected, frame))


@pytest.mark.parametrize("packet", [inner6, inner4], ids=["ipv6", "ipv4"])
def test_the_mtu_counts_the_whole_customer_packet(bench: SwitchBench, packet) -> None:
    assert passes(bench, 2, from_host(2, packet(size=1500)))[0] == 1
    is_dropped(bench, 2, from_host(2, packet(size=1501)))


def test_the_slice_meter_polices(bench: SwitchBench) -> None:
    for _ in range(20):
        bench.send(2, from_host(2, inner6(size=986, dscp=10)))  # 1000-byte frames
    bench.send(2, from_host(2, inner6(size=77)))
    lengths = []
    while 14 + 40 + 77 not in lengths:
        lengths += [len(frame) for _, frame in bench.receive(1)]
    assert 3 <= lengths.count(14 + 40 + 986) <= 5


# ---- endpoints


def test_u_n_takes_one_c_sid_off(bench: SwitchBench) -> None:
    packet = from_core(outer("fcbb:bb00:1:2:e003:d6::", hlim=9) / inner6())
    assert passes(bench, 1, packet) == (1, on_channel(1, outer("fcbb:bb00:2:e003:d6::", hlim=8) / inner6()))


def test_u_a_takes_two_c_sids_off_and_uses_its_own_adjacency(bench: SwitchBench) -> None:
    packet = from_core(outer("fcbb:bb00:1:e001:2:e107::", hlim=9) / inner6())
    assert passes(bench, 1, packet) == (4, on_channel(4, outer("fcbb:bb00:2:e107::", hlim=8) / inner6()))


@pytest.mark.parametrize(
    ("address", "next_segment", "port"),
    [
        ("fcbb:bb00:1::", "fcbb:bb00:2::", 1),
        ("fcbb:bb00:1:e300::1", "fcbb:bb00:2::", 1),
        ("fcbb:bb00:1:e300::2", "fcbb:bb00:2::", 4),
        ("fcbb:bb00:1:e001::", "fcbb:bb00:2::", 4),
    ],
    ids=["uN", "End", "End.X", "uA"],
)
def test_an_emptied_carrier_makes_way_for_the_next(
    bench: SwitchBench, address: str, next_segment: str, port: int
) -> None:
    last = "fcbb:bb00:9:e107::"
    packet = outer(address, nh=43) / srh(41, 2, next_segment, last) / inner6()
    moved = outer(next_segment, nh=43, hlim=63) / srh(41, 1, next_segment, last) / inner6()
    assert passes(bench, 1, from_core(packet)) == (port, on_channel(port, moved))


def test_transit_touches_nothing_but_the_hop_limit(bench: SwitchBench) -> None:
    tail = srh(41, 1, "fcbb:bb00:9::", "fcbb:bb00:8::", "fcbb:bb00:7::") / inner6()
    packet = outer("fcbb:bb00:3:e107::", nh=43) / tail
    assert passes(bench, 1, from_core(packet)) == (
        4,
        on_channel(4, outer("fcbb:bb00:3:e107::", nh=43, hlim=63) / tail),
    )


@pytest.mark.parametrize(
    ("address", "port"),
    [("fcbb:bb00:1:e107::", 2), ("fcbb:bb00:1:e108::", 3), ("fcbb:bb00:1:e300::3", 2)],
    ids=["uDT6 VRF 7", "uDT6 VRF 8", "End.DT6 VRF 7"],
)
def test_ipv6_is_delivered_in_the_vrf_of_the_sid(bench: SwitchBench, address: str, port: int) -> None:
    packet = inner6(src=Z6, dst=A6)
    expected = (port, to_host(port, inner6(src=Z6, dst=A6, hlim=63)))
    assert passes(bench, 1, from_core(outer(address) / packet)) == expected
    with_list = outer(address, nh=43) / srh(41, 0, address) / packet
    assert passes(bench, 1, from_core(with_list)) == expected


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("fcbb:bb00:1:e207::", 2),
        ("fcbb:bb00:1:e208::", 3),
        ("fcbb:bb00:1:e300::4", 3),
        ("fcbb:bb00:1:e300::5", 3),
    ],
    ids=["uDT4 VRF 7", "uDT4 VRF 8", "End.DT4 VRF 8", "End.DX4"],
)
def test_ipv4_is_delivered_in_the_vrf_of_the_sid(bench: SwitchBench, address: str, port: int) -> None:
    packet = outer(address, nh=4) / inner4(src=Z4, dst=A4)
    assert passes(bench, 1, from_core(packet)) == (port, to_host(port, inner4(src=Z4, dst=A4, ttl=63)))


def test_neighbours_of_one_vrf_reach_each_other_without_a_tunnel(bench: SwitchBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(src=Z6, dst=A6)))
    assert (port, frame) == (2, to_host(2, inner6(src=Z6, dst=A6, hlim=63), came_in=2))


# ---- what must not pass

OPTION_THEN_SRH = IPv6ExtHdrHopByHop() / srh(17, 1, "fcbb:bb00:1::", Z6)
FORGED = {
    "locator as destination": inner6(dst="fcbb:bb00:1:e108::"),
    "tunnel to a SID": IPv6(src=A6, dst="fcbb:bb00:1:e108::") / inner6(dst=A6),
    "SRH": IPv6(src=A6, dst=Z6, nh=43) / srh(41, 1, "fcbb:bb00:1:e108::", Z6) / inner6(),
    "other routing header": IPv6(src=A6, dst=Z6, nh=43) / IPv6ExtHdrRouting(addresses=[A6]) / UDP(),
    "SRH behind options": IPv6(src=A6, dst=Z6, nh=0) / OPTION_THEN_SRH / UDP(),
    "options behind options": IPv6(src=A6, dst=Z6, nh=0) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(),
    "multicast": inner6(dst="ff0e::1"),
    "link-local source": inner6(src="fe80::1"),
    "hop limit": inner6(hlim=1),
    "ttl": inner4(ttl=1),
    "checksum": inner4(chksum=0x1234),
    "IPv4 options": inner4(options=b"\x01\x01\x01\x00"),
    "no route": inner6(dst="2001:db8:ffff::1"),
    "unknown host": inner6(src=Z6, dst="2001:db8:1::77"),
    "ARP": ARP(pdst="10.1.0.1"),
}


@pytest.mark.parametrize("packet", FORGED.values(), ids=FORGED.keys())
def test_a_customer_port_drops(bench: SwitchBench, packet: Packet) -> None:
    is_dropped(bench, 2, from_host(2, packet))


@pytest.mark.parametrize("to", [CHANNEL[1], MAC[1], MAC[3], "ff:ff:ff:ff:ff:ff"])
def test_a_customer_port_drops_what_is_not_for_the_router(bench: SwitchBench, to: str) -> None:
    is_dropped(bench, 2, from_host(2, inner6(), to=to))


def test_another_tenant_with_the_same_addresses_has_no_part_in_the_corridor(bench: SwitchBench) -> None:
    is_dropped(bench, 3, from_host(3, inner6()))
    is_dropped(bench, 3, from_host(3, inner4()))


MALFORMED = {
    "End without a list": outer("fcbb:bb00:1:e300::1") / inner6(),
    "End at the end of its list": outer("fcbb:bb00:1:e300::1", nh=43) / srh(41, 0, "fcbb:bb00:2::") / inner6(),
    "more left than listed": outer("fcbb:bb00:1:e300::1", nh=43) / srh(41, 3, "fcbb:bb00:2::") / inner6(),
    "decapsulation before the end": outer("fcbb:bb00:1:e107::", nh=43) / srh(41, 1, "fcbb:bb00:2::") / inner6(dst=A6),
    "IPv4 in uDT6": outer("fcbb:bb00:1:e107::", nh=4) / inner4(dst=A4),
    "IPv6 in uDT4": outer("fcbb:bb00:1:e207::") / inner6(dst=A6),
    "bad inner checksum": outer("fcbb:bb00:1:e207::", nh=4) / inner4(dst=A4, chksum=0x1234),
    "hop limit": outer("fcbb:bb00:1:2::", hlim=1) / inner6(),
    "not our node": outer("fcbb:bb00:7::") / inner6(),
    "plain IPv4": inner4(),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_network_port_drops(bench: SwitchBench, packet: Packet) -> None:
    is_dropped(bench, 1, from_core(packet))


# ---- the controller's own frames


async def test_lldp_is_punted_from_any_port_and_packet_out_leaves(bench: SwitchBench) -> None:
    listener = SilentListener()
    device = bench.device(listener, epoch=2)
    device.start()
    try:
        async with asyncio.timeout(20):
            while not device.connected:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            frame = bytes(Ether(src=NEIGHBOUR, dst=CHANNEL[1], type=0x88CC) / Raw(b"z" * 50))
            for port in (1, 2):
                bench.send(port, frame)
            while len(listener.frames) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert sorted(listener.frames) == [(1, frame), (2, frame)]
            await device.send_frame(3, frame)
            assert await asyncio.to_thread(bench.receive, 1) == [(3, frame)]
    finally:
        await device.close()
