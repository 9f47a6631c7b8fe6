"""Packets through every target of the pipeline contract. What must come out is built with scapy, from the RFCs."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator

import pytest
from packet_bench import Bmv2Bench, LinuxBench, PacketBench, SilentListener
from packet_world import (
    A4,
    A6,
    CARRIERS,
    CHANNEL,
    END_DX4,
    ENTRIES,
    HOST,
    MAC,
    NEIGHBOUR,
    Z4,
    Z6,
    from_core,
    from_host,
    in_its_own_way,
    inner4,
    inner6,
    on_channel,
    outer,
    srh,
    to_host,
)
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

TOOLS = {Bmv2Bench: ("ip", "simple_switch_grpc"), LinuxBench: ("ip", "nft", "tc", "ethtool")}
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]


@pytest.fixture(scope="module", params=TOOLS, ids=lambda kind: kind.target)
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacketBench]:
    missing = [tool for tool in TOOLS[request.param] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not on the path: {', '.join(missing)}")
    bench = request.param(tmp_path_factory.mktemp(request.param.target), MAC)
    try:
        bench.start()
        asyncio.run(bench.write(ENTRIES if bench.target == "bmv2" else [e for e in ENTRIES if e is not END_DX4]))
        yield bench
    finally:
        bench.stop()


@pytest.fixture
def bench(router: PacketBench) -> PacketBench:
    """The router without what a failed test may have left in the sockets."""
    router.drain()
    return router


def passes(bench: PacketBench, port: int, frame: bytes) -> tuple[int, bytes]:
    bench.send(port, frame)
    received = bench.receive(1)
    assert received, "nothing came out"
    return received[0]


def is_dropped(bench: PacketBench, port: int, frame: bytes) -> None:
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


# ---- the headend


def test_one_carrier_needs_no_srh(bench: PacketBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(dscp=12)))
    expected = on_channel(1, outer(CARRIERS[0], tc=12 << 2, nh=41) / inner6(hlim=63, dscp=12))
    assert (port, frame) == (1, in_its_own_way(expected, frame))
    assert len(frame) - len(from_host(2, inner6())) == 40


def test_three_carriers_make_a_reduced_srh_of_two(bench: PacketBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(dscp=46)))
    header = IPv6ExtHdrSegmentRouting(nh=41, segleft=2, lastentry=1, addresses=[CARRIERS[2], CARRIERS[1]])
    expected = on_channel(1, outer(CARRIERS[0], tc=46 << 2, nh=43) / header / inner6(hlim=63, dscp=46))
    assert (port, frame) == (1, in_its_own_way(expected, frame))


def test_ipv4_goes_into_the_same_tunnel(bench: PacketBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner4()))
    header = IPv6ExtHdrSegmentRouting(nh=4, segleft=1, lastentry=0, addresses=[CARRIERS[1]])
    expected = on_channel(1, outer(CARRIERS[0], nh=43) / header / inner4(ttl=63))
    assert (port, frame) == (1, in_its_own_way(expected, frame))


@pytest.mark.parametrize("packet", [inner6, inner4], ids=["ipv6", "ipv4"])
def test_the_mtu_counts_the_whole_customer_packet(bench: PacketBench, packet) -> None:
    assert passes(bench, 2, from_host(2, packet(size=1500)))[0] == 1
    is_dropped(bench, 2, from_host(2, packet(size=1501)))


def test_a_sender_learns_the_mtu(bench: PacketBench) -> None:
    if bench.target == "bmv2":
        pytest.skip("BMv2 drops and counts what is too large")
    bench.send(2, from_host(2, inner6(size=1501)))
    answer = Ether(bench.receive_own(2))
    assert (answer.dst, answer[IPv6].dst, answer[ICMPv6PacketTooBig].mtu) == (HOST[2], A6, 1500)
    bench.send(2, from_host(2, inner4(size=1501)))
    answer = Ether(bench.receive_own(2))
    assert (answer.dst, answer[IP].dst) == (HOST[2], A4)
    assert (answer[ICMP].type, answer[ICMP].code, answer[ICMP].nexthopmtu) == (3, 4, 1500)


def test_the_slice_meter_polices(bench: PacketBench) -> None:
    if bench.target == "linux":
        pytest.skip("Linux shapes")
    for _ in range(20):
        bench.send(2, from_host(2, inner6(size=986, dscp=10)))  # 1000-byte frames
    bench.send(2, from_host(2, inner6(size=77)))
    lengths = []
    while 14 + 40 + 77 not in lengths:
        lengths += [len(frame) for _, frame in bench.receive(1)]
    assert 3 <= lengths.count(14 + 40 + 986) <= 5


# ---- endpoints


def test_u_n_takes_one_c_sid_off(bench: PacketBench) -> None:
    packet = from_core(outer("fcbb:bb00:1:2:e003:d6::", hlim=9) / inner6())
    assert passes(bench, 1, packet) == (1, on_channel(1, outer("fcbb:bb00:2:e003:d6::", hlim=8) / inner6()))


def test_u_a_takes_two_c_sids_off_and_uses_its_own_adjacency(bench: PacketBench) -> None:
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
    bench: PacketBench, address: str, next_segment: str, port: int
) -> None:
    last = "fcbb:bb00:9:e107::"
    packet = outer(address, nh=43) / srh(41, 2, next_segment, last) / inner6()
    moved = outer(next_segment, nh=43, hlim=63) / srh(41, 1, next_segment, last) / inner6()
    assert passes(bench, 1, from_core(packet)) == (port, on_channel(port, moved))


def test_transit_touches_nothing_but_the_hop_limit(bench: PacketBench) -> None:
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
def test_ipv6_is_delivered_in_the_vrf_of_the_sid(bench: PacketBench, address: str, port: int) -> None:
    packet = inner6(src=Z6, dst=A6)
    with_list = outer(address, nh=43) / srh(41, 0, address) / packet
    for tunnelled in (outer(address) / packet, with_list):
        at, frame = passes(bench, 1, from_core(tunnelled))
        assert (at, frame) == (port, to_host(port, inner6(src=Z6, dst=A6, hlim=63), frame))


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
def test_ipv4_is_delivered_in_the_vrf_of_the_sid(bench: PacketBench, address: str, port: int) -> None:
    if bench.target == "linux" and address == "fcbb:bb00:1:e300::5":
        pytest.skip("Linux cross-connects to adjacencies only")
    packet = outer(address, nh=4) / inner4(src=Z4, dst=A4)
    at, frame = passes(bench, 1, from_core(packet))
    assert (at, frame) == (port, to_host(port, inner4(src=Z4, dst=A4, ttl=63), frame))


def test_neighbours_of_one_vrf_reach_each_other_without_a_tunnel(bench: PacketBench) -> None:
    port, frame = passes(bench, 2, from_host(2, inner6(src=Z6, dst=A6)))
    assert (port, frame) == (2, to_host(2, inner6(src=Z6, dst=A6, hlim=63), frame))


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


ONLY_BMV2 = {
    "options behind options": "Linux reads the whole chain of headers and finds no routing header",
    "hop limit": "Linux counts the hop where the tunnel ends",
    "ttl": "Linux counts the hop where the tunnel ends",
    "bad inner checksum": "Linux does not verify what it uncovers",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_customer_port_drops(bench: PacketBench, name: str) -> None:
    if bench.target == "linux" and name in ONLY_BMV2:
        pytest.skip(ONLY_BMV2[name])
    is_dropped(bench, 2, from_host(2, FORGED[name]))


@pytest.mark.parametrize("to", [CHANNEL[1], MAC[1], MAC[3], "ff:ff:ff:ff:ff:ff"])
def test_a_customer_port_drops_what_is_not_for_the_router(bench: PacketBench, to: str) -> None:
    is_dropped(bench, 2, from_host(2, inner6(), to=to))


def test_another_tenant_with_the_same_addresses_has_no_part_in_the_corridor(bench: PacketBench) -> None:
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


@pytest.mark.parametrize("name", MALFORMED)
def test_a_network_port_drops(bench: PacketBench, name: str) -> None:
    if bench.target == "linux" and name in ONLY_BMV2 and name != "hop limit":
        pytest.skip(ONLY_BMV2[name])
    is_dropped(bench, 1, from_core(MALFORMED[name]))


# ---- the controller's own frames


async def test_lldp_is_punted_from_any_port_and_packet_out_leaves(bench: PacketBench) -> None:
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
