"""The oracle's headend and edge against packets worked out by hand; what a node has to choose; tables by P4Runtime."""

from __future__ import annotations

import pytest
from rfc_router import BMV2, LINUX, Choices, Drop, Router, Sent
from rfc_router.headend import GREEN, RED, YELLOW
from scapy.layers.inet import IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from walk_frames import (
    BASE,
    CORE,
    MAC,
    PEER,
    SITE,
    STRICT,
    VRF,
    arrives,
    corridor,
    customer4,
    customer6,
    entry,
    number,
    out,
    route,
    router,
    srh,
    tunnel,
)

from controller.core.entries import Exact, GroupEntry, GroupMember, Ternary

ONE, TWO, THREE = "fcbb:bb00:2:e003:3::", "fcbb:bb00:4:5:6:7:8:9", "fcbb:bb00:a:e107::"
SOURCE = {"src": "fcbb:bb00:1::1"}


def rides(packet: Packet, *carriers: str, choices: Choices = STRICT) -> Sent:
    (sent,) = arrives(router(*corridor(*carriers), choices=choices), SITE, packet)
    return sent


@pytest.mark.parametrize(
    ("carriers", "around"),
    [
        ((ONE,), tunnel(ONE, nh=41, **SOURCE)),
        ((ONE, TWO), tunnel(ONE, nh=43, **SOURCE) / srh(41, 1, TWO)),
        ((ONE, TWO, THREE), tunnel(ONE, nh=43, **SOURCE) / srh(41, 2, THREE, TWO)),
    ],
)
def test_h_encaps_red(carriers: tuple[str, ...], around: Packet) -> None:
    """RFC 8986 5.2, RFC 8754 4.1.1: the first carrier is in the destination only, the others last one first."""
    sent = rides(customer6(hlim=9, tc=0xB9), *carriers)
    around[IPv6].tc = 0xB9
    went = out(10, around / customer6(hlim=8, tc=0xB9))
    assert sent.port == CORE
    assert sent.is_like(CORE, went)
    assert not sent.is_like(4, went)
    assert not sent.is_like(CORE, went + b"\0")


def test_only_the_flow_label_is_free() -> None:
    sent = rides(customer6(), ONE)
    went = out(10, tunnel(ONE, nh=41, fl=0xFFFFF, **SOURCE) / customer6(hlim=63))
    assert sent.is_like(CORE, went)
    for at in {*range(len(went))} - {15, 16, 17}:
        assert not sent.is_like(CORE, went[:at] + bytes([went[at] ^ 1]) + went[at + 1 :])
    assert not sent.is_like(CORE, went[:15] + bytes([went[15] ^ 0x10]) + went[16:])


def test_the_targets_choose_differently() -> None:
    v6, v4 = customer6(hlim=9, tc=0xB9), customer4(ttl=9, tos=0xB9)
    expected = {
        BMV2: (tunnel(ONE, nh=41, tc=0xB9, **SOURCE) / customer6(hlim=8, tc=0xB9), 0xB9, 64, 8),
        LINUX: (tunnel(ONE, nh=41, tc=0xB9, hlim=8, **SOURCE) / customer6(hlim=9, tc=0xB9), 0, 63, 9),
    }
    for choices, (went6, tc, hlim, ttl) in expected.items():
        assert rides(v6, ONE, choices=choices).is_like(CORE, out(10, went6))
        went4 = tunnel(ONE, nh=4, tc=tc, hlim=hlim, **SOURCE) / customer4(ttl=ttl, tos=0xB9)
        assert rides(v4, ONE, choices=choices).is_like(CORE, out(10, went4))


def test_the_mtu_is_of_the_whole_packet() -> None:
    for packet in (customer6(), customer4()):
        size = len(packet)
        assert arrives(router(*corridor(ONE, mtu=size)), SITE, packet).sent
        outcome = arrives(router(*corridor(ONE, mtu=size - 1)), SITE, packet)
        assert (outcome.dropped, outcome.counted) == (Drop.TOO_BIG, (("oversize_counter", 5),))


OPTION_THEN_SRH = IPv6ExtHdrHopByHop(nh=43) / srh(17, 1, "fcbb:bb00:1::", "2001:db8:2::2")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (customer6(dst="fcbb:bb00:1:e107::"), Drop.EDGE),
        (
            IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", nh=43) / srh(17, 0, "2001:db8:2::2") / Raw(b"x" * 8),
            Drop.EDGE,
        ),
        (IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", nh=0) / OPTION_THEN_SRH / Raw(b"x" * 8), Drop.EDGE),
        (IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", nh=0) / Raw(b"\x3a\x07cut"), Drop.EDGE),
        (customer6(dst="ff0e::1"), Drop.MARTIAN),
        (customer6(src="ff0e::1"), Drop.MARTIAN),
        (customer6(src="fe80::1"), Drop.MARTIAN),
        (customer6(dst="febf::1"), Drop.MARTIAN),
        (customer6(src="::1"), Drop.MARTIAN),
        (customer6(src="::"), Drop.MARTIAN),
        (customer4(dst="224.0.0.5"), Drop.MARTIAN),
        (customer4(dst="255.255.255.255"), Drop.MARTIAN),
        (customer4(src="127.0.0.1"), Drop.MARTIAN),
        (customer4(src="169.254.0.9"), Drop.MARTIAN),
        (customer4(dst="169.254.0.9"), Drop.MARTIAN),
        (customer4(src="0.0.0.0"), Drop.MARTIAN),
        (customer4(chksum=1), Drop.MALFORMED),
        (customer4(len=200), Drop.MALFORMED),
        (customer4(len=19), Drop.MALFORMED),
        (customer4(ihl=4), Drop.MALFORMED),
        (customer4(version=6), Drop.MALFORMED),
        (customer6(plen=100), Drop.MALFORMED),
        (customer6(version=4), Drop.MALFORMED),
        (customer4(options=[IPOption_NOP()] * 4), Drop.OPTIONS),
        (customer6(hlim=1), Drop.HOP_LIMIT),
        (customer4(ttl=1), Drop.HOP_LIMIT),
        (customer4(ttl=0), Drop.HOP_LIMIT),
    ],
)
def test_what_does_not_enter(packet: Packet, why: Drop) -> None:
    assert arrives(router(*corridor(ONE)), SITE, packet).dropped is why


def test_a_chain_that_cannot_be_read_counts_as_hiding_a_routing_header() -> None:
    """RFC 8754 5.1 where a parser reads one extension header; a node that reads all lets it in."""
    chain = IPv6ExtHdrHopByHop(nh=60) / IPv6ExtHdrDestOpt(nh=17)
    packet = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", nh=0) / chain / Raw(b"x" * 8)
    assert arrives(router(*corridor(ONE)), SITE, packet).sent
    assert arrives(router(*corridor(ONE), choices=BMV2), SITE, packet).dropped is Drop.EDGE


@pytest.mark.parametrize(
    ("packet", "admitting"),
    [
        (IPv6(nh=135) / Raw(b"\x2b" + bytes(7)) / srh(17, 0, "2001:db8:2::2") / Raw(b"x" * 8), {LINUX}),
        (IPv6(nh=135) / Raw(b"\x3b" + bytes(7)), {STRICT, LINUX, BMV2}),
        (IPv6(nh=51) / Raw(b"\x3b\x01" + bytes(10)), {STRICT, LINUX, BMV2}),
        (IPv6() / IPv6ExtHdrFragment(nh=51) / Raw(b"\x3b\x01" + bytes(10)), {STRICT, LINUX}),
        (IPv6() / IPv6ExtHdrFragment(nh=43, offset=9) / Raw(b"x" * 8), {STRICT, LINUX}),
        (IPv6() / IPv6ExtHdrFragment(nh=17, offset=9) / Raw(b"x" * 8), {STRICT, LINUX, BMV2}),
    ],
)
def test_who_admits_which_headers(packet: Packet, admitting: set[Choices]) -> None:
    """RFC 7045 clause 4 lists them; a later fragment names what the first begins with, and is nothing without it."""
    packet.src, packet.dst = "2001:db8:1::2", "2001:db8:2::2"
    sent = {
        choices
        for choices in (STRICT, LINUX, BMV2)
        if arrives(router(*corridor(ONE), choices=choices), SITE, packet).sent
    }
    assert sent == admitting


def test_a_corridor_without_its_list_or_source_falls_back_to_nothing() -> None:
    """The plain route would deliver it."""
    packet = customer6(dst="2001:db8:1::2")
    assert arrives(router(), SITE, packet).sent
    classifiers = corridor(ONE)[:2]
    assert arrives(router(*classifiers), SITE, packet).dropped is Drop.NO_POLICY
    sourceless = [each for each in BASE if getattr(each, "table", "") != "tunnel_source"]
    frame = bytes(Ether(src=PEER, dst=MAC) / packet)
    assert Router([*sourceless, *corridor(ONE)], STRICT).receive(SITE, frame).dropped is Drop.NO_POLICY


def test_colors() -> None:
    """RFC 2698; without a policy only red is lost."""
    frame = bytes(Ether(src=PEER, dst=MAC) / customer6(tc=3))
    plain = router(*corridor(ONE))
    assert [bool(plain.receive(SITE, frame, color).sent) for color in (GREEN, YELLOW, RED)] == [True, True, False]
    assert plain.receive(SITE, frame, RED).counted == ()

    def policy(color: int, action: str, **params: int) -> object:
        return entry("color_policy", {"corridor": Exact(5), "color": Exact(color)}, action, **params)

    marking = router(*corridor(ONE), policy(YELLOW, "drop_colored"), policy(RED, "mark_dscp", dscp=12))
    assert marking.receive(SITE, frame, YELLOW).dropped is Drop.COLOR
    (sent,) = marking.receive(SITE, frame, RED)
    assert sent.is_like(CORE, out(10, tunnel(ONE, nh=41, tc=12 << 2 | 3, **SOURCE) / customer6(hlim=63, tc=3)))


def test_the_higher_priority_classifies() -> None:
    special = entry(
        "classifier_v6", {"vrf": Exact(VRF), "dscp": Ternary(46, 63)}, "set_policy", 2, policy=3, corridor=6, mtu=1
    )
    at = router(*corridor(ONE), special)
    assert arrives(at, SITE, customer6(tc=46 << 2)).counted == (("oversize_counter", 6),)
    assert arrives(at, SITE, customer6(tc=45 << 2)).counted == (("corridor_counter", 5),)


def test_equal_next_hops_are_all_possible_and_dead_ones_none() -> None:
    members = tuple(
        GroupMember("set_next_hop", (("next_hop", hop),), watch_port=port) for hop, port in ((10, CORE), (11, 4))
    )
    group = GroupEntry("next_hop_group", (("group", Exact(9)),), members)
    aim = entry("route_v6", dict(route("fcbb:bb00:8::/48", 0).match), "set_next_hop_group", group=9)
    frame = bytes(Ether(src=PEER, dst=MAC) / tunnel("fcbb:bb00:8::") / customer6())
    for up, ports in ((None, {1, 4}), ((1, 4), {1, 4}), ((4,), {4}), ((), set())):
        outcome = Router([*BASE, group, aim], STRICT, up).receive(CORE, frame)
        assert {sent.port for sent in outcome} == ports


def test_discovery_comes_before_everything_else() -> None:
    frame = bytes(Ether(src=PEER, dst="02:00:00:00:00:07", type=0x88CC) / Raw(b"z" * 50))
    for port in (CORE, SITE, 77):
        assert router().receive(port, frame).punted == frame


def test_a_node_is_spoken_to_by_stamp_only() -> None:
    address = entry("node_address", {"dst": Exact(number("fcbb:bb00:1::1"))}, "to_node")
    stamp = customer6(dst="fcbb:bb00:1::1")
    stamp["UDP"].dport = 862
    assert arrives(router(address), CORE, stamp).punted == bytes(Ether(src=PEER, dst=MAC) / stamp)
    assert arrives(router(address), CORE, customer6(dst="fcbb:bb00:1::1")).dropped is Drop.TO_NODE


def test_a_frame_for_another_mac_or_port_is_nobodys() -> None:
    frame = bytes(Ether(src=PEER, dst="06:00:00:01:00:02") / customer6())
    assert router().receive(SITE, frame).dropped is Drop.NOT_FOR_US
    assert router().receive(77, frame).dropped is Drop.NO_ROLE
